"""Reads shards back, record by record, even if they are damaged.

Each record is read and decoded separately, as training does, so that a damaged one does
not hide others. TensorFlow's reader checks its checksums. Only after a damaged length,
which gives the start of the next record, is the rest of a shard lost. One tf.data graph
decodes on all cores and returns counts instead of pixels.
"""

import collections
import concurrent.futures
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional, Union

import numpy as np
import tensorflow as tf

from wss.data import datasets, parsing, tfrecords
from wss.data.datasets import manifest as manifests
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

VALUES = 256  # Number of values of a mask's pixel.
NOT_RECORDED = -1
_MAX_FINGERPRINT = 2**63 - 1
_UNFINISHED = re.compile(r"(?P<folder>\.(?P<split>.+)\.partial)/?")


@dataclasses.dataclass(frozen=True)
class Shard:
    """A shard.

    Attributes:
      path: the file.
      frames: positions of its records.
    """

    path: str
    frames: tfrecords.Frames

    @property
    def name(self) -> str:
        """The file's name without folder."""
        return os.path.basename(self.path)

    @property
    def problem(self) -> Optional[str]:
        """Why its last records cannot be found; otherwise None."""
        if self.frames.end == self.frames.size:
            return None
        return (
            f"{self.name}, record {len(self)} (byte {self.frames.end}): there is no "
            "complete record, so the rest of this shard cannot be read. It is cut off, "
            "or the length of the previous record is damaged."
        )

    def __len__(self) -> int:
        """Number of its records."""
        return len(self.frames.lengths)


class Record(NamedTuple):
    """A good record.

    Attributes:
      shard: number of its shard in the split.
      number: its number in the shard.
      name: the image's name in its data set; may be empty.
      size: height and width of the decoded image.
      brightest: the largest value of the image.
      recorded_size: height and width in the record, -1 if missing.
      has_mask: whether there is a mask.
      pixels: [256], int64, number of the mask's pixels with each value; 0 without mask.
      class_ids: image-level labels.
      fingerprint: of the encoded image: a number, 0 <= fingerprint < 2 ** 63.
      name_fingerprint: of the name.
    """

    shard: int
    number: int
    name: str
    size: tuple[int, int]
    brightest: int
    recorded_size: tuple[int, int]
    has_mask: bool
    pixels: np.ndarray
    class_ids: np.ndarray
    fingerprint: int
    name_fingerprint: int


class Broken(NamedTuple):
    """A record that training could not use; `problem` is a sentence that names it."""

    shard: int
    number: int
    problem: str


def find_spec(
    data_dir: str, dataset: Optional[str], manifest: Optional[Mapping[str, Any]]
) -> DatasetSpec:
    """Finds the classes: of --dataset, or else of the manifest.

    Raises:
      UserError: both are missing, or they disagree.
    """
    if dataset:
        return datasets.get(dataset, data_dir)
    if manifest is None:
        raise UserError(
            f"There is no {manifests.FILE_NAME} in {data_dir}, so its classes are "
            f"unknown. Name them: --dataset=... ({', '.join(datasets.named())})."
        )
    described = datasets.get(datasets.FOLDER, data_dir)
    if manifest["name"] in datasets.named():
        named = datasets.get(manifest["name"])
        if (named.class_names, named.ignore_label) == (
            described.class_names,
            described.ignore_label,
        ):
            return named  # The same classes, with their own colors.
    return described


def find(data_dir: str) -> dict[str, list["re.Match[str]"]]:
    """Finds shards by their names.

    Returns:
      {split: the names of its shards}, sorted, as matches of
      `wss.data.tfrecords.shard_names`.
    """
    found = collections.defaultdict(list)
    for match in tfrecords.shard_names(data_dir):
        found[match["split"]].append(match)
    return {
        split: sorted(found[split], key=lambda match: match.string)
        for split in sorted(found)
    }


def choose_splits(
    data_dir: str,
    wanted: Optional[Sequence[str]],
    manifest: Optional[Mapping[str, Any]],
) -> list[str]:
    """The splits to read: the requested ones, or all.

    Raises:
      UserError: there is no such split, or no split at all.
    """
    known = sorted({*find(data_dir), *(manifest["splits"] if manifest else ())})
    if not known:
        hint = "".join(f" {note}" for note in unfinished(data_dir))
        raise UserError(
            f"There are no shards <split>-00000-of-00004.tfrecord in {data_dir}. Pass "
            f"the folder that they were written to as --data_dir.{hint}"
        )
    for split in wanted or ():
        if split not in known:
            raise UserError(
                f"There is no split '{split}' in {data_dir}. Known: {', '.join(known)}."
            )
    return list(dict.fromkeys(wanted or known))


def unfinished(data_dir: str) -> list[str]:
    """Notes about unfinished conversions in the folder."""
    names = tf.io.gfile.listdir(data_dir) if tf.io.gfile.isdir(data_dir) else []
    found = filter(None, map(_UNFINISHED.fullmatch, names))
    return [
        f"{match['folder']} is an unfinished conversion of the split "
        f"'{match['split']}': run its command again to resume it, or remove the folder."
        for match in found
    ]


def open_shards(paths: Sequence[str]) -> list[Shard]:
    """Finds the records of shards by their length headers, without reading them.

    Raises:
      UserError: a shard cannot be opened.
    """
    with concurrent.futures.ThreadPoolExecutor(max_workers=16) as threads:
        return list(threads.map(_open, paths))


def _open(path: str) -> Shard:
    try:
        return Shard(path, tfrecords.find_frames(path))
    except OSError as error:
        raise UserError(
            f"The shard {path} cannot be opened ({error.strerror}). Make it readable, "
            "or write its split again."
        ) from error


def examine(
    split: Sequence[Shard], ignore_label: int
) -> Iterator[Union[Record, Broken]]:
    """Decodes all records of a split, in their order.

    Args:
      split: its shards.
      ignore_label: label of ignored pixels.

    Yields:
      A `Record` or a `Broken` for each.
    """
    counts = [len(shard) for shard in split]
    if not sum(counts):
        return
    places = {
        "shard": np.repeat(np.arange(len(split)), counts),
        "number": np.concatenate([np.arange(count) for count in counts]),
        "offset": np.concatenate([shard.frames.offsets for shard in split]),
        "length": np.concatenate([shard.frames.lengths for shard in split]),
    }
    with tf.device("/cpu:0"):
        paths = tf.constant([shard.path for shard in split])
        names = tf.constant([shard.name for shard in split])
    dataset = tf.data.Dataset.from_tensor_slices(places).map(
        lambda place: _examine(place, paths, names, ignore_label),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    # Several shards may be read at once, but in order: the n-th result belongs to the
    # n-th place, even if it is an error.
    results = iter(dataset)
    for shard, number in zip(places["shard"].tolist(), places["number"].tolist()):
        where = f"{split[shard].name}, record {number}"
        yield _next(results, where, shard, number)


def decode(shard: Shard, number: int, ignore_label: int) -> dict[str, np.ndarray]:
    """Decodes one good record: the features of `wss.data.parsing.parse_example`."""
    with tf.device("/cpu:0"):
        serialized = tfrecords.read_record(
            tf.constant(shard.path),
            tf.constant(shard.frames.offsets[number]),
            tf.constant(shard.frames.lengths[number]),
        )
        example = parsing.parse_example(serialized, ignore_label)
    return {key: value.numpy() for key, value in example.items()}


def hide_gpus() -> None:
    """Hides the GPUs from TensorFlow: a training run may need their memory."""
    try:
        tf.config.set_visible_devices([], "GPU")
    except RuntimeError:
        pass  # This process already uses them.


def _examine(
    place: dict[str, tf.Tensor], paths: tf.Tensor, names: tf.Tensor, ignore_label: int
) -> dict[str, tf.Tensor]:
    """Reads and decodes one record, and counts the pixels of its mask."""
    where = tf.strings.join(
        [names[place["shard"]], ", record ", tf.strings.as_string(place["number"])]
    )
    serialized = tfrecords.read_record(
        paths[place["shard"]], place["offset"], place["length"]
    )
    intact = parsing.ensure(
        tf.cast(tf.strings.length(serialized), tf.int64) == place["length"],
        where,
        ": the record does not match its checksums, so its bytes have changed.",
    )
    with tf.control_dependencies([intact]):
        serialized = tf.identity(serialized)
    example = parsing.parse_example(serialized, ignore_label, source=where)
    number = tf.io.FixedLenFeature((), tf.int64, default_value=NOT_RECORDED)
    string = tf.io.FixedLenFeature((), tf.string, default_value="")
    raw = tf.io.parse_single_example(
        serialized,
        {
            parsing.HEIGHT: number,
            parsing.WIDTH: number,
            parsing.ENCODED: string,
        },
    )
    pixels = tf.math.bincount(
        tf.cast(example["label"], tf.int32), minlength=VALUES, maxlength=VALUES
    )
    return {
        "name": example["name"],
        "size": tf.shape(example["image"])[:2],
        "brightest": tf.reduce_max(example["image"]),
        "recorded_size": tf.stack([raw[parsing.HEIGHT], raw[parsing.WIDTH]]),
        "has_mask": example["has_label"],
        "pixels": tf.where(example["has_label"], pixels, 0),
        "class_ids": example["class_ids"],
        "fingerprint": _fingerprint(raw[parsing.ENCODED]),
        "name_fingerprint": _fingerprint(example["name"]),
    }


def _fingerprint(content: tf.Tensor) -> tf.Tensor:
    return tf.strings.to_hash_bucket_fast(content, _MAX_FINGERPRINT)


def _next(
    results: Iterator[dict[str, tf.Tensor]], where: str, shard: int, number: int
) -> Union[Record, Broken]:
    try:
        with parsing.user_errors():
            result = next(results)
    except UserError as error:
        return Broken(shard, number, str(error))
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
        # TensorFlow quotes the record's bytes, which may not be text.
        key = re.search(r"Key: ([\w/]+)\.", str(error))
        problem = (
            f"feature {key[1]} does not have the type that training reads."
            if key
            else "not a serialized tf.train.Example."
        )
        return Broken(shard, number, f"{where}: {problem}")
    return Record(
        shard,
        number,
        result["name"].numpy().decode(errors="replace"),
        tuple(result["size"].numpy().tolist()),
        int(result["brightest"]),
        tuple(result["recorded_size"].numpy().tolist()),
        bool(result["has_mask"]),
        result["pixels"].numpy().astype(np.int64),
        result["class_ids"].numpy(),
        int(result["fingerprint"]),
        int(result["name_fingerprint"]),
    )
