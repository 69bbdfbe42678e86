"""labelme: a JSON file with outlines for each photo, or folders `a_json`."""

import base64
import functools
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
from PIL import Image

from data_prep import masks, pairing, relabel
from data_prep.exports import class_files, drawing, export, json_files
from data_prep.exports.export import Export, Place
from data_prep.pairing import Item
from data_prep.photos import Drawn
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.files import text_files
from wss.image_io import decoding
from wss.image_io.patterns import Pattern

LAYOUT = "JSON files with 'shapes', one for each photo, or folders *_json"
_DEPTH = 20
_TRIED = 5
_FOLDER = "_json"
_MASK = Pattern("{id}_json/label")
_NAMES = "label_names.txt"


def find(place: Place) -> Optional[Export]:
    """Finds labelme's files.

    Raises:
      UserError: they are broken, or belong to no photo.
    """
    return _find_outlines(place) or _find_folders(place)


# --- JSON files.


def _find_outlines(place: Place) -> Optional[Export]:
    paths = json_files.below(place.masks, _DEPTH)
    # The first files decide, because reading all takes long.
    if not any(_is_labelme(json_files.load(path)) for path in paths[:_TRIED]):
        return None
    photos = place.photos()
    by_last = {name.rpartition("/")[2]: name for name in photos.known.paths}
    found: dict[str, str] = {}
    labels: list[str] = []
    num_lonely = num_empty = 0
    for path in paths:
        content = json_files.load(path)
        if not _is_labelme(content):
            continue
        name = _photo(path, content, place, photos.known.paths, by_last)
        if not content["shapes"]:
            num_empty += 1
        elif name is None:
            num_lonely += 1
        else:
            found[name] = path
            labels += (str(shape["label"]) for shape in content["shapes"])
    if not found:
        raise UserError(
            f"No JSON file of labelme in {place.masks} has outlines of a photo in "
            f"{place.images}. Pass the folder of the photos as --images."
        )
    if num_lonely or num_empty:
        print(
            f"{place.masks}: left out {num_lonely} JSON files without photo, and "
            f"{num_empty} without outlines, whose photos count as unlabeled."
        )
    chosen = {name: found[name] for name in photos.names if name in found}
    listed = None if place.has_names else class_files.find(place.masks)
    names = export.background_first(sorted(set(labels)))
    if listed:
        _check_listed(names[1:], listed)
        names = list(listed.names)
    return Export(
        f"labelme's outlines: {len(chosen)} of {len(photos.names)} photos in "
        f"{place.images} have some",
        photos,
        chosen,
        names,
        listed.path if listed else "the labels of labelme's outlines",
        draw=draw,
    )


def _is_labelme(content: Any) -> bool:
    return isinstance(content, dict) and isinstance(content.get("shapes"), list)


def _photo(
    path: str,
    content: Mapping[str, Any],
    place: Place,
    known: Mapping[str, str],
    by_last: Mapping[str, str],
) -> Optional[str]:
    """The id of a file's photo: it has the same name, or the file names it."""
    beside = os.path.relpath(os.path.splitext(path)[0], place.masks)
    beside = beside.replace(os.sep, "/")
    if beside in known:
        return beside
    image = str(content.get("imagePath") or "").replace("\\", "/")
    last = os.path.splitext(image.rpartition("/")[2])[0]
    return by_last.get(last) or by_last.get(beside.rpartition("/")[2])


def _check_listed(names: Sequence[str], listed: class_files.ClassFile) -> None:
    for name in names:
        if name not in listed.names:
            raise UserError(
                f"An outline has the label '{name}', which {listed.path} does not "
                "list. Add a line to the file, or correct the label in labelme."
            )


def draw(item: Item, spec: DatasetSpec) -> Drawn:
    """Draws the shapes of a JSON file as labelme does; later ones are on top.

    Raises:
      UserError: a shape is broken.
    """
    content = json_files.load(item.mask)
    width, height = content.get("imageWidth"), content.get("imageHeight")
    if not (width and height):  # Not in files of old versions.
        width, height = _upright_size(item.image)
    mask = np.zeros((height, width), np.uint8)
    for shape in content["shapes"]:
        class_id = export.class_of(str(shape["label"]), spec, item.mask)
        try:
            covered = _covered(shape, width, height)
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise UserError(
                f"An outline with the label '{shape['label']}' in {item.mask} cannot "
                f"be drawn ({error}). Correct or remove it in labelme."
            ) from error
        mask[covered] = class_id
    return Drawn(mask)


def _upright_size(path: str) -> tuple[int, int]:
    _, image = decoding.load(path, "image")
    turn = decoding.orientation(image)
    return (image if turn is None else image.transpose(turn)).size


def _covered(shape: Mapping[str, Any], width: int, height: int) -> np.ndarray:
    """The pixels of a shape: [height, width], bool."""
    points = [(float(x), float(y)) for x, y in shape["points"]]
    kind = shape.get("shape_type") or "polygon"
    if kind != "mask":
        return drawing.covered(kind, points, width, height)
    canvas = Image.new("1", (width, height))
    with Image.open(io.BytesIO(base64.b64decode(shape["mask"]))) as part:
        left, top = (round(value) for value in points[0])
        canvas.paste(part.convert("1"), (left, top))
    return np.asarray(canvas)


# --- Folders a_json, which labelme_export_json and labelme_json_to_dataset write.


def _find_folders(place: Place) -> Optional[Export]:
    if not _has_folders(place.masks):
        return None
    photos = place.photos()
    inside = [n for n in photos.names if any(p.endswith(_FOLDER) for p in n.split("/"))]
    names = [name for name in photos.names if name not in set(inside)]
    photos = pairing.Images(photos.known, names)
    files = pairing.find_masks(photos, place.masks, _MASK)
    found = {
        name: ((files[name], os.path.join(os.path.dirname(files[name]), _NAMES)),)
        for name in names
        if name in files
    }
    labels = [label for ((_, path),) in found.values() for label in _read_names(path)]
    return Export(
        f"labelme's folders *{_FOLDER}: {len(found)} of {len(names)} photos in "
        f"{place.images} have one",
        photos,
        found,
        export.background_first(sorted(set(labels))),
        f"the {_NAMES} of labelme's folders",
        draw=draw_numbered,
    )


def _has_folders(folder: str) -> bool:
    if not os.path.isdir(folder):
        return False
    for above, folders, _ in os.walk(folder):
        for name in folders:
            if name.endswith(_FOLDER):
                return os.path.isfile(os.path.join(above, name, "label.png"))
    return False


@functools.cache
def _read_names(path: str) -> tuple[str, ...]:
    return tuple(line for _, line in text_files.read_lines(path))


def draw_numbered(item: Item, spec: DatasetSpec) -> Drawn:
    """Reads a mask whose values are numbered by a list of its own.

    Raises:
      UserError: the mask or its list is broken.
    """
    ((path, names),) = item.mask
    classes = [export.class_of(name, spec, names) for name in _read_names(names)]
    values = masks.read_values(path)
    if not (0 <= values.min() and values.max() < len(classes)):
        raise UserError(
            f"The mask {path} has the value {values.max()}, but {names} has only "
            f"{len(classes)} lines. Export the photo's JSON file again."
        )
    return Drawn(relabel.look_up(values, dict(enumerate(classes)), path))
