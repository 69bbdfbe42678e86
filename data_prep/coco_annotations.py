"""Reads instance annotations in COCO's format, from COCO or from labeling tools.

pycocotools fills polygons and decodes run lengths. Its `COCO` class is not used,
because it needs annotations with ids and ids of one type, unlike some tools' exports.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import json
import math
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from data_prep import class_names, listed_images
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.files import atomic

_FORMAT = (
    "In COCO's format, 'images' have an id, file_name, height and width; 'annotations' "
    "have an image_id, category_id and segmentation; 'categories' have an id and name"
)
_BACKGROUND = "background"
_ARRAYS = ("images", "annotations", "categories")
# Larger images would not be read either.
_MAX_PIXELS = 2**28
# Larger numbers cannot be coordinates, and would cost memory.
_FARTHEST = 1e5


class Object(NamedTuple):
    """An annotated object.

    Attributes:
      category: index in `Annotations.categories`.
      area: in pixels, from the file; NaN if it has none.
      outline: its `segmentation` as JSON text, which takes a third of the memory.
    """

    category: int
    area: float
    outline: str


@dataclasses.dataclass(frozen=True)
class Annotations:
    """The content of an annotation file.

    Attributes:
      path: the file.
      sizes: {image name: (height, width)}, in the file's order; the name is the path in
        the file, without extension.
      objects: {image name: its objects}, in the file's order.
      categories: names of the categories, in the order of their ids.
    """

    path: str
    sizes: Mapping[str, tuple[int, int]]
    objects: Mapping[str, Sequence[Object]]
    categories: Sequence[str]

    def outlines(self, name: str, class_ids: Sequence[int]) -> str:
        """The objects of an image as JSON: [[class id, segmentation], ...].

        Args:
          name: the image.
          class_ids: of the categories; -1 leaves a category out.
        """
        found = (
            f"[{class_ids[one.category]},{one.outline}]"
            for one in self.objects[name]
            if class_ids[one.category] >= 0
        )
        return f"[{','.join(found)}]"

    def area(self, name: str, class_ids: Sequence[int]) -> float:
        """Area of the image's objects in pixels, from the file.

        Raises:
          UserError: the file has no area.
        """
        area = sum(
            one.area for one in self.objects[name] if class_ids[one.category] >= 0
        )
        if math.isnan(area):
            raise UserError(
                f"{self.path} does not give the 'area' of each object in the image "
                f"'{name}', which this split needs to select images. Use the file of "
                "cocodataset.org."
            )
        return area


def require_pycocotools() -> None:
    """Checks for the optional package that draws outlines.

    Raises:
      UserError: it is not installed.
    """
    if not importlib.util.find_spec("pycocotools"):
        raise UserError(
            "Reading COCO's annotations needs pycocotools: pip install -e '.[coco]'."
        )


@functools.lru_cache(maxsize=1)  # Several splits share a file of half a gigabyte.
def load(path: str) -> Annotations:
    """Reads an instance annotation file.

    Args:
      path: such as instances_train2017.json.

    Raises:
      UserError: there is no such file, or its content is something else.
    """
    content = _read_json(path)
    try:
        return _parse(path, content)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{path} has no instance annotations in COCO's format ({in_words(error)}). "
            f"{_FORMAT}."
        ) from error


def _read_json(path: str) -> Any:
    atomic.refuse_special(path, "annotation file")
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except FileNotFoundError:
        raise UserError(
            f"There is no {path}. Download annotations_trainval2017.zip from "
            "https://cocodataset.org/#download and unpack it in --coco_dir; or pass "
            "the file of another tool as --annotations, and its images as --images."
        ) from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not a JSON file in UTF-8, or it is damaged ({error}). Download "
            "or export it again."
        ) from error


def in_words(error: Exception) -> str:
    """Describes what is wrong with an entry of the file."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _parse(path: str, content: Mapping[str, Any]) -> Annotations:
    absent = [f"'{key}'" for key in _ARRAYS if not content.get(key)]
    if absent:
        raise ValueError(f"nothing is listed under {', '.join(absent)}")
    images, annotations, categories = (content[key] for key in _ARRAYS)
    names, place_of = _read_categories(categories)
    name_of, sizes = _read_images(images)
    objects: dict[str, list[Object]] = {name: [] for name in sizes}
    num_unlisted = num_without_outline = 0
    for one in annotations:
        name = name_of.get(_key(one["image_id"]))
        category = _key(one["category_id"])
        if category not in place_of:
            raise ValueError(f"there is no category {category}")
        if name is None:
            num_unlisted += 1
        elif not one.get("segmentation"):
            num_without_outline += 1
        else:
            outline = json.dumps(one["segmentation"], separators=(",", ":"))
            found = Object(place_of[category], _area(one.get("area")), outline)
            objects[name].append(found)
    if num_unlisted == len(annotations):
        raise ValueError("no 'image_id' of the annotations is the id of an image")
    if num_without_outline + num_unlisted == len(annotations):
        raise ValueError("no object has a 'segmentation': boxes have no outlines")
    if num_without_outline:
        print(f"Left out {num_without_outline} objects without outline in {path}.")
    if num_unlisted:
        print(
            f"Left out {num_unlisted} objects in {path} that belong to images that it "
            "does not list."
        )
    return Annotations(path, sizes, objects, names)


def _read_images(
    images: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, str], dict[str, tuple[int, int]]]:
    """{id: name} and {name: (height, width)} of the listed images."""
    name_of: dict[str, str] = {}
    sizes: dict[str, tuple[int, int]] = {}
    for image in images:
        name, key = listed_images.name_of(_text(image["file_name"])), _key(image["id"])
        if name in sizes or key in name_of:
            raise ValueError(f"image {name} is listed twice")
        height, width = int(image["height"]), int(image["width"])
        if min(height, width) < 1 or height * width > _MAX_PIXELS:
            raise ValueError(f"image {name} has no size: {width} x {height} pixels")
        name_of[key], sizes[name] = name, (height, width)
    return name_of, sizes


def _read_categories(
    categories: Sequence[Mapping[str, Any]],
) -> tuple[list[str], dict[str, int]]:
    """Names of the categories in the order of their ids, and the index of each id."""
    found: dict[str, str] = {}
    for value in categories:
        key, name = _key(value["id"]), _text(value["name"])
        if found.setdefault(key, name) != name:
            raise ValueError(f"'{found[key]}' and '{name}' both have the id {key}")

    def rank(key: str) -> tuple[bool, int, str]:
        return (False, int(key), "") if key.isdecimal() else (True, 0, key)

    keys = sorted(found, key=rank)
    return [found[key] for key in keys], {key: i for i, key in enumerate(keys)}


def _key(value: Any) -> str:
    """An id as text: some tools write 9 in one place and "9" in another."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"{value!r} is not an id")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is not a name")
    return unicodedata.normalize("NFC", value.strip())


def _area(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def draw_outline(mask: np.ndarray, segmentation: Any, class_id: int) -> None:
    """Draws an object onto a mask, with pycocotools.

    Args:
      mask: [height, width], uint8.
      segmentation: a polygon [x0, y0, x1, y1, ...] or a list of them, in pixels, whose
        union is the object; or run lengths {"counts": ..., "size": [height, width]},
        as a list or compressed. A polygon with fewer than three corners covers no
        pixel.
      class_id: of the object.

    Raises:
      ValueError, KeyError, TypeError: it is none of these, or has another image size.
    """
    from pycocotools import mask as cocomask  # Optional: only this format needs it.

    height, width = mask.shape
    if isinstance(segmentation, dict):
        runs = _checked_runs(segmentation, height, width)
    else:
        polygons = _checked_polygons(segmentation)
        if not polygons:
            return
        runs = cocomask.merge(cocomask.frPyObjects(polygons, height, width))
    np.copyto(mask, class_id, where=cocomask.decode(runs).astype(bool))


def _checked_polygons(segmentation: Any) -> list[list[float]]:
    """The polygons that cover pixels, after checks that pycocotools does not make."""
    if any(isinstance(one, (int, float)) for one in segmentation[:1]):
        segmentation = [segmentation]  # A polygon by itself, as some tools write it.
    polygons = []
    for polygon in segmentation:
        points = np.asarray(polygon, np.float64)
        if points.ndim != 1 or len(points) % 2:
            raise ValueError("a polygon is not a list of x, y, x, y, ...")
        if not (abs(points) <= _FARTHEST).all():
            raise ValueError("a corner of a polygon is far from the image")
        if len(points) >= 6:
            polygons.append(points.tolist())
    return polygons


def _checked_runs(runs: Mapping[str, Any], height: int, width: int) -> dict[str, Any]:
    """Run lengths in pycocotools' compressed form, if they fill the image exactly.

    pycocotools refuses to decode too many pixels, but not too few. Run lengths fill the
    image if they do not fit into an image that is one pixel smaller.
    """
    from pycocotools import mask as cocomask

    counts = runs["counts"]
    does_fill = list(runs["size"]) == [height, width]
    if isinstance(counts, str):
        runs = {"size": [height, width], "counts": counts}
        with contextlib.suppress(ValueError):
            cocomask.decode({"size": [1, height * width - 1], "counts": counts})
            does_fill = False
    elif does_fill:
        does_fill = sum(counts) == height * width and min(counts) >= 0
        runs = cocomask.frPyObjects(dict(runs), height, width) if does_fill else {}
    if not does_fill:
        raise ValueError(f"run lengths do not fill {width} x {height} pixels")
    return runs


def own_class_names(annotations: Annotations) -> list[str]:
    """The background, and the file's categories in the order of their ids.

    A category called "background" is the background; those in `class_names.IGNORED`
    are no classes.
    """
    names = dict.fromkeys([_BACKGROUND, *map(_class_name, annotations.categories)])
    return [name for name in names if name.lower() not in class_names.IGNORED]


def own_class_ids(annotations: Annotations, spec: DatasetSpec) -> list[int]:
    """The classes, or the ignore label, of the file's categories.

    Raises:
      UserError: a category is not among the classes.
    """
    class_ids = {name: i for i, name in enumerate(spec.class_names)}
    found = []
    for name in map(_class_name, annotations.categories):
        is_ignored = name.lower() in class_names.IGNORED
        if name not in class_ids and not is_ignored:
            raise UserError(
                f"{annotations.path}: the category '{name}' is not among the classes "
                f"({', '.join(spec.class_names)}). Give all annotation files the same "
                "categories."
            )
        found.append(spec.ignore_label if is_ignored else class_ids[name])
    return found


def _class_name(category: str) -> str:
    return _BACKGROUND if category.lower() == _BACKGROUND else category


def find_files(
    listed: Sequence[str], found: Collection[str], source: str
) -> tuple[dict[str, str], list[str]]:
    """The files of the listed images, see `listed_images.find`.

    Args:
      listed: the names of the images, without extension.
      found: ids of the files in the folder.
      source: the annotation file, for the message.

    Returns:
      {id: listed name} in the file's order, and the names that have no file.

    Raises:
      UserError: two listed images have the same file.
    """
    entries = [listed_images.in_any_folder(name, name) for name in listed]
    images = listed_images.find(entries, found, source)
    listed_images.note_elsewhere(entries, images, source)
    files = list(zip(images, listed))
    missing = [name for file, name in files if file is None]
    return {file: name for file, name in files if file is not None}, missing
