"""Finds masks of photos in the forms that labeling tools export, one module for each.

A module has a `LAYOUT`, one line for messages, and a function `find`, which returns an
`Export`, or None if something else lies there. The order is that of recognition: the
more special forms come first, plain mask files last.
"""

import os
from typing import Optional

from data_prep.exports import (
    cityscapes,
    coco,
    cvat,
    cvat_xml,
    label_studio,
    labelme,
    mask_files,
    per_class,
    roboflow,
    voc,
)
from data_prep.exports.export import Export, Place
from wss.errors import UserError

FORMATS = {
    "cvat": cvat,
    "cvat_xml": cvat_xml,
    "voc": voc,
    "cityscapes": cityscapes,
    "roboflow": roboflow,
    "coco": coco,
    "labelme": labelme,
    "label_studio": label_studio,
    "per_class": per_class,
    "masks": mask_files,
}


def find(place: Place, name: Optional[str] = None) -> Export:
    """Finds photos and what they are labeled with.

    Args:
      place: the folders, and what the user said about names.
      name: one of `FORMATS`; None: the first one that is recognized.

    Raises:
      UserError: nothing of the kind lies there, or it is broken.
    """
    if place.masks.lower().endswith(".zip"):
        raise UserError(f"Unpack {place.masks}, and pass its folder as --masks.")
    if not os.path.exists(place.masks):
        raise UserError(f"There is no folder or file {place.masks}.")
    if not name and place.mask_pattern.is_special:
        name = "masks"  # The user has said how their names differ.
    folders_only = () if os.path.isdir(place.masks) else ("per_class", "masks")
    for candidate in [name] if name else FORMATS:
        if candidate in folders_only:
            break
        export = FORMATS[candidate].find(place)
        if export:
            return export
    if not name:
        raise UserError(
            f"{place.masks} is none of the files that are known: {coco.LAYOUT}; "
            f"{cvat_xml.LAYOUT}; {labelme.LAYOUT}. Pass the folder of the export."
        )
    raise UserError(
        f"There is no export of the kind '{name}' in {place.masks}: expected "
        f"{FORMATS[name].LAYOUT}. Pass its folder as --masks, or leave out --from to "
        "see what is recognized."
    )
