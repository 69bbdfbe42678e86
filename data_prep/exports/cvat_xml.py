"""CVAT's own format, "CVAT for images": annotations.xml with outlines and masks."""

import functools
import json
import os
from collections.abc import Sequence
from typing import Any, Optional
from xml.etree import ElementTree

import numpy as np

from data_prep import coco_annotations, coco_masks, id_lists, listed_images
from data_prep.exports import drawing, export
from data_prep.exports.export import Export, Place
from data_prep.pairing import Item
from data_prep.photos import Drawn
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

LAYOUT = "annotations.xml of CVAT for images"
_FILE = "annotations.xml"
_KINDS = {
    "polygon": "polygon",
    "box": "rectangle",
    "ellipse": "ellipse",
    "polyline": "linestrip",
    "mask": "mask",
}
_WITHOUT_AREA = ("points", "cuboid", "skeleton")


def find(place: Place) -> Optional[Export]:
    """Finds CVAT's annotations.

    Raises:
      UserError: they are broken, or of a video; or photos are missing.
    """
    path = place.masks if os.path.isfile(place.masks) else ""
    path = path or os.path.join(place.masks, _FILE)
    if not (path.lower().endswith(".xml") and os.path.isfile(path)):
        return None
    root = _read(path)
    photos = place.photos()
    images = list(root.iter("image"))
    names = [image.get("name", "") for image in images]
    entries = [
        listed_images.in_any_folder(name, listed_images.name_of(name)) for name in names
    ]
    files = listed_images.find(entries, photos.known.paths, path)
    listed_images.note_elsewhere(entries, files, path)
    shapes = [_shapes(image, path) for image in images]
    id_lists.refuse_missing(
        [name for file, name, some in zip(files, names, shapes) if some and not file],
        f"images with outlines in {path} are not in {place.images}",
        "Put them there, or pass their folder as --images.",
    )
    found = {
        file: json.dumps({"size": _size(image, path), "shapes": some})
        for file, image, some in zip(files, images, shapes)
        if file and some
    }
    _note_without_area(images, path)
    labels = [name.text or "" for name in root.iterfind("meta//labels/label/name")]
    labels += sorted({shape[1] for some in shapes for shape in some})
    chosen = {name: found[name] for name in photos.names if name in found}
    return Export(
        f"CVAT's outlines ({path}): {len(chosen)} of {len(photos.names)} photos in "
        f"{place.images} have some, the others count as unlabeled",
        photos,
        chosen,
        export.background_first(labels),
        path,
        draw=functools.partial(draw, source=path),
    )


def _read(path: str) -> ElementTree.Element:
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise UserError(f"{path} is damaged ({error}). Export it again.") from error
    if root.find("track") is not None:
        raise UserError(
            f"{path} has tracks of a video. Export the task as 'CVAT for images 1.1', "
            "with the images."
        )
    if root.tag != "annotations" or root.find("image") is None:
        raise UserError(
            f"{path} lists no images, so CVAT did not write it. Export the task as "
            "'CVAT for images 1.1', or name the kind with --from."
        )
    return root


def _size(image: ElementTree.Element, path: str) -> tuple[int, int]:
    """(height, width) of an image."""
    try:
        return int(image.get("height", "")), int(image.get("width", ""))
    except ValueError:
        raise UserError(
            f"{path} has no size of the image '{image.get('name')}'. Export it again."
        ) from None


def _shapes(image: ElementTree.Element, path: str) -> list[tuple[str, str, Any]]:
    """(kind, label, numbers) of the shapes of an image, the lowest first."""
    found = [shape for shape in image if shape.tag in _KINDS]
    where = f"The image '{image.get('name')}' in {path}"
    try:
        found.sort(key=lambda shape: int(shape.get("z_order") or 0))
        outlines = [_outline(one) for one in found]
    except (KeyError, ValueError) as error:
        raise UserError(
            f"A shape of the image '{image.get('name')}' in {path} is broken "
            f"({coco_annotations.in_words(error)}). Export it again."
        ) from error
    labels = [export.label_of(one.get("label"), where) for one in found]
    return [(kind, label, n) for (kind, n), label in zip(outlines, labels)]


def _note_without_area(images: Sequence[ElementTree.Element], path: str) -> None:
    """Prints how many shapes cover no pixels, so that they are left out."""
    tags = [shape.tag for image in images for shape in image]
    counts = {tag: tags.count(tag) for tag in _WITHOUT_AREA if tag in tags}
    if counts:
        shown = ", ".join(f"{count} {tag}" for tag, count in counts.items())
        print(f"{path}: left out shapes that have no outline: {shown}.")


def _outline(shape: ElementTree.Element) -> tuple[str, Sequence[Any]]:
    """The kind of a shape for `drawing.covered`, and its numbers.

    CVAT rotates boxes and ellipses clockwise about their center.
    """
    kind, numbers = _KINDS[shape.tag], _numbers(shape)
    degrees = float(shape.get("rotation") or 0)
    if not degrees or kind not in ("rectangle", "ellipse"):
        return kind, numbers
    (left, top), (right, bottom) = numbers
    center = ((left + right) / 2, (top + bottom) / 2)
    points = [(left, top), (right, top), (right, bottom), (left, bottom)]
    if kind == "ellipse":
        points = drawing.ellipse(*center, (right - left) / 2, (bottom - top) / 2)
    return "polygon", drawing.rotated(points, degrees, center)


def _numbers(shape: ElementTree.Element) -> Sequence[Any]:
    """The points of a shape; for a mask: left, top, width, height and run lengths."""
    value = shape.attrib
    if shape.tag == "mask":
        box = [int(float(value[k])) for k in ("left", "top", "width", "height")]
        return [*box, *map(int, value["rle"].split(","))]
    if shape.tag == "box":
        corners = [float(value[key]) for key in ("xtl", "ytl", "xbr", "ybr")]
        return [corners[:2], corners[2:]]
    if shape.tag == "ellipse":
        x, y, rx, ry = (float(value[key]) for key in ("cx", "cy", "rx", "ry"))
        return [[x - rx, y - ry], [x + rx, y + ry]]
    return [list(map(float, one.split(","))) for one in value["points"].split(";")]


def draw(item: Item, spec: DatasetSpec, source: str) -> Drawn:
    """Draws the shapes of a photo; those with a higher z_order are on top.

    Raises:
      UserError: a shape cannot be drawn, or the photo has another size.
    """
    content = json.loads(item.mask)
    height, width = content["size"]
    as_stored = coco_masks.is_as_stored(item.image, height, width, source)
    mask = np.zeros((height, width), np.uint8)
    for kind, label, numbers in content["shapes"]:
        class_id = export.class_of(label, spec, source)
        try:
            if kind == "mask":
                _draw_runs(mask, class_id, *numbers)
            else:
                points = [(x, y) for x, y in numbers]
                mask[drawing.covered(kind, points, width, height)] = class_id
        except ValueError as error:
            raise UserError(
                f"A shape of '{item.name}' with the label '{label}' in {source} cannot "
                f"be drawn ({error}). Correct or remove it in CVAT."
            ) from error
    return Drawn(mask, as_stored)


def _draw_runs(
    mask: np.ndarray, class_id: int, left: int, top: int, width: int, height: int, *runs
) -> None:
    """Draws a mask: runs of pixels outside and inside in turn, by rows of its box."""
    if sum(runs) != width * height or min(left, top) < 0:
        raise ValueError(f"its runs do not fill {width} x {height} pixels")
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    part = mask[top : top + height, left : left + width]
    part[inside[: part.shape[0], : part.shape[1]]] = class_id
