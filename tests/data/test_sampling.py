"""The order of records; damaged ones are named, counted, tolerated up to the limit."""

import numpy as np
import pytest
import tensorflow as tf

from tests.data import records
from tests.data.test_parsing import png_of
from wss.data import input_pipeline, parsing, sampling
from wss.data.input_pipeline import Split
from wss.data.tfrecords import Records
from wss.errors import UserError


def write(data_dir, contents, split="labeled"):
    path = str(data_dir / f"{split}-00000-of-00001.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for content in contents:
            writer.write(content)
    return path


def read(data_dir, steps=6, **options):
    dataset = input_pipeline.training_batches(
        Split(str(data_dir), "labeled"),
        None,
        spec=records.SPEC,
        crop_size=(33, 33),
        batch_size=2,
        **options,
    )
    with parsing.user_errors():
        return list(dataset.take(steps).as_numpy_iterator())


@pytest.fixture
def damaged(tmp_path):
    """Records 0, 2 and 4 of five are damaged, each in another way."""
    contents = [records.numbered(number) for number in range(5)]
    contents[0] = b"\xff\xfe no example"
    contents[2] = records.example(ENCODED=b"GIF89a", FILENAME=b"gif")
    path = write(tmp_path, contents)
    content = bytearray(open(path, "rb").read())
    content[-30] ^= 1
    open(path, "wb").write(content)
    return tmp_path


def test_none_is_tolerated_by_default(damaged):
    with pytest.raises(UserError, match=r"tfrecord, record [024]"):
        read(damaged)


def test_each_is_named_once_and_the_next_takes_its_place(damaged, capsys):
    first = read(damaged, max_broken_records=3)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    text = "\n".join(sorted(lines))
    for sentence in (
        "record 0: it is not a tf.train.Example",
        "neither JPEG nor PNG in record gif",
        "record 4: the file is missing, has changed or is damaged. "
        "python -m data_prep.verify finds all such records.",
        "(1 of at most 3).",
        "(3 of at most 3).",
    ):
        assert sentence in text
    # The same again, and from any step.
    again = read(damaged, max_broken_records=3)
    tf.nest.map_structure(np.testing.assert_array_equal, first, again)
    later = read(damaged, steps=2, max_broken_records=3, start_step=4)
    tf.nest.map_structure(np.testing.assert_array_equal, first[4:], later)


def test_one_of_too_many_pixels_is_broken(tmp_path, capsys):
    contents = [records.numbered(number) for number in range(5)]
    contents[3] = records.example(ENCODED=png_of(40_000, 30_000), FILENAME=b"bomb")
    write(tmp_path, contents)
    with pytest.raises(UserError, match="30000 x 40000 pixels.* in record bomb"):
        read(tmp_path)
    read(tmp_path, max_broken_records=1)
    assert "The next record takes its place (1 of at most 1)" in capsys.readouterr().err


def test_a_limit_that_is_not_reached_changes_nothing(tmp_path):
    write(tmp_path, [records.numbered(number) for number in range(5)])
    strict, tolerant = read(tmp_path), read(tmp_path, max_broken_records=2)
    tf.nest.map_structure(np.testing.assert_array_equal, strict, tolerant)


def test_one_more_than_the_limit_stops(damaged, capsys):
    with pytest.raises(UserError) as error:
        read(damaged, max_broken_records=2)
    assert "3 records are damaged, and training_batches.max_broken_records = 2" in (
        str(error.value)
    )
    assert capsys.readouterr().err.count("warning: ") == 2


def test_more_in_a_row_than_the_limit_stop(tmp_path):
    write(tmp_path, [b"\xff"] * 4)
    with pytest.raises(UserError, match="is not a tf.train.Example"):
        read(tmp_path, max_broken_records=1)


def test_the_records_of_a_step_are_those_of_its_batch(tmp_path):
    write(tmp_path, [records.numbered(number) for number in range(5)])
    split = Records(str(tmp_path), "labeled")
    found = []
    for step in range(5):
        found += sampling.records_of_step(
            split, stream=sampling.LABELED, seed=3, batch_size=2, step=step
        )
    seed, _ = sampling.stream_seeds(3, sampling.LABELED)
    expected = [
        int(i) for _, i in sampling.visits(5, seed, 0).take(10).as_numpy_iterator()
    ]
    assert [row["name"] for row in found] == [str(index) for index in expected]
    assert found[0]["record"].endswith(f"00001.tfrecord, record {expected[0]}")


def test_a_broken_record_of_a_step_has_no_name(damaged):
    found = sampling.records_of_step(
        Records(str(damaged), "labeled"), stream=0, seed=0, batch_size=5, step=0
    )
    assert sorted(row["name"] for row in found) == ["", "", "1", "3", "gif"]
