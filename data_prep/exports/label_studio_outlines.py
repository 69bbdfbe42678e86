"""Outlines and brush masks in Label Studio's JSON export."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
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

# Where a result has its labels.
_LABELS = ("polygonlabels", "rectanglelabels", "ellipselabels", "brushlabels")
_ELLIPSE_CORNERS = 90


def find(place: Place) -> Optional[Export]:
    """Finds the outlines of a project's tasks.

    Raises:
      UserError: one is broken, or a photo is missing.
    """
    tasks = label_studio_tasks.read(place.masks)
    results = {number: _results(task) for number, task in tasks.items()}
    labeled = {number: tasks[number] for number, some in results.items() if some}
    if not labeled:
        return None
    several = sum(len(_annotations(task)) > 1 for task in labeled.values())
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


def _annotations(task: Task) -> list[Mapping[str, Any]]:
    """The annotations of a task; none in the format JSON_MIN."""
    given = task.get("annotations")
    given = given if isinstance(given, list) else []
    return [one for one in given if not one.get("was_cancelled") and one.get("result")]


def _results(task: Task) -> list[Mapping[str, Any]]:
    """The outlines and masks of a task's last annotation."""
    annotations = _annotations(task)
    if annotations:
        given = annotations[-1]["result"]
    else:  # JSON_MIN has lists of them by the name of the control.
        lists = [value for value in task.values() if isinstance(value, list)]
        given = [one for some in lists for one in some if isinstance(one, dict)]
    return [one for one in given if any(key in _value(one) for key in _LABELS)]


def _value(result: Mapping[str, Any]) -> Mapping[str, Any]:
    return result.get("value", result)


def _shapes(results: Sequence[Any], where: str, source: str) -> dict[str, Any]:
    """Height and width of a photo, and the label and description of each shape."""
    shapes = []
    for result in results:
        value = _value(result)
        kind = next(key for key in _LABELS if key in value)
        if len(value[kind]) != 1:
            raise UserError(
                f"A shape of {where} in {source} has {len(value[kind])} labels, not "
                "one. Correct it in Label Studio, and export again."
            )
        if result.get("image_rotation"):
            raise UserError(
                f"The photo of {where} in {source} was rotated in Label Studio. Rotate "
                "the file instead, and label it again."
            )
        shapes.append((value[kind][0], {**value, "kind": kind}))
    try:
        size = [int(results[0][key]) for key in ("original_height", "original_width")]
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{source} has no size of the photo of {where}. Export it again."
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
    if shape["kind"] == "brushlabels":
        return _decoded(shape["rle"], height, width)
    to_pixels = np.array([width, height]) / 100
    points = np.array([*_corners(shape)]) * to_pixels
    if shape.get("rotation"):  # In degrees, about the corner or center that is named.
        origin = np.array([shape["x"], shape["y"]]) * to_pixels
        angle = math.radians(shape["rotation"])
        cos, sin = math.cos(angle), math.sin(angle)
        points = (points - origin) @ [[cos, sin], [-sin, cos]] + origin
    return drawing.covered("polygon", [(x, y) for x, y in points], width, height)


def _corners(shape: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """The corners of a shape as a polygon, in percent of width and height."""
    if shape["kind"] == "polygonlabels":
        yield from shape["points"]
        return
    x, y = shape["x"], shape["y"]
    if shape["kind"] == "rectanglelabels":
        w, h = shape["width"], shape["height"]
        yield from ((x, y), (x + w, y), (x + w, y + h), (x, y + h))
        return
    for angle in np.linspace(0, 2 * math.pi, _ELLIPSE_CORNERS, endpoint=False):
        yield (
            x + shape["radiusX"] * math.cos(angle),
            y + shape["radiusY"] * math.sin(angle),
        )


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
