"""Readers that other processes import, without TensorFlow; and a conversion to kill.

    python -m tests.data_prep.readers FOLDER

writes the split `train` to FOLDER, slowly (READ_SECONDS for each picture), and the ids
of the processes that read to FOLDER.pids.
"""

import functools
import os
import sys
import time
from typing import NamedTuple

import numpy as np

from data_prep import cli
from data_prep.writer import Writer
from data_prep.writing.examples import Example, encode_png
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

SPEC = DatasetSpec("toy", ("background", "thing"))
HEIGHT, WIDTH = 2, 3
MASK = np.array([[0, 1, 255], [1, 1, 0]], np.uint8)
NUM_SLOW = 400


class Item(NamedTuple):
    """An item whose only file determines the picture."""

    name: str
    path: str


def read(item: str, with_mask: bool = True) -> Example:
    """A picture in the gray of the item's first letter."""
    pixels = np.full((HEIGHT, WIDTH, 3), ord(item[0]), np.uint8)
    return Example(
        item,
        encode_png(pixels),
        "png",
        HEIGHT,
        WIDTH,
        MASK if with_mask else None,
    )


def read_file(item: Item) -> Example:
    """A picture in the gray of the file's first letter; `!` in a file breaks it."""
    with open(item.path, encoding="utf-8") as file:
        text = file.read()
    if "!" in text:
        raise UserError(f"The file {item.path} is broken.")
    example = read(text)
    return Example(item.name, *list(vars(example).values())[1:])


def read_slowly(number: int, pids: str) -> Example:
    """Is slow, and leaves the id of its process."""
    open(os.path.join(pids, str(os.getpid())), "w").close()
    time.sleep(float(os.environ.get("READ_SECONDS", "0.01")))
    return read(chr(ord("a") + number % 26))


def process_id(number: int) -> tuple[int, int]:
    """The number, and the id of the process that read it."""
    return number, os.getpid()


def die(number: int) -> None:
    """Kills its process, as the kernel does if memory is short."""
    os._exit(9)


def touch(number: int, folder: str) -> int:
    """Leaves a trace of the call."""
    open(os.path.join(folder, str(number)), "w").close()
    return number


def main() -> None:
    folder = sys.argv[1]
    os.makedirs(f"{folder}.pids", exist_ok=True)
    Writer(folder, num_shards=8, workers=2).write_split(
        "train",
        SPEC,
        range(NUM_SLOW),
        functools.partial(read_slowly, pids=f"{folder}.pids"),
    )


if __name__ == "__main__":
    cli.run(main)
