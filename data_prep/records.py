"""The one writer of records: every reader hands its examples to a `Writer`.

A split is a list of items and a function that reads one of them. Shards are written in
a hidden folder beside their place, each under a temporary name, and move to their place
when all of them are whole, so that nobody ever sees half a split; a run that was killed
goes on where it stopped. The content of a shard depends on nothing but the items.
"""

import dataclasses
import hashlib
import io
import json
import os
import re
from collections.abc import Sequence
from typing import Any, Callable, Optional, TypeVar

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from wss.data import parsing
from wss.datasets import manifest as manifests
from wss.datasets.spec import DatasetSpec
from wss.errors import UserError

gfile = tf.io.gfile
Item = TypeVar("Item")

_EXAMPLES_PER_SHARD = 1000
_SPLIT_NAME = re.compile(r"\w[\w.-]*")


@dataclasses.dataclass(frozen=True)
class Example:
    """One image, with what is known about it.

    Attributes:
      name: the image's name in its data set, without folder and ending.
      image: the encoded file.
      format: "jpeg" or "png".
      height: in pixels.
      width: in pixels.
      mask: [height, width], uint8 class ids, or None for an unlabeled image.
      class_ids: image-level labels of an image without mask.
    """

    name: str
    image: bytes
    format: str
    height: int
    width: int
    mask: Optional[np.ndarray] = None
    class_ids: Sequence[int] = ()


@dataclasses.dataclass(frozen=True)
class Writer:
    """How and where splits are written.

    Attributes:
      output_dir: folder of the data set's shards.
      overwrite: replace a split that is there already. Without it, a split that the
        same items and options made before is left as it is.
    """

    output_dir: str
    overwrite: bool = False

    def write_split(
        self,
        split: str,
        spec: DatasetSpec,
        items: Sequence[Item],
        read: Callable[[Item], Example],
        *,
        options: Optional[dict[str, Any]] = None,
    ) -> None:
        """Writes the shards of one split and notes it in the folder's `dataset.json`.

        Args:
          split: name of the split, the beginning of its shards' names.
          spec: the data set's classes, for the manifest.
          items: what to write, in the order of the records.
          read: makes the example of an item.
          options: whatever else decides the content (JSON), noted in the manifest.

        Raises:
          UserError: nothing to write, the split is there already with other content, or
            the folder holds a data set of other classes; and whatever `read` raises.
        """
        if not items:
            raise UserError(f"There is no image to write for the split '{split}'.")
        if not _SPLIT_NAME.fullmatch(split):
            raise UserError(
                f"'{split}' cannot name a split: only letters, digits and ._- are "
                "possible."
            )
        shards = _Shards(self.output_dir, split, len(items))
        manifest = _manifest(self.output_dir, spec)
        plan = _digest({"items": [str(item) for item in items], "options": options})
        if not self.overwrite and not shards.can_continue(plan):
            known = manifest["splits"].get(split)
            if known and known.get("plan") == plan:
                print(
                    f"{split}: is in {self.output_dir} already (--overwrite writes it "
                    "again)."
                )
                return
            if known or shards.old():
                raise UserError(
                    f"The split '{split}' is in {self.output_dir} already, made from "
                    "other images or options. Add --overwrite to replace it, or choose "
                    "another --output_dir."
                )
        shards.begin(plan)
        if not shards.are_whole():
            shards.write(items, read)
            if manifest["splits"].pop(split, None):
                _save_manifest(self.output_dir, manifest)
            shards.finish()
        manifest["splits"][split] = {
            **shards.publish(),
            "options": options or {},
            "plan": plan,
        }
        _save_manifest(self.output_dir, manifest)
        shards.clean_up()


def serialize(example: Example) -> bytes:
    """Makes the record of an example; equal examples make equal bytes.

    Raises:
      UserError: image and mask differ in size.
    """
    features = {
        parsing.ENCODED: _bytes(example.image),
        parsing.FILENAME: _bytes(example.name.encode()),
        parsing.FORMAT: _bytes(example.format.encode()),
        parsing.HEIGHT: _integers([example.height]),
        parsing.WIDTH: _integers([example.width]),
        parsing.CHANNELS: _integers([3]),
    }
    if example.mask is not None:
        if example.mask.shape != (example.height, example.width):
            raise UserError(
                f"The mask of '{example.name}' has {example.mask.shape[1]} x "
                f"{example.mask.shape[0]} pixels, the image {example.width} x "
                f"{example.height}. A mask must have its image's size."
            )
        features[parsing.LABEL_ENCODED] = _bytes(encode_png(example.mask))
        features[parsing.LABEL_FORMAT] = _bytes(b"png")
    if len(example.class_ids):
        features[parsing.CLASS_IDS] = _integers(sorted(set(example.class_ids)))
    record = tf.train.Example(features=tf.train.Features(feature=features))
    return record.SerializeToString(deterministic=True)


def encode_png(pixels: np.ndarray) -> bytes:
    """Encodes [height, width] or [height, width, 3] uint8 pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


class _Shards:
    """The shards of one split, from the hidden folder where they are written on."""

    def __init__(self, output_dir: str, split: str, num_examples: int):
        count = -(-num_examples // _EXAMPLES_PER_SHARD)
        self._output_dir = output_dir
        self._split = split
        self._names = [f"{split}-{i:05d}-of-{count:05d}.tfrecord" for i in range(count)]
        self._hidden = os.path.join(output_dir, f".{split}.partial")
        self._plan = os.path.join(self._hidden, "plan.json")
        self._whole = os.path.join(self._hidden, "whole.json")

    def old(self) -> list[str]:
        """Shards of the split that lie in their place, of whatever run."""
        if not gfile.isdir(self._output_dir):
            return []
        shard = re.compile(re.escape(self._split) + r"-\d{5}-of-\d{5}\.tfrecord")
        found = filter(shard.fullmatch, gfile.listdir(self._output_dir))
        return [os.path.join(self._output_dir, name) for name in found]

    def can_continue(self, plan: str) -> bool:
        """Whether a run with the same plan was stopped after all shards were whole."""
        return self._has_plan(plan) and self.are_whole()

    def are_whole(self) -> bool:
        """Whether all shards were written and the old split is gone."""
        return gfile.exists(self._whole)

    def begin(self, plan: str) -> None:
        """Makes the hidden folder, or keeps what a run with the same plan left."""
        if self._has_plan(plan):
            return
        if gfile.exists(self._hidden):
            gfile.rmtree(self._hidden)
        gfile.makedirs(self._hidden)
        _write_json(self._plan, {"plan": plan})

    def write(self, items: Sequence[Item], read: Callable[[Item], Example]) -> None:
        """Writes the shards that are not there yet, each whole or not at all."""
        bounds = [
            len(items) * i // len(self._names) for i in range(len(self._names) + 1)
        ]
        with tqdm(total=len(items), desc=self._split, unit=" images") as progress:
            for name, start, end in zip(self._names, bounds, bounds[1:]):
                path = os.path.join(self._hidden, name)
                if gfile.exists(path):
                    progress.update(end - start)
                    continue
                with_masks = 0
                with tf.io.TFRecordWriter(path + ".tmp") as writer:
                    for item in items[start:end]:
                        example = read(item)
                        writer.write(serialize(example))
                        with_masks += example.mask is not None
                        progress.update()
                counts = {"examples": end - start, "with_masks": with_masks}
                _write_json(path + ".json", counts)
                gfile.rename(path + ".tmp", path)

    def finish(self) -> None:
        """Removes the old split; from here on a stopped run has only to move shards."""
        for path in self.old():
            gfile.remove(path)
        _write_json(self._whole, {})

    def publish(self) -> dict[str, int]:
        """Moves the shards to their place; returns what they hold."""
        counts = [
            _read_json(os.path.join(self._hidden, f"{name}.json"))
            for name in self._names
        ]
        for name in self._names:
            path = os.path.join(self._hidden, name)
            if gfile.exists(path):
                gfile.rename(path, os.path.join(self._output_dir, name))
        return {
            "examples": sum(count["examples"] for count in counts),
            "with_masks": sum(count["with_masks"] for count in counts),
            "shards": len(self._names),
        }

    def clean_up(self) -> None:
        """Removes the hidden folder."""
        gfile.rmtree(self._hidden)

    def _has_plan(self, plan: str) -> bool:
        return gfile.exists(self._plan) and _read_json(self._plan)["plan"] == plan


def _manifest(output_dir: str, spec: DatasetSpec) -> dict[str, Any]:
    """The folder's manifest, or a new one."""
    classes = {"class_names": list(spec.class_names), "ignore_label": spec.ignore_label}
    manifest = manifests.read(output_dir)
    if manifest is None:
        return {"name": spec.name, **classes, "splits": {}}
    if any(manifest[key] != value for key, value in classes.items()):
        raise UserError(
            f"{output_dir} holds the data set '{manifest['name']}' with "
            f"{len(manifest['class_names'])} classes and ignore label "
            f"{manifest['ignore_label']}; these records have {spec.num_classes} "
            f"classes and ignore label {spec.ignore_label}, or other class names. Give "
            "all splits the same classes, or choose another --output_dir."
        )
    return manifest


def _save_manifest(output_dir: str, manifest: dict[str, Any]) -> None:
    _write_json(manifests.path(output_dir), manifest)


def _digest(plan: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()


def _read_json(path: str) -> dict[str, Any]:
    with gfile.GFile(path) as file:
        return json.load(file)


def _write_json(path: str, content: dict[str, Any]) -> None:
    """Writes a file whole or not at all."""
    with gfile.GFile(path + ".tmp", "w") as file:
        file.write(json.dumps(content, indent=2) + "\n")
    gfile.rename(path + ".tmp", path, overwrite=True)


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integers(values: Sequence[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
