"""Finds the folders of a data set where its publisher's archives put them."""

import os
from collections.abc import Sequence
from typing import Optional

from wss.datasets.spec import DatasetSpec


def root(given: str, inner: Sequence[str], marker: str) -> Optional[str]:
    """The folder that a data set unpacked to.

    Args:
      given: the folder that the user named, or one above.
      inner: paths that lead from such a folder to the right one.
      marker: what lies in the right one.

    Returns:
      The folder, or None.
    """
    candidates = [given, *(os.path.join(given, path) for path in inner)]
    for folder in candidates:
        if os.path.exists(os.path.join(folder, marker)):
            return folder
    return None


def note_size(spec: DatasetSpec, split: str, found: int) -> None:
    """Says so where a split has another number of images than its publisher's."""
    published = spec.split_sizes.get(split, found)
    if found != published:
        print(f"{split}: {found} images are there, published are {published}.")
