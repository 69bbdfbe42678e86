"""PASCAL VOC's folders: JPEGImages and SegmentationClass; also of labelme2voc."""

import dataclasses
import os
from typing import Optional

from data_prep.exports import mask_files
from data_prep.exports.export import Export, Place
from wss.errors import UserError
from wss.files import text_files

LAYOUT = "a folder SegmentationClass with masks"
_IMAGES = "JPEGImages"
# In labelme2voc's older results, SegmentationClass has no images.
_MASKS = ("SegmentationClassPNG", "SegmentationClass")
_LISTS = os.path.join("ImageSets", "Segmentation")


def find(place: Place) -> Optional[Export]:
    """Finds VOC's folders.

    Raises:
      UserError: nothing pairs, or the photos are missing.
    """
    folder = masks_folder(place.masks)
    if folder is None:
        return None
    root = os.path.dirname(folder)
    if place.is_one_folder:
        images = os.path.join(root, _IMAGES)
        if not os.path.isdir(images):
            raise UserError(
                f"{root} has masks ({os.path.basename(folder)}), but no {_IMAGES}. "
                f"Pass the folder of the photos as --images, and --masks={root}."
            )
        place = place._replace(images=images)
    export = mask_files.find(place, folder)
    held_out = {
        split: _read_list(os.path.join(root, _LISTS, f"{split}.txt"), export)
        for split in ("val", "test")
    }
    held_out = {split: ids for split, ids in held_out.items() if ids}
    return dataclasses.replace(export, held_out=held_out)


def masks_folder(folder: str) -> Optional[str]:
    """The folder of the masks in VOC's folders; None if there is none."""
    folder = os.path.normpath(folder)
    if os.path.basename(folder) in _MASKS:
        return folder
    found = (os.path.join(folder, name) for name in _MASKS)
    return next(filter(os.path.isdir, found), None)


def _read_list(path: str, export: Export) -> list[str]:
    """The ids of a list that have photos; empty if there is no such list."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return []
    known = export.photos.known
    found = {line: known.find(line) for _, line in text_files.read_lines(path)}
    missing = [line for line, name in found.items() if not name]
    if missing:
        print(
            f"{path}: left out {len(missing)} of {len(found)} ids that have no photo "
            f"in {known.folder}; the first is '{missing[0]}'."
        )
    return list(filter(None, found.values()))
