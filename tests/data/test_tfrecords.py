import os
import shutil

import pytest
import tensorflow as tf

from tests.data import records
from wss.data import parsing, tfrecords
from wss.errors import UserError


def names(data_dir, split, order):
    """Names of the records with the given numbers, read in a dataset's graph."""
    split_records = tfrecords.Records(str(data_dir), split)

    def name(index):
        serialized, source = split_records.read(index)
        return parsing.parse_example(serialized)["name"], source

    dataset = tf.data.Dataset.from_tensor_slices(tf.constant(order, tf.int64)).map(name)
    return [(a.decode(), b.decode()) for a, b in dataset.as_numpy_iterator()]


def test_records_are_read_by_number(tmp_path):
    records.write_split(tmp_path, "1-32", [2, 0, 3])
    assert tfrecords.count_examples(str(tmp_path), "1-32") == 5
    read = names(tmp_path, "1-32", [4, 0, 2, 1, 4])
    assert [name for name, _ in read] == ["4", "0", "2", "1", "4"]
    assert read[0][1].endswith("1-32-00002-of-00003.tfrecord, record 2")


def test_splits_are_told_apart_and_joined(tmp_path):
    records.write_split(tmp_path, "train", [2])
    records.write_split(tmp_path, "train-aug", [3], start=10)
    os.rename(
        tmp_path / "train-aug-00000-of-00001.tfrecord",
        tmp_path / "train-aug-00000-of-00001",
    )
    shutil.copy(tmp_path / "train-00000-of-00001.tfrecord", tmp_path / "val.tfrecord")
    (tmp_path / "dataset.json").write_text("{}")
    assert tfrecords.list_splits(str(tmp_path)) == ["train", "train-aug", "val"]
    assert tfrecords.count_examples(str(tmp_path), "train") == 2
    assert tfrecords.count_examples(str(tmp_path), "val") == 2
    joined = names(tmp_path, "train-aug+train", range(5))
    assert [name for name, _ in joined] == ["10", "11", "12", "0", "1"]


def test_missing_split_says_how_to_make_it(tmp_path):
    records.write_split(tmp_path, "val", [1])
    with pytest.raises(UserError) as error:
        tfrecords.count_examples(str(tmp_path), "1-32", "coco")
    assert str(error.value) == (
        f"No TFRecord shards match {tmp_path}/1-32-*. Splits there: val. Create them "
        f"with python -m data_prep.coco --output_dir={tmp_path}; its --help explains "
        "the flags."
    )
    with pytest.raises(UserError, match="No TFRecord shards match /nowhere/val-*"):
        tfrecords.count_examples("/nowhere", "val")


@pytest.mark.parametrize(
    "split, message",
    [
        ("val+", "'val.' has an empty name next to a '.'"),
        ("+", "has an empty name next to"),
        ("val+val", "names val twice"),
    ],
)
def test_unions_that_are_none(tmp_path, split, message):
    records.write_split(tmp_path, "val", [1])
    with pytest.raises(UserError, match=message):
        tfrecords.count_examples(str(tmp_path), split)


def test_missing_shard(tmp_path):
    records.write_split(tmp_path, "val", [1, 1], shards=3)
    with pytest.raises(UserError, match="has 2 shards, but by their names there are 3"):
        tfrecords.count_examples(str(tmp_path), "val")


def test_cut_off_shard(tmp_path):
    records.write_split(tmp_path, "val", [2])
    path = tmp_path / "val-00000-of-00001.tfrecord"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="its record 1 does not end within the file"):
        tfrecords.count_examples(str(tmp_path), "val")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_pipe_is_no_shard_and_not_waited_for(tmp_path, make):
    make(tmp_path / "val.tfrecord")
    with pytest.raises(UserError, match="val.tfrecord is not a regular file"):
        tfrecords.count_examples(str(tmp_path), "val")


def test_empty_split(tmp_path):
    records.write_split(tmp_path, "val", [0])
    with pytest.raises(UserError, match="are empty"):
        tfrecords.count_examples(str(tmp_path), "val")


def test_changed_record_fails_its_checksum(tmp_path):
    records.write_split(tmp_path, "val", [3])
    path = tmp_path / "val-00000-of-00001.tfrecord"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match="00001.tfrecord, record 0: .* is damaged"):
        with parsing.user_errors():
            names(tmp_path, "val", [0])


def test_a_shard_that_is_gone_is_named(tmp_path):
    records.write_split(tmp_path, "val", [1])
    there = tfrecords.Records(str(tmp_path), "val")
    os.remove(tmp_path / "val-00000-of-00001.tfrecord")
    for read in (there.read, tf.function(there.read)):
        with pytest.raises(UserError, match="record 0: the file is missing"):
            with parsing.user_errors():
                read(tf.constant(0, tf.int64))
