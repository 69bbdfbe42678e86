"""Roboflow's "Semantic Segmentation Masks": a.jpg, a_mask.png and _classes.csv."""

import os
from collections.abc import Iterable, Sequence
from typing import Optional

from data_prep import class_names, pairing
from data_prep.exports.export import PARTS, Export, Place
from wss.errors import UserError
from wss.image_io.patterns import Pattern

LAYOUT = "_classes.csv and masks *_mask.png, as such or in train, valid and test"
_CLASSES = "_classes.csv"
_MASK = Pattern("{id}_mask")


def find(place: Place) -> Optional[Export]:
    """Finds Roboflow's masks.

    Raises:
      UserError: nothing pairs, or the parts have different classes.
    """
    lists = _class_lists(place.masks)
    if not lists:
        return None
    photos = place.photos(_MASK)
    found = pairing.find_masks(photos, place.masks, _MASK)
    names = class_names.read(lists[0])
    for path in lists[1:]:
        if class_names.read(path) != names:
            raise UserError(
                f"{lists[0]} and {path} name different classes. Export the data set "
                "again, as one version."
            )
    chosen = {name: found[name] for name in photos.names if name in found}
    if not chosen:
        raise UserError(
            f"No photo in {place.images} has a mask in {place.masks}: Roboflow renames "
            f"and resizes photos. Pass --images={place.masks} alone. Photos without "
            f"masks may be in a folder in it, such as {place.masks}/unlabeled."
        )
    return Export(
        f"Roboflow's masks: {len(chosen)} of {len(photos.names)} photos in "
        f"{place.images} have one",
        photos,
        chosen,
        names,
        lists[0],
        held_out=_held_out(chosen),
    )


def _held_out(names: Iterable[str]) -> dict[str, list[str]]:
    """{split: photos} of the parts that the export sets apart."""
    found: dict[str, list[str]] = {}
    for name in names:
        split = PARTS.get(name.partition("/")[0]) if "/" in name else None
        if split:
            found.setdefault(split, []).append(name)
    return found


def _class_lists(folder: str) -> Sequence[str]:
    """The lists of classes beside masks in a folder and its parts."""
    places = (os.path.join(folder, part) for part in ("", "train", *PARTS))
    return [
        os.path.join(place, _CLASSES)
        for place in places
        if os.path.isfile(os.path.join(place, _CLASSES))
        and any(map(_MASK.id_of, os.listdir(place)))
    ]
