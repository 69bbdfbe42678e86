"""Instance annotations in COCO's format, its own and those that tools export."""

import array
import dataclasses
import functools
import math
import os
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.sources import json_stream
from wss.errors import UserError

_FORMAT = (
    "In COCO's format 'images' have an id, file_name, height and width, 'annotations' "
    "an image_id, category_id and segmentation, and 'categories' an id and a name"
)
_BACKGROUND = "background"
# Larger images are not read either.
_MAX_PIXELS = 2**28


@dataclasses.dataclass(frozen=True)
class Annotations:
    """What is where in an annotation file.

    Attributes:
      path: the file.
      sizes: {image name: (height, width)}, in the file's order; a name is the path that
        the file gives, without ending.
      rows: {image name: the rows of its objects in the columns below}, in file order.
      categories: names of the categories, in the order of their ids.
      category: [objects], of all images: places in `categories`.
      areas, starts, lengths: [objects]; an area is NaN where the file has none.
    """

    path: str
    sizes: Mapping[str, tuple[int, int]]
    rows: Mapping[str, slice]
    categories: Sequence[str]
    category: np.ndarray
    areas: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def objects(self, name: str, class_ids: Sequence[int]) -> str:
        """Where the file describes the objects of an image, and their classes.

        Args:
          name: the image.
          class_ids: of the categories; -1 leaves a category out.

        Returns:
          "class id@start+length" in bytes, and so on: all of it would be gigabytes.
        """
        rows = self.rows[name]
        columns = (self.category[rows], self.starts[rows], self.lengths[rows])
        return " ".join(
            f"{class_ids[category]}@{start}+{length}"
            for category, start, length in zip(*columns)
            if class_ids[category] >= 0
        )

    def area(self, name: str, class_ids: Sequence[int]) -> float:
        """Pixels that the image's objects cover, as the file says.

        Raises:
          UserError: it does not say.
        """
        rows = self.rows[name]
        counted = np.asarray(class_ids)[self.category[rows]] >= 0
        area = float(self.areas[rows][counted].sum())
        if math.isnan(area):
            raise UserError(
                f"{self.path} does not give the 'area' of each object in the image "
                f"'{name}', by which images are chosen for this split."
            )
        return area


@functools.lru_cache(maxsize=1)  # Several splits share a file of half a gigabyte.
def load(path: str) -> Annotations:
    """Reads where an instance annotation file describes which object.

    Args:
      path: such as instances_train2017.json.

    Raises:
      FileNotFoundError: there is no such file.
      UserError: it holds something else.
    """
    try:
        return _load(path)
    except (FileNotFoundError, UserError):
        raise
    except (json_stream.NotJsonError, OSError) as error:
        raise UserError(
            f"{path} is no JSON file in UTF-8 that holds COCO's instance annotations, "
            f"or it is damaged ({error}). Fetch or export it again."
        ) from error
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{path} does not hold COCO's instance annotations ({in_words(error)}). "
            f"{_FORMAT}."
        ) from error


def in_words(error: Exception) -> str:
    """What is wrong with an entry of the file."""
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


class _Reader:
    """Takes the entries of a file, whose arrays may come in any order."""

    def __init__(self):
        self.categories: dict[str, str] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.image_ids: dict[str, int] = {}
        # Numbers of the ids, which may be texts, as they come in the annotations.
        self.numbers: dict[str, dict[str, int]] = {"image_id": {}, "category_id": {}}
        self.columns = {
            key: array.array("q") for key in (*self.numbers, "start", "length")
        }
        self.areas = array.array("d")
        self.num_without_outline = 0

    def take(self, element: json_stream.Element) -> None:
        """Takes an element of one of the file's arrays."""
        value = element.value
        if element.array == "categories":
            self.categories[_key(value["id"])] = _text(value["name"])
        elif element.array == "images":
            self._take_image(value)
        elif element.array == "annotations":
            for id_of, known in self.numbers.items():
                key = _key(value[id_of])
                self.columns[id_of].append(known.setdefault(key, len(known)))
            self.columns["start"].append(element.start)
            self.columns["length"].append(element.length)
            self.areas.append(_area(value.get("area")))
            self.num_without_outline += not value.get("segmentation")

    def _take_image(self, value: Mapping[str, Any]) -> None:
        name = _name(_text(value["file_name"]))
        key = _key(value["id"])
        if name in self.sizes or key in self.image_ids:
            raise ValueError(f"image {name} is listed twice")
        self.image_ids[key] = len(self.sizes)
        height, width = int(value["height"]), int(value["width"])
        if min(height, width) < 1 or height * width > _MAX_PIXELS:
            raise ValueError(f"image {name} has no size: {width} x {height} pixels")
        self.sizes[name] = (height, width)


def _load(path: str) -> Annotations:
    """`load`, in one pass."""
    reader = _Reader()
    for element in json_stream.elements(path):
        reader.take(element)
    sizes = reader.sizes
    entries = {"images": sizes, "annotations": reader.areas}
    entries["categories"] = reader.categories
    absent = [f"'{name}'" for name, found in entries.items() if not found]
    if absent:
        raise ValueError(f"nothing is listed under {', '.join(absent)}")
    _check_outlines(path, reader.num_without_outline, len(reader.areas))
    names, place_of = _order(reader.categories)
    table = {key: np.asarray(column) for key, column in reader.columns.items()}
    numbers = reader.numbers
    image = _places(table["image_id"], numbers["image_id"], reader.image_ids)
    _check_listed(path, image)
    category = _places(table["category_id"], numbers["category_id"], place_of)
    if (category < 0).any():
        unknown = next(key for key in numbers["category_id"] if key not in place_of)
        raise ValueError(f"there is no category {unknown}")
    order = np.argsort(image, kind="stable")
    order = order[image[order] >= 0]
    bounds = np.searchsorted(image[order], np.arange(len(sizes) + 1)).tolist()
    return Annotations(
        path,
        sizes,
        {name: slice(*bounds[i : i + 2]) for i, name in enumerate(sizes)},
        names,
        category[order],
        np.asarray(reader.areas)[order],
        table["start"][order],
        table["length"][order],
    )


def _key(value: Any) -> str:
    """An id as text: some tools write 9 in one place and "9" in another."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, (int, str)):
        raise ValueError(f"{value!r} is no id")
    return str(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r} is no name")
    return unicodedata.normalize("NFC", value.strip())


def _name(file_name: str) -> str:
    """An image's name: its path without ending, in one spelling for all systems."""
    return os.path.splitext(os.path.normpath(file_name.replace("\\", "/")))[0]


def _area(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else math.nan


def _check_outlines(path: str, num_without: int, num_objects: int) -> None:
    """Tells of objects that cannot be drawn.

    Raises:
      ValueError: there are no others.
    """
    if num_without == num_objects:
        raise ValueError("no object has a 'segmentation': boxes show no outlines")
    if num_without:
        print(f"{num_without} objects in {path} have no outline, and are left out.")


def _check_listed(path: str, image: np.ndarray) -> None:
    """Tells of objects of unknown images.

    Raises:
      ValueError: there are no others.
    """
    num_unlisted = int((image < 0).sum())
    if num_unlisted == len(image):
        raise ValueError("no 'image_id' of the annotations is the id of an image")
    if num_unlisted:
        print(
            f"{num_unlisted} objects in {path} are of images that it does not list, "
            "and are left out."
        )


def _order(categories: Mapping[str, str]) -> tuple[list[str], dict[str, int]]:
    """The categories in the order of their ids, and the place of each id."""

    def rank(key: str) -> tuple[bool, int, str]:
        return (False, int(key), "") if key.isdecimal() else (True, 0, key)

    keys = sorted(categories, key=rank)
    return [categories[key] for key in keys], {key: i for i, key in enumerate(keys)}


def _places(
    column: np.ndarray, numbers: Mapping[str, int], known: Mapping[str, int]
) -> np.ndarray:
    """What `known` has for the ids of a column of numbers; -1 where it has nothing."""
    return np.array([known.get(key, -1) for key in numbers])[column]


def own_class_names(annotations: Annotations) -> list[str]:
    """The background, and the file's categories in the order of their ids.

    A category that is called "background" is the background.
    """
    names = dict.fromkeys([_BACKGROUND, *map(_class_name, annotations.categories)])
    return list(names)


def own_class_ids(annotations: Annotations, class_names: Sequence[str]) -> list[int]:
    """The classes of the file's categories.

    Raises:
      UserError: a category is none of the classes.
    """
    class_ids = {name: i for i, name in enumerate(class_names)}
    names = list(map(_class_name, annotations.categories))
    for name in names:
        if name not in class_ids:
            raise UserError(
                f"{annotations.path}: the category '{name}' is none of the classes "
                f"({', '.join(class_names)}). Give all annotation files the same "
                "categories."
            )
    return [class_ids[name] for name in names]


def _class_name(category: str) -> str:
    return _BACKGROUND if category.lower() == _BACKGROUND else category


def find_files(
    annotations: Annotations, found: Collection[str]
) -> tuple[dict[str, str], list[str]]:
    """The files of the listed images.

    Tools write paths that begin above the images' folder, or leave folders in it out.

    Args:
      annotations: whose images.
      found: ids of the files in the folder.

    Returns:
      {id: listed name} in the file's order, and the names that have no file.

    Raises:
      UserError: two listed images are one file.
    """
    by_last: dict[str, list[str]] = {}
    for name in found:
        by_last.setdefault(name.rpartition("/")[2], []).append(name)
    files: dict[str, str] = {}
    missing = []
    for name in annotations.sizes:
        parts = name.split("/")
        ends = ("/".join(parts[i:]) for i in range(len(parts)))
        same_last = by_last.get(parts[-1], ())
        only = same_last[0] if len(same_last) == 1 else None
        file = next((end for end in ends if end in found), only)
        if file is None:
            missing.append(name)
        elif file in files:
            raise UserError(
                f"{annotations.path} lists '{files[file]}' and '{name}', but there is "
                f"only one image '{file}'. Put the images into folders as listed."
            )
        else:
            files[file] = name
    return files, missing
