"""Photos, and the command that predicts them."""

import os

import numpy as np
from PIL import Image

from wss import predict

CLASSES = 5  # Of the fixture `model_dir`.


def save_photo(path, height, width, mode="RGB", seed=0, **options):
    """Blobs of color."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    small = np.random.RandomState(seed).randint(0, 256, [4, 4, 3]).astype(np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    image.convert(mode).save(path, **options)


def turned():
    """Options of `save_photo` for a camera that was held upright."""
    exif = Image.Exif()
    exif[0x0112] = 6  # By 90 degrees.
    return {"exif": exif}


def run(model_dir, images, output_dir, *flags):
    """The exit status of the command."""
    return predict.main(
        [
            f"--model_dir={model_dir}",
            "--images",
            *map(str, images),
            f"--output_dir={output_dir}",
            *flags,
        ]
    )


def read(path):
    """The pixels of a file."""
    with Image.open(path) as image:
        return np.asarray(image)


def contents(folder):
    """{path: bytes} of all files below."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
