"""TFRecord shards: finding them, counting records, reading records by number.

The records of a split are numbered across its shards. One pass over the length headers
finds the position of each record, for random access: a run that starts at step 100,000
does not read the records of earlier steps.
"""

import concurrent.futures
import importlib.util
import os
import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from wss.data import parsing
from wss.errors import UserError

# A record: length (8 bytes) and its checksum (4), data and its checksum (4).
_HEADER_BYTES = 12
_FRAME_BYTES = 16

_SHARD = re.compile(r"(?P<split>.+?)(-(?P<index>\d+)-of-(?P<shards>\d+))?(\.tfrecord)?")
_SHARD_ENDINGS = re.compile(r"-\d+-of-\d+$|\.tfrecord$")


def list_splits(data_dir: str) -> list[str]:
    """Names of the splits that have shards in `data_dir`."""
    return sorted({match["split"] for match in shard_names(data_dir)})


def find_shards(data_dir: str, split: str, dataset: str = "folder") -> list[str]:
    """Paths of a split's shards, in order.

    Args:
      data_dir: folder of the shards `<split>-00000-of-00004.tfrecord` (with or without
        the extension), or of one file `<split>.tfrecord`.
      split: name of the split, or several joined by "+" (their union).
      dataset: name of the data set, for the message about missing shards.

    Raises:
      UserError: a split has no shards or lacks some; a name is empty or occurs twice.
    """
    paths = []
    for name in _names(split):
        matches = [match for match in shard_names(data_dir) if match["split"] == name]
        if not matches:
            raise UserError(_no_shards(data_dir, name, dataset))
        expected = {int(match["shards"] or len(matches)) for match in matches}
        if expected != {len(matches)}:
            raise UserError(
                f"Split {name} in {data_dir} has {len(matches)} shards, but by their "
                f"names there are {' or '.join(map(str, sorted(expected)))}. "
                "Write the split again or remove files that do not belong to it."
            )
        names = sorted(match.string for match in matches)
        paths.extend(os.path.join(data_dir, file_name) for file_name in names)
    return paths


def _names(split: str) -> list[str]:
    names = split.split("+")
    if "" in names:
        raise UserError(
            f"The split {split!r} has an empty name next to a '+'. Name one split, or "
            "several like 'train+val'."
        )
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"The split {split!r} names {name} twice, which would count its images "
                "twice. Name it once."
            )
    return names


def count_examples(data_dir: str, split: str, dataset: str = "folder") -> int:
    """Number of records of a split; arguments and errors: see `find_shards`."""
    return len(Records(data_dir, split, dataset))


class Records:
    """The records of a split by number; their contents stay on disk."""

    def __init__(self, data_dir: str, split: str, dataset: str = "folder"):
        """Reads the length headers of the shards; arguments: see `find_shards`.

        Raises:
          UserError: there are no shards or no records; a shard is cut off or not a
            TFRecord file.
        """
        paths = find_shards(data_dir, split, dataset)
        with concurrent.futures.ThreadPoolExecutor(max_workers=16) as threads:
            frames = list(threads.map(_walk, paths))
        counts = [len(shard.lengths) for shard in frames]
        if not sum(counts):
            raise UserError(
                f"The shards of split {split} in {data_dir} are empty. Write the split "
                "again."
            )
        self._size = sum(counts)
        with tf.device("/cpu:0"):
            self._paths = tf.constant(paths)
            self._shard = tf.constant(np.repeat(np.arange(len(paths)), counts))
            self._number = tf.constant(np.concatenate([np.arange(n) for n in counts]))
            self._offset = tf.constant(
                np.concatenate([shard.offsets for shard in frames])
            )
            self._length = tf.constant(
                np.concatenate([shard.lengths for shard in frames])
            )

    def __len__(self) -> int:
        return self._size

    def describe(self, index: int) -> str:
        """The place of a record: its shard and its number in the shard."""
        path = self._paths[self._shard[index]].numpy().decode()
        return f"{path}, record {int(self._number[index])}"

    def read(self, index: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Reads one record.

        Args:
          index: scalar int64, number of the record.

        Returns:
          Scalar strings: the serialized example, and its place, for messages.

        Raises:
          tf.errors.InvalidArgumentError: when the tensors are evaluated; the record
            does not match its checksum. `parsing.user_errors` turns it into a
            UserError.
        """
        path = self._paths[self._shard[index]]
        number = tf.strings.as_string(self._number[index])
        source = tf.strings.join([path, ", record ", number])
        serialized = read_record(path, self._offset[index], self._length[index])
        readable = parsing.ensure(
            tf.strings.length(serialized) > 0,
            *("Cannot read ", source, ": the file is missing, has changed or is "),
            "damaged. python -m data_prep.verify finds all such records.",
        )
        with tf.control_dependencies([readable]):
            return tf.identity(serialized), source


def read_record(path: tf.Tensor, offset: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Reads a record at a byte offset of a shard and verifies its checksums.

    `tf.data.TFRecordDataset` cannot start at an offset; the raw operation can.

    Args:
      path: scalar string, the shard.
      offset: scalar int64, position of the record's length header.
      length: scalar int64, bytes of its data.

    Returns:
      Scalar string, the serialized example, or "" if reading fails.
    """

    def read(place):
        records = tf.raw_ops.TFRecordDatasetV2(
            filenames=[path],
            compression_type="",
            buffer_size=length + _FRAME_BYTES,
            byte_offsets=[place],
        )
        string = {"output_types": [tf.string], "output_shapes": [()]}
        return tf.raw_ops.DatasetToSingleElement(
            dataset=tf.raw_ops.TakeDataset(input_dataset=records, count=1, **string),
            **string,
        )[0]

    return parsing.attempt(read, offset, otherwise="")


def shard_names(data_dir: str) -> list["re.Match[str]"]:
    """Names of shards in `data_dir`, as matches with `split`, `index` and `shards`.

    The last two are None for a split in a single file without numbers in its name.
    """
    if not tf.io.gfile.isdir(data_dir):
        return []
    names = tf.io.gfile.listdir(data_dir)
    return [_SHARD.fullmatch(name) for name in names if _SHARD_ENDINGS.search(name)]


def _no_shards(data_dir: str, split: str, dataset: str) -> str:
    if tf.io.gfile.exists(data_dir) and not tf.io.gfile.isdir(data_dir):
        return f"{data_dir} is not a folder. Set DATA_DIR to the folder of the shards."
    present = list_splits(data_dir)
    splits = f" Splits there: {', '.join(present)}." if present else ""
    # data_prep.folder converts data sets without a command of their own.
    own = importlib.util.find_spec(f"data_prep.{dataset}")
    return (
        f"No TFRecord shards match {os.path.join(data_dir, split)}-*.{splits} Create "
        f"them with python -m data_prep.{dataset if own else 'folder'} "
        f"--output_dir={data_dir}; its --help explains the flags."
    )


class Frames(NamedTuple):
    """The positions of a shard's records, from its length headers.

    Attributes:
      offsets: [records], int64, first byte of each.
      lengths: [records], int64, bytes of each one's data.
      end: the byte after the last record.
      size: of the file, in bytes; larger than `end` if it is damaged.
    """

    offsets: np.ndarray
    lengths: np.ndarray
    end: int
    size: int


def find_frames(path: str) -> Frames:
    """Finds the records of a shard without reading them.

    Raises:
      UserError: the shard is not a regular file.
      OSError: it cannot be opened.
    """
    offsets, lengths = [], []
    size = tf.io.gfile.stat(path).length
    position = 0
    with open_unbuffered(path) as file:
        while position < size:
            file.seek(position)
            header = file.read(_HEADER_BYTES)
            length = struct.unpack("<Q", header[:8])[0] if len(header) > 8 else size
            if position + length + _FRAME_BYTES > size:
                break
            offsets.append(position)
            lengths.append(length)
            position += length + _FRAME_BYTES
    return Frames(
        np.array(offsets, np.int64), np.array(lengths, np.int64), position, size
    )


def contents(path: str, step: int = 1) -> Iterator[bytes]:
    """The data of every `step`-th record of a shard; errors: see `find_frames`."""
    frames = find_frames(path)
    places = zip(frames.offsets.tolist()[::step], frames.lengths.tolist()[::step])
    with open_unbuffered(path) as file:
        for offset, length in places:
            file.seek(offset + _HEADER_BYTES)
            yield file.read(length)


def _walk(path: str) -> Frames:
    """`find_frames`; a UserError if the shard is damaged."""
    frames = find_frames(path)
    if frames.end != frames.size:
        raise UserError(
            f"{path} is cut off or not a TFRecord file: its record "
            f"{len(frames.lengths)} does not end within the file. Write it again."
        )
    return frames


def open_unbuffered(path: str):
    """Opens a file to read headers at distant positions.

    A buffered file would read a block at every header.

    Raises:
      UserError: it is a pipe (opening it would wait) or a folder.
    """
    if os.path.isfile(path):
        return open(path, "rb", buffering=0)
    if os.path.exists(path):
        raise UserError(
            f"{path} is not a regular file. Write the split again or remove files that "
            "do not belong to it."
        )
    return tf.io.gfile.GFile(path, "rb")
