"""Tiny made-up data sets, laid out as their publishers do, and ways to read records."""

import json
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image

from wss.data import parsing


def save_image(path: pathlib.Path, height: int = 6, width: int = 8, seed: int = 0):
    """Saves a random RGB image in the format of its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    Image.fromarray(pixels).save(path)


def save_mask(path: pathlib.Path, mask: np.ndarray, palette: bool = False):
    """Saves a mask as a gray or a palette PNG."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(mask.astype(np.uint8))
    if palette:
        image = image.convert("P")
        image.putdata(mask.ravel().tolist())
        image.putpalette(list(range(255, -1, -1)) * 3)
    image.save(path)


def shards(folder: pathlib.Path, split: str) -> list[pathlib.Path]:
    """The shards of a split, in order."""
    return sorted(folder.glob(f"{split}-?????-of-?????.tfrecord"))


def contents(folder: pathlib.Path) -> dict[str, bytes]:
    """{name: bytes} of all files in a folder."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def examples(folder: pathlib.Path, split: str) -> list[tf.train.Example]:
    """The records of a split, not decoded."""
    paths = [str(path) for path in shards(folder, split)]
    return [
        tf.train.Example.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(paths)
    ]


def decode(folder: pathlib.Path, split: str) -> list[dict[str, np.ndarray]]:
    """The records of a split, as training reads them."""
    return [
        {key: value.numpy() for key, value in parsing.parse_example(serialized).items()}
        for serialized in (
            example.SerializeToString() for example in examples(folder, split)
        )
    ]


def names(folder: pathlib.Path, split: str) -> list[str]:
    """The image names of a split, in the order of its records."""
    return [
        example.features.feature[parsing.FILENAME].bytes_list.value[0].decode()
        for example in examples(folder, split)
    ]


def manifest(folder: pathlib.Path) -> dict:
    """The folder's `dataset.json`."""
    return json.loads((folder / "dataset.json").read_text())
