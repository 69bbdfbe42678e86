"""Yes/no masks, one file for each class of a photo."""

import collections
import contextlib
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Optional

import numpy as np

from data_prep import masks
from data_prep.exports import class_files, export
from data_prep.exports.export import Export, Place
from data_prep.pairing import Item
from data_prep.photos import Drawn
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.image_io import discovery

LAYOUT = "yes/no masks road/a.png, a/road.png or a_road.png for each class of a photo"
_YES_NO = masks.Labels(binary=True)
_TRIED = 3  # masks of each class.


class _Part(NamedTuple):
    """A mask file: its photo and its class."""

    photo: str
    label: str


def find(place: Place) -> Optional[Export]:
    """Finds masks of single classes, if a photo has those of several classes.

    Raises:
      UserError: a class is not among those of a list beside the masks.
    """
    if place.is_one_folder:
        return None
    files, names = _scan(place.masks), _scan(place.images)
    if files.keys() & names.keys():
        return None  # A mask with the name of a photo has all classes.
    parts = _best(files, names)
    by_photo: dict[str, list[tuple[str, str]]] = collections.defaultdict(list)
    for name, part in parts.items():
        by_photo[part.photo].append((files[name], part.label))
    if not any(len(some) > 1 for some in by_photo.values()):
        return None
    examples: dict[str, list[str]] = collections.defaultdict(list)
    for name, part in parts.items():
        examples[part.label].append(files[name])
    # Others are reported when they are read.
    if not all(any(map(_is_yes_no, some[:_TRIED])) for some in examples.values()):
        return None
    photos = place.photos()
    lonely = sorted(set(files) - set(parts))
    if lonely:
        print(
            f"{place.masks}: left out {len(lonely)} masks that belong to no photo in "
            f"{place.images}; the first is '{lonely[0]}'."
        )
    listed = None if place.has_names else class_files.find(place.masks)
    labels = sorted({part.label for part in parts.values()})
    names = list(listed.names) if listed else export.background_first(labels)
    unknown = [label for label in labels if listed and label not in names]
    if unknown:
        raise UserError(
            f"{place.masks} has masks of '{unknown[0]}', which {listed.path} does not "
            "list. Add a line to the file, or rename the masks."
        )
    chosen = {n: tuple(by_photo[n]) for n in photos.names if n in by_photo}
    return Export(
        f"Masks of single classes: {len(chosen)} of {len(photos.names)} photos in "
        f"{place.images} have some in {place.masks}; where they overlap, the class "
        "with the higher id is on top",
        photos,
        chosen,
        names,
        listed.path if listed else f"the names of masks in {place.masks}",
        draw=draw,
    )


def _is_yes_no(path: str) -> bool:
    with contextlib.suppress(UserError):
        masks.read_mask(path, 2, 255, _YES_NO)
        return True
    return False


def _scan(folder: str) -> Mapping[str, str]:
    try:
        return discovery.scan(folder).paths
    except UserError:  # Not a folder of images: something else may be recognized.
        return {}


def _best(files: Mapping[str, str], photos: Mapping[str, str]) -> Mapping[str, _Part]:
    """The mask files by the layout that explains most of them."""
    found: dict[str, dict[str, _Part]] = collections.defaultdict(dict)
    for name in files:
        for layout, part in _readings(name):
            if part.photo in photos:
                found[layout].setdefault(name, part)
    return max(found.values(), key=len, default={})


def _readings(name: str) -> Iterator[tuple[str, _Part]]:
    """What the name of a mask may mean, by layout."""
    first, _, rest = name.partition("/")
    yield "road/a", _Part(rest, first)
    folder, _, last = name.rpartition("/")
    yield "a/road", _Part(folder, last)
    for separator in "_-":
        for place in reversed(range(len(name))):  # Of a_1_road, rather a_1 than a.
            if name[place] == separator:
                layout = f"a{separator}road"
                yield layout, _Part(name[:place], name[place + 1 :])


def draw(item: Item, spec: DatasetSpec) -> Drawn:
    """Puts the masks of a photo on top of each other, in the order of the classes.

    Raises:
      UserError: a mask is no yes/no mask, or they differ in size.
    """
    parts = sorted(
        (export.class_of(label, spec, path), path) for path, label in item.mask
    )
    mask: Optional[np.ndarray] = None
    for class_id, path in parts:
        covered = masks.read_mask(path, 2, 255, _YES_NO) == 1
        if mask is None:
            mask = np.zeros(covered.shape, np.uint8)
        if covered.shape != mask.shape:
            raise UserError(
                f"The masks {parts[0][1]} and {path} of one photo differ in size. Save "
                "both at the photo's size."
            )
        mask[covered] = class_id
    return Drawn(mask)
