"""CVAT's Cityscapes layout: gtFine/default/city/a_gtFine_color.png, and the colors."""

import dataclasses
import os
from collections.abc import Mapping
from typing import Optional

from data_prep.exports import class_files
from data_prep.exports.export import Export, Place
from wss.errors import UserError
from wss.image_io import discovery
from wss.image_io.patterns import Pattern

LAYOUT = "a folder gtFine with masks *_gtFine_color.png, and label_colors.txt"
_MASKS, _IMAGES = "gtFine", os.path.join("imgsFine", "leftImg8bit")
_MASK, _IMAGE = Pattern("{id}_gtFine_color"), Pattern("{id}_leftImg8bit")


def find(place: Place) -> Optional[Export]:
    """Finds masks in Cityscapes' layout.

    Raises:
      UserError: nothing pairs, or the photos or colors are missing.
    """
    folder = os.path.join(place.masks, _MASKS)
    if not os.path.isdir(folder):
        return None
    classes = class_files.find(folder, has_names=True)
    if classes is None:
        raise UserError(
            f"{place.masks} has masks ({_MASKS}), but no label_colors.txt. Export the "
            "task again; the data set Cityscapes itself is read by "
            "data_prep.cityscapes."
        )
    if place.is_one_folder:
        place = place._replace(
            images=os.path.join(place.masks, _IMAGES), image_pattern=_IMAGE
        )
    photos = place.photos()
    masks = discovery.scan(folder, pattern=_MASK).paths
    pairs = {name: _mask_of(name, masks) for name in photos.names}
    found = {name: masks[mask] for name, mask in pairs.items() if mask}
    if not found:
        raise UserError(
            f"No photo in {place.images} has a mask in {folder}; the first mask is "
            f"'{next(iter(masks))}'. Pass the folder of the photos as --images."
        )
    export = Export(
        f"Masks in Cityscapes' layout: {len(found)} of {len(photos.names)} photos in "
        f"{place.images} have one in {folder}",
        photos,
        found,
        classes.names,
        classes.path,
        classes.labels,
    )
    held_out = {
        split: [name for name, mask in pairs.items() if mask.startswith(f"{split}/")]
        for split in ("val", "test")
    }
    held_out = {split: names for split, names in held_out.items() if names}
    return dataclasses.replace(export, held_out=held_out)


def _mask_of(name: str, masks: Mapping[str, str]) -> str:
    """The id of a photo's mask, which may begin with a split and a city; or empty.

    Raises:
      UserError: several masks have the photo's name.
    """
    if name in masks:
        return name
    ends = [mask for mask in masks if mask.endswith(f"/{name}")]
    if len(ends) > 1:
        raise UserError(
            f"The photo '{name}' may belong to {masks[ends[0]]} or {masks[ends[1]]}. "
            "Put the photos into folders as the masks are, or remove one of the masks."
        )
    return ends[0] if ends else ""
