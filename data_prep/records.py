"""The one writer of records: every reader hands its examples to `write_split`.

A split is a list of items and a function that reads one of them. Shards are written in a
hidden folder beside their place, each under a temporary name, and move to their place
when all of them are whole, so that nobody ever sees half a split; a run that was killed
goes on where it stopped. The content of a shard depends on nothing but the items.
"""

import dataclasses
import hashlib
import io
import json
import os
import re
from typing import Any, Callable, Dict, List, Optional, Sequence, TypeVar

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
_PLAN = "plan.json"
_WHOLE = "whole.json"


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


def write_split(
    output_dir: str,
    split: str,
    spec: DatasetSpec,
    items: Sequence[Item],
    read: Callable[[Item], Example],
    *,
    options: Optional[Dict[str, Any]] = None,
    overwrite: bool = False,
) -> List[str]:
    """Writes the shards of one split and notes it in the folder's `dataset.json`.

    Args:
      output_dir: folder of the data set's shards.
      split: name of the split, the beginning of its shards' names.
      spec: the data set's classes, for the manifest.
      items: what to write, in the order of the records.
      read: makes the example of an item.
      options: whatever else decides the content (JSON), noted in the manifest.
      overwrite: replace a split that is there already.

    Returns:
      The paths of the shards.

    Raises:
      UserError: nothing to write, the split is there already, or the folder holds a
        data set of other classes; and whatever `read` raises.
    """
    if not items:
        raise UserError(f"There is no image to write for the split '{split}'.")
    manifest = _manifest(output_dir, spec)
    num_shards = -(-len(items) // _EXAMPLES_PER_SHARD)
    names = [f"{split}-{i:05d}-of-{num_shards:05d}.tfrecord" for i in range(num_shards)]
    partial = os.path.join(output_dir, f".{split}.partial")

    if not gfile.exists(os.path.join(partial, _WHOLE)):
        old_shards = _shards(output_dir, split)
        if (old_shards or split in manifest["splits"]) and not overwrite:
            raise UserError(
                f"The split '{split}' is in {output_dir} already. Add --overwrite to "
                "replace it, or choose another --output_dir."
            )
        _begin(partial, {"items": [str(item) for item in items], "options": options})
        _write_shards(partial, names, items, read, split)
        _forget(output_dir, manifest, split, old_shards)
        _write_text(os.path.join(partial, _WHOLE), "{}")
    # From here on the old split is gone and the new one whole: a killed run only moves.
    counts = [_read_json(os.path.join(partial, name + ".json")) for name in names]
    for name in names:
        if gfile.exists(os.path.join(partial, name)):
            gfile.rename(os.path.join(partial, name), os.path.join(output_dir, name))
    manifest["splits"][split] = {
        "examples": len(items),
        "with_masks": sum(count["with_masks"] for count in counts),
        "shards": num_shards,
        "options": options or {},
    }
    _save_manifest(output_dir, manifest)
    gfile.rmtree(partial)
    return [os.path.join(output_dir, name) for name in names]


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


def _write_shards(
    partial: str,
    names: Sequence[str],
    items: Sequence[Item],
    read: Callable[[Item], Example],
    split: str,
) -> None:
    """Writes the shards that are not whole yet."""
    with tqdm(total=len(items), desc=split, unit=" images") as progress:
        for i, name in enumerate(names):
            share = items[
                i * len(items) // len(names) : (i + 1) * len(items) // len(names)
            ]
            path = os.path.join(partial, name)
            if gfile.exists(path):
                progress.update(len(share))
                continue
            with_masks = 0
            with tf.io.TFRecordWriter(path + ".tmp") as writer:
                for item in share:
                    example = read(item)
                    writer.write(serialize(example))
                    with_masks += example.mask is not None
                    progress.update()
            _write_text(path + ".json", json.dumps({"with_masks": with_masks}))
            gfile.rename(path + ".tmp", path)


def _begin(partial: str, plan: Dict[str, Any]) -> None:
    """Makes the folder of unfinished shards, or keeps it if it has the same plan."""
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()
    path = os.path.join(partial, _PLAN)
    if gfile.exists(path) and _read_json(path)["sha256"] == digest:
        return
    if gfile.exists(partial):
        gfile.rmtree(partial)
    gfile.makedirs(partial)
    _write_text(path, json.dumps({"sha256": digest}))


def _shards(output_dir: str, split: str) -> List[str]:
    """The shards of a split that lie in the folder, of whatever run."""
    if not gfile.isdir(output_dir):
        return []
    shard = re.compile(re.escape(split) + r"-\d{5}-of-\d{5}\.tfrecord")
    found = [name for name in gfile.listdir(output_dir) if shard.fullmatch(name)]
    return [os.path.join(output_dir, name) for name in sorted(found)]


def _forget(
    output_dir: str, manifest: Dict[str, Any], split: str, shards: Sequence[str]
) -> None:
    if manifest["splits"].pop(split, None):
        _save_manifest(output_dir, manifest)
    for path in shards:
        gfile.remove(path)


def _manifest(output_dir: str, spec: DatasetSpec) -> Dict[str, Any]:
    """The folder's manifest, or a new one."""
    classes = {"class_names": list(spec.class_names), "ignore_label": spec.ignore_label}
    manifest = manifests.read(output_dir)
    if manifest is None:
        return {"name": spec.name, **classes, "splits": {}}
    if any(manifest[key] != value for key, value in classes.items()):
        raise UserError(
            f"{output_dir} holds the data set '{manifest['name']}' with "
            f"{len(manifest['class_names'])} classes and ignore label "
            f"{manifest['ignore_label']}; these records have {spec.num_classes} classes "
            f"and ignore label {spec.ignore_label}, or other class names. Give all "
            "splits the same classes, or choose another --output_dir."
        )
    return manifest


def _save_manifest(output_dir: str, manifest: Dict[str, Any]) -> None:
    _write_text(manifests.path(output_dir), json.dumps(manifest, indent=2) + "\n")


def _write_text(path: str, text: str) -> None:
    """Writes a file whole or not at all."""
    with gfile.GFile(path + ".tmp", "w") as file:
        file.write(text)
    gfile.rename(path + ".tmp", path, overwrite=True)


def _read_json(path: str) -> Dict[str, Any]:
    with gfile.GFile(path) as file:
        return json.load(file)


def _bytes(value: bytes) -> tf.train.Feature:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))


def _integers(values: Sequence[int]) -> tf.train.Feature:
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
