"""Finds the folders of a data set where its publisher's archives put them."""

import os
from collections.abc import Collection, Sequence
from typing import Optional

from data_prep.pictures import images
from wss.data.datasets.spec import DatasetSpec
from wss.image_io import discovery


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


def find_images(folder: str, ending: str = "") -> dict[str, str]:
    """Finds images, {id: path}, and says which other files lie among them.

    Args:
      folder: where to look; also in folders below.
      ending: what the names of the images end with, before the dot.

    Raises:
      UserError: no folder, no image in it, or two with one id.
    """
    found = discovery.scan(folder, ending)
    if found.left_out:
        print(discovery.describe_left_out(folder, found.left_out))
    return found.paths


def note_lonely(masks: Collection[str], names: Collection[str], folder: str) -> None:
    """Says so where masks lie in a folder whose images are not there."""
    lonely = sorted(set(masks) - set(names))
    if lonely:
        print(
            f"{folder}: {len(lonely)} masks have no image and are left out; the first "
            f"is '{lonely[0]}'."
        )


def refuse_without_mask(
    split: str, names: Collection[str], masks: Collection[str], folder: str
) -> None:
    """Refuses a split that has images without a mask.

    Raises:
      UserError: there are such; names the first.
    """
    images.refuse_missing(
        [name for name in names if name not in masks],
        f"images of the split '{split}' have no mask in {folder}",
        "Unpack the whole archive, or add --unlabeled.",
    )
