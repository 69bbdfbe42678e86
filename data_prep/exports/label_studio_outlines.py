"""Outlines and brush masks in Label Studio's JSON export."""

import collections
import json
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np

from data_prep import coco_masks
from data_prep.exports import drawing, export, label_studio_tasks
from data_prep.exports.export import Export, Place
from data_prep.exports.label_studio_tasks import Task
from data_prep.pairing import Item
from data_prep.photos import Drawn
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

# The fields of a shape with an outline, by its kind.
_FIELDS = {
    "brush": {"rle"},
    "polygon": {"points"},
    "ellipse": {"x", "y", "radiusX", "radiusY"},
    "rectangle": {"x", "y", "width", "height"},
}


def find(place: Place) -> Optional[Export]:
    """Finds the outlines of a project's tasks.

    Raises:
      UserError: one is broken, or a photo is missing.
    """
    tasks = label_studio_tasks.read(place.masks)
    labeled_results = {number: _results(task) for number, task in tasks.items()}
    results = {
        number: [one for one in some if _kind(_value(one))]
        for number, some in labeled_results.items()
    }
    labeled = {number: tasks[number] for number, some in results.items() if some}
    if not labeled:
        return None
    _note_without_area(
        [one for some in labeled_results.values() for one in some], place.masks
    )
    several = sum(
        len(label_studio_tasks.annotations(task)) > 1 for task in labeled.values()
    )
    if several:
        print(f"{several} tasks have several annotations; the last of each is taken.")
    photos = place.photos()
    names = label_studio_tasks.find_photos(
        labeled, photos.known.paths, place.masks, place.images
    )
    found = {names[n]: _shapes(results[n], f"task {n}", place.masks) for n in labeled}
    chosen = {name: found[name] for name in photos.names if name in found}
    labels = {label for some in found.values() for label, _ in some["shapes"]}
    return Export(
        f"Label Studio's outlines ({place.masks}): {len(chosen)} of "
        f"{len(photos.names)} photos in {place.images} have some, the others count as "
        "unlabeled",
        photos,
        {name: json.dumps(some) for name, some in chosen.items()},
        export.background_first(sorted(labels)),
        "the labels of Label Studio's outlines",
        draw=draw,
    )


def _note_without_area(results: Sequence[Mapping[str, Any]], source: str) -> None:
    """Prints how many results have labels but no outline, so that they are left out."""
    counts = collections.Counter(
        str(one.get("type", "result")) for one in results if not _kind(_value(one))
    )
    if counts:
        shown = ", ".join(f"{count} {kind}" for kind, count in counts.items())
        print(f"{source}: left out labels that have no outline: {shown}.")


def _results(task: Task) -> list[Mapping[str, Any]]:
    """The results with labels of a task's last annotation."""
    annotations = label_studio_tasks.annotations(task)
    if annotations:
        given = annotations[-1]["result"]
    else:  # JSON_MIN has lists of them by the name of the control.
        lists = [value for value in task.values() if isinstance(value, list)]
        given = [one for some in lists for one in some if isinstance(one, dict)]
    return [one for one in given if _labels(_value(one)) is not None]


def _value(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result.get("value", result)


def _labels(value: Mapping[str, Any]) -> Optional[Sequence[Any]]:
    """The labels of a result, in a field such as "polygonlabels" or "labels"."""
    fields = (value[key] for key in value if key.endswith("labels"))
    return next((labels for labels in fields if isinstance(labels, list)), None)


def _kind(value: Mapping[str, Any]) -> Optional[str]:
    """The kind of a shape, by its fields; None if it has no outline."""
    return next((kind for kind, keys in _FIELDS.items() if keys <= value.keys()), None)


def _shapes(results: Sequence[Any], where: str, source: str) -> dict[str, Any]:
    """Height and width of a photo, and the label and description of each shape."""
    shapes, sizes = [], set()
    for result in results:
        value = _value(result)
        labels = _labels(value)
        if len(labels) != 1:
            raise UserError(
                f"A shape of {where} in {source} has {len(labels)} labels, not "
                "one. Correct it in Label Studio, and export again."
            )
        if result.get("image_rotation"):
            raise UserError(
                f"The photo of {where} in {source} was rotated in Label Studio. Rotate "
                "the file instead, and label it again."
            )
        label = export.label_of(labels[0], f"The {where} in {source}")
        shapes.append((label, {**value, "kind": _kind(value)}))
        sizes.add((result.get("original_height"), result.get("original_width")))
    try:
        ((height, width),) = sizes
        size = [int(height), int(width)]
    except (TypeError, ValueError):
        raise UserError(
            f"{source} has no size of the photo of {where}, or several sizes. Export "
            "it again, with one image per task."
        ) from None
    return {"size": size, "shapes": shapes, "source": f"{where} in {source}"}


def draw(item: Item, spec: DatasetSpec) -> Drawn:
    """Draws the shapes of a photo; later ones are on top.

    Raises:
      UserError: a shape cannot be drawn, or the photo has another size.
    """
    content = json.loads(item.mask)
    (height, width), source = content["size"], content["source"]
    as_stored = coco_masks.is_as_stored(item.image, height, width, source)
    mask = np.zeros((height, width), np.uint8)
    for label, shape in content["shapes"]:
        class_id = export.class_of(label, spec, source)
        try:
            mask[_covered(shape, height, width)] = class_id
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"A shape of '{item.name}' with the label '{label}' ({source}) cannot "
                f"be drawn ({error}). Correct or remove it in Label Studio."
            ) from error
    return Drawn(mask, as_stored)


def _covered(shape: Mapping[str, Any], height: int, width: int) -> np.ndarray:
    """The pixels of a shape: [height, width], bool."""
    if shape["kind"] == "brush":
        return _decoded(shape["rle"], height, width)
    points = [(x * width / 100, y * height / 100) for x, y in _corners(shape)]
    if shape.get("rotation"):  # About the corner or center that is named.
        center = (shape["x"] * width / 100, shape["y"] * height / 100)
        points = drawing.rotated(points, shape["rotation"], center)
    return drawing.covered("polygon", points, width, height)


def _corners(shape: Mapping[str, Any]) -> Sequence[tuple[float, float]]:
    """The corners of a shape as a polygon, in percent of width and height."""
    if shape["kind"] == "polygon":
        return shape["points"]
    x, y = shape["x"], shape["y"]
    if shape["kind"] == "ellipse":
        return drawing.ellipse(x, y, shape["radiusX"], shape["radiusY"])
    right, bottom = x + shape["width"], y + shape["height"]
    return [(x, y), (right, y), (right, bottom), (x, bottom)]


def _decoded(numbers: Sequence[int], height: int, width: int) -> np.ndarray:
    """Decodes the run lengths of a brush mask: [height, width], bool.

    They are those of the package @thi.ng/rle-pack, of RGBA pixels, as a stream of bits:
    the number of values (32 bits), the bits of a value (5), and those of four kinds of
    lengths (4 each); all but the first less 1. Then runs: whether one value fills the
    run (1 bit), the kind of its length (2), its length less 1, its value or values.
    """
    bits = "".join(f"{number:08b}" for number in numbers)
    place = 0

    def read(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    values = np.zeros(read(32), np.uint8)
    if values.size != 4 * height * width:
        raise ValueError(f"its runs do not fill {width} x {height} pixels")
    size = read(5) + 1
    lengths = [read(4) + 1 for _ in range(4)]
    start = 0
    while start < values.size:
        is_run = read(1)
        end = start + read(lengths[read(2)]) + 1
        if is_run:
            values[start:end] = read(size)
        else:
            values[start:end] = [
                read(size) for _ in range(min(end, values.size) - start)
            ]
        start = end
    return values.reshape(height, width, 4)[..., 3] > 0
