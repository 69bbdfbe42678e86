"""labelme: a JSON file with outlines for each photo, or folders `a_json`."""

import base64
import functools
import io
import os
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
from PIL import Image

from data_prep import listed_images, masks, pairing, relabel
from data_prep.exports import class_files, drawing, export, json_files
from data_prep.exports.export import Export, Place
from data_prep.listed_images import Listed
from data_prep.pairing import Item
from data_prep.photos import Drawn
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.files import text_files
from wss.image_io import decoding
from wss.image_io.patterns import Pattern

LAYOUT = "JSON files with 'shapes', one for each photo, or folders *_json"
_DEPTH = 20
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
    if not any(_is_labelme(json_files.load(path)) for path in paths):
        return None
    photos = place.photos()
    found, labels = _outlines(paths, place, photos.known.paths)
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


def _outlines(
    paths: Sequence[str], place: Place, known: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """{id: JSON file} of the photos with outlines, and the labels of these.

    Raises:
      UserError: no photo has outlines, two files are about one photo, or a shape has
        no label.
    """
    entries, labels, others = [], [], []
    num_empty = 0
    images = listed_images.Images(known)
    for path in paths:
        content = json_files.load(path)
        if not _is_labelme(content):
            continue
        if not content["shapes"]:
            num_empty += 1
            continue
        own, named = _names(path, content, place)
        if own in known:
            others += [path] if images.find(named) not in (None, own) else []
            named = [own]
        entries.append(Listed(path, [*named, own.rpartition("/")[2]]))
        labels += [export.label_of(one.get("label"), path) for one in content["shapes"]]
    ids = listed_images.find(entries, known, place.masks)
    found = {name: entry.source for name, entry in zip(ids, entries) if name}
    if not found:
        raise UserError(
            f"No JSON file of labelme in {place.masks} has outlines of a photo in "
            f"{place.images}. Pass the folder of the photos as --images."
        )
    if len(found) < len(entries) or num_empty:
        print(
            f"{place.masks}: left out {len(entries) - len(found)} JSON files without "
            f"photo, and {num_empty} without outlines, whose photos count as unlabeled."
        )
    if others:
        print(
            f"{len(others)} JSON files name another photo as 'imagePath' than the one "
            f"with their own name, which is taken; the first is {others[0]}."
        )
    return found, labels


def _names(
    path: str, content: Mapping[str, Any], place: Place
) -> tuple[str, list[str]]:
    """The photo of a JSON file by the file's own name, and by its `imagePath`."""
    own = os.path.relpath(os.path.splitext(path)[0], place.masks).replace(os.sep, "/")
    own = unicodedata.normalize("NFC", own)
    image = unicodedata.normalize("NFC", str(content.get("imagePath") or ""))
    image = listed_images.name_of(image) if image else ""
    return own, [image, image.rpartition("/")[2]] if image else []


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
    if canvas.getbbox() is None:
        raise ValueError("it covers no pixel of the photo")
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
