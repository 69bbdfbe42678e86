"""Records that stay decoded: parsed once, up to a size, and the same batches."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from tests.data import records
from wss.data import decoded, input_pipeline, parsing
from wss.data.input_pipeline import Split
from wss.errors import UserError

# Of one record below: 300 x 500 x 3 pixels, a number and a name of six letters.
_BYTES = 450_000 + 8 + 6


class Parser:
    """Parses made-up records and counts how often; some fail the first time."""

    def __init__(self, fail_once=()):
        self.calls = collections.Counter()
        self._fail_once = fail_once

    def __call__(self, index):
        count = tf.numpy_function(self._count, [index], tf.int64)
        fails = (count == 1) & tf.reduce_any(
            index == tf.constant(self._fail_once, tf.int64)
        )
        ok = parsing.ensure(~fails, "Can not read ", index, " yet.")
        with tf.control_dependencies([ok]):
            image = tf.cast(tf.fill([300, 500, 3], index), tf.uint8)
        name = tf.strings.join(["photo", tf.strings.as_string(index)])
        return {"image": image, "number": index, "name": name}

    def _count(self, index):
        self.calls[int(index)] += 1
        return self.calls[int(index)]


def check(example, number):
    assert example["image"].shape == (300, 500, 3)
    assert np.all(example["image"] == number)
    assert example["number"] == number
    assert example["name"] == f"photo{number}".encode()


@pytest.mark.parametrize("in_graph", [False, True])
def test_each_record_is_parsed_once(in_graph):
    parser = Parser()
    parse = decoded.once(parser, 4)
    if in_graph:
        dataset = tf.data.Dataset.range(5).repeat(4).map(parse, num_parallel_calls=4)
        examples = list(dataset.as_numpy_iterator())
    else:
        numbers = [tf.constant(i % 5, tf.int64) for i in range(20)]
        examples = [
            {key: part.numpy() for key, part in parse(number).items()}
            for number in numbers
        ]
    for place, example in enumerate(examples):
        check(example, place % 5)
    assert parser.calls == {number: 1 for number in range(5)}


def test_layout_is_that_of_the_parser():
    plain, kept = (
        tf.data.Dataset.range(1).map(parse).element_spec
        for parse in (Parser(), decoded.once(Parser(), 4))
    )
    assert plain == kept


def test_what_does_not_fit_is_parsed_again():
    assert 2 * _BYTES <= 10**6 < 3 * _BYTES
    parser = Parser()
    dataset = tf.data.Dataset.range(4).repeat(3).map(decoded.once(parser, 1))
    for place, example in enumerate(dataset.as_numpy_iterator()):
        check(example, place % 4)
    assert parser.calls == {0: 1, 1: 1, 2: 3, 3: 3}


def test_nothing_is_kept_without_room():
    parser = Parser()
    assert decoded.once(parser, 0) is parser


def test_room_may_be_a_part_of_a_megabyte():
    parser = Parser()
    dataset = tf.data.Dataset.range(2).repeat(2).map(decoded.once(parser, 0.5))
    assert len(list(dataset)) == 4
    assert parser.calls == {0: 1, 1: 2}


def test_what_failed_is_not_kept():
    parser = Parser(fail_once=[1])
    dataset = tf.data.Dataset.range(3).repeat(3).map(decoded.once(parser, 4))
    examples = list(dataset.ignore_errors().as_numpy_iterator())
    assert [int(example["number"]) for example in examples] == [0, 2, 0, 1, 2, 0, 1, 2]
    assert parser.calls == {0: 1, 1: 2, 2: 1}


@pytest.fixture
def data_dir(tmp_path):
    records.write_split(tmp_path, "labeled", [3, 2])
    return tmp_path


def training(data_dir, **options):
    return input_pipeline.training_batches(
        Split(str(data_dir), "labeled"),
        None,
        spec=records.SPEC,
        crop_size=(33, 33),
        batch_size=2,
        seed=1,
        **options,
    )


@pytest.mark.parametrize("start_step", [0, 7])
def test_the_same_batches_with_and_without(data_dir, start_step):
    kept, plain = (
        list(training(data_dir, start_step=start_step, **options).take(10))
        for options in ({}, {"decoded_megabytes": 0})
    )
    tf.nest.map_structure(np.testing.assert_array_equal, kept, plain)


def test_training_reads_a_small_split_once(data_dir):
    plain, kept = (iter(training(data_dir, decoded_megabytes=room)) for room in (0, 1))
    for _ in range(3):  # Batches of 2 from 5 records: each was there.
        next(plain), next(kept)
    for path in data_dir.glob("labeled*"):
        path.unlink()
    for _ in range(20):
        next(kept)
    with pytest.raises(UserError, match="Can not read"), parsing.user_errors():
        for _ in range(20):
            next(plain)
