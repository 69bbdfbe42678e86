"""Converts COCO 2017: instance annotations -> masks of 80 classes and background.

    python -m data_prep.coco --split train 1-32 val --coco_dir=raw/coco
    python -m data_prep.coco --classes=voc --split C_tr C_u --coco_dir=raw/coco

The first writes to data/coco; its splits are `train`, `val`, `unlabeled` (that is
unlabeled2017, without masks), the published draws from train, `1-32` to `1-512`, and
train without a draw, `1-32_rest` to `1-512_rest`. The second writes to data/voc, in
VOC's classes, the extra images for VOC: `C_tr`, the training images that show VOC's
classes, and `C_u`, all of unlabeled2017.

Where instances overlap, the one listed later in the annotations lies on top; crowds
count as their class. Polygons are filled as pycocotools fills them, without needing it.
"""

import array
import dataclasses
import functools
import json
import os
import re
from typing import NamedTuple, Optional

import numpy as np

from data_prep import command_line, records, splits
from data_prep.pictures import images, polygons
from data_prep.sources import json_stream, layout
from wss import datasets
from wss.datasets.spec import DatasetSpec
from wss.errors import UserError

# COCO's names of VOC's classes, where they differ.
_VOC_NAMES = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
}
# Images that show less of VOC's classes, in pixels, are left out of C_tr: the usual
# bound where COCO helps VOC. PseudoSeg's own list (91937 images) was not published.
_MIN_VOC_AREA = 1000
_UNLABELED = ("unlabeled", "C_u")


class Item(NamedTuple):
    """An image file.

    Attributes:
      name: the file's name without ending.
      image: the file.
      height, width: as the annotations say, in pixels.
      objects: where the annotation file describes the image's objects, "class id @
        start + length" in bytes, and so on; None for an unlabeled image. All of it
        would be gigabytes.
    """

    name: str
    image: str
    height: int = 0
    width: int = 0
    objects: Optional[str] = None


@dataclasses.dataclass(frozen=True)
class Annotations:
    """What is where in an annotation file.

    Attributes:
      sizes: {image name: (height, width)}, in the file's order.
      rows: {image name: the rows of its objects in the columns below}, in file order.
      class_ids, areas, starts, lengths: [objects], of all images.
    """

    sizes: dict[str, tuple[int, int]]
    rows: dict[str, slice]
    class_ids: np.ndarray
    areas: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def objects(self, name: str) -> str:
        """`Item.objects` of an image."""
        rows = self.rows[name]
        columns = (self.class_ids[rows], self.starts[rows], self.lengths[rows])
        return " ".join("{}@{}+{}".format(*row) for row in zip(*columns))

    def area(self, name: str) -> float:
        """Pixels that the image's objects cover, as the file says."""
        return float(self.areas[self.rows[name]].sum())


@functools.lru_cache(maxsize=1)  # Several splits share a file of half a gigabyte.
def load_annotations(path: str, classes: str) -> Annotations:
    """Reads where an instance annotation file describes which object.

    Args:
      path: instances_*.json.
      classes: "coco" or "voc"; objects of classes that VOC lacks are dropped.

    Raises:
      UserError: no such file, or it holds something else.
    """
    try:
        return _load(path, datasets.get(classes))
    except FileNotFoundError:
        raise UserError(
            f"There is no {path}. Download annotations_trainval2017.zip from "
            "https://cocodataset.org/#download and unpack it in --coco_dir."
        ) from None
    except (ValueError, KeyError, TypeError, OverflowError) as error:
        raise UserError(
            f"{path} does not hold COCO's instance annotations ({_in_words(error)}). "
            "Unpack the archive again."
        ) from error


def _in_words(error: Exception) -> str:
    return f"{error} is missing" if isinstance(error, KeyError) else str(error)


def _load(path: str, spec: DatasetSpec) -> Annotations:
    """`load_annotations`, in one pass: the file's arrays may come in any order."""
    categories, sizes, image_ids = {}, {}, {}
    columns = {
        key: array.array("q") for key in ("image", "category", "start", "length")
    }
    areas = array.array("d")
    for element in json_stream.elements(path):
        value = element.value
        if element.array == "categories":
            categories[value["id"]] = value["name"]
        elif element.array == "images":
            name = os.path.splitext(value["file_name"])[0]
            if name in sizes or value["id"] in image_ids:
                raise ValueError(f"image {name} is listed twice")
            image_ids[value["id"]] = len(sizes)
            sizes[name] = (int(value["height"]), int(value["width"]))
            if min(sizes[name]) < 1:
                raise ValueError(f"image {name} has no size")
        elif element.array == "annotations":
            columns["image"].append(value["image_id"])
            columns["category"].append(value["category_id"])
            columns["start"].append(element.start)
            columns["length"].append(element.length)
            areas.append(value["area"])
    if not (categories and sizes and areas):
        raise ValueError("no 'images', 'annotations' or 'categories'")
    if not np.isfinite(areas).all():
        raise ValueError("the area of an object is no number")
    table = {key: np.asarray(column) for key, column in columns.items()}
    image = _image_numbers(table["image"], image_ids, path)
    class_ids = _class_ids(table["category"], categories, spec)
    order = np.argsort(image, kind="stable")
    order = order[(image[order] >= 0) & (class_ids[order] >= 0)]
    bounds = np.searchsorted(image[order], np.arange(len(sizes) + 1)).tolist()
    return Annotations(
        sizes=sizes,
        rows={name: slice(*bounds[i : i + 2]) for i, name in enumerate(sizes)},
        class_ids=class_ids[order],
        areas=np.asarray(areas)[order],
        starts=table["start"][order],
        lengths=table["length"][order],
    )


def _image_numbers(ids: np.ndarray, known: dict[int, int], path: str) -> np.ndarray:
    """Numbers of the images with these ids: [objects], int64; -1 where unknown."""
    different, inverse = np.unique(ids, return_inverse=True)
    numbers = np.array([known.get(image_id, -1) for image_id in different.tolist()])
    numbers = numbers[inverse]
    if (numbers < 0).any():
        print(
            f"{(numbers < 0).sum()} objects in {path} are of images that it does not "
            "list, and are left out."
        )
    return numbers


def _class_ids(
    ids: np.ndarray, categories: dict[int, str], spec: DatasetSpec
) -> np.ndarray:
    """Class ids of COCO's category ids: [objects], int64; -1 where `spec` lacks it."""
    different, inverse = np.unique(ids, return_inverse=True)
    class_ids = []
    for category in different.tolist():
        if category not in categories:
            raise ValueError(f"there is no category {category}")
        name = categories[category]
        if spec.name == "voc":
            name = _VOC_NAMES.get(name, name)
        elif name not in spec.class_names:
            raise ValueError(f"unknown category '{name}'")
        known = name in spec.class_names
        class_ids.append(spec.class_names.index(name) if known else -1)
    return np.array(class_ids)[inverse]


def read(item: Item, annotations: Optional[str]) -> records.Example:
    """Reads an image, and draws its mask.

    Args:
      item: the image.
      annotations: the annotation file; None for unlabeled images.

    Raises:
      UserError: image or annotations are broken.
    """
    mask = None if item.objects is None else draw_mask(item, annotations)
    return images.read_example(item.name, item.image, mask, as_stored=True)


def draw_mask(item: Item, annotations: str) -> np.ndarray:
    """Draws the objects of an image, each over those listed before it.

    Returns:
      [height, width], uint8.

    Raises:
      UserError: an object's outline makes no sense.
    """
    columns = np.zeros((item.width, item.height), np.uint8)
    try:
        with open(annotations, "rb") as file:
            for place in item.objects.split():
                class_id, start, length = map(int, re.split("[@+]", place))
                file.seek(start)
                entry = json.loads(file.read(length))
                polygons.draw(columns, entry["segmentation"], class_id)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"An annotation of COCO image {item.name} in {annotations} cannot be drawn "
            f"({_in_words(error)})."
        ) from error
    return np.ascontiguousarray(columns.T)


def find_items(
    coco_dir: str, split: str, classes: str
) -> tuple[list[Item], Optional[str]]:
    """Finds the images of a split, and its annotation file if it has one.

    Raises:
      UserError: the data are not there, not complete, or the split is not known.
    """
    if split not in known_splits(classes):
        raise UserError(
            f"There is no split '{split}' of COCO in {classes}'s classes. Known: "
            f"{', '.join(known_splits('coco'))}; with --classes=voc: "
            f"{', '.join(known_splits('voc'))}."
        )
    part = "unlabeled" if split in _UNLABELED else "val" if split == "val" else "train"
    folder = os.path.join(coco_dir, f"{part}2017")
    if not os.path.isdir(folder):
        raise UserError(
            f"There is no {folder}. Download {part}2017.zip from "
            f"https://cocodataset.org/#download and unpack it in {coco_dir}."
        )
    found = layout.find_images(folder)
    if part == "unlabeled":
        return [Item(name, path) for name, path in found.items()], None
    path = os.path.join(coco_dir, "annotations", f"instances_{part}2017.json")
    annotations = load_annotations(path, classes)
    names = list(annotations.sizes)
    if split in splits.names("coco"):
        names = splits.load("coco", split, whole=names)
    elif not_listed := [name for name in found if name not in annotations.sizes]:
        print(
            f"{len(not_listed)} images in {folder} are not in {path}, and are left "
            f"out; the first is '{not_listed[0]}'."
        )
    images.refuse_missing(
        [name for name in names if name not in annotations.sizes or name not in found],
        f"images of the split '{split}' are not in {folder} or its annotations",
        "Unpack the whole archives.",
    )
    if split == "C_tr":
        num_listed = len(names)
        names = [name for name in names if annotations.area(name) > _MIN_VOC_AREA]
        print(
            f"C_tr: {num_listed - len(names)} of {num_listed} images left out, which "
            f"show no more than {_MIN_VOC_AREA} pixels of VOC's classes."
        )
    items = [
        Item(name, found[name], *annotations.sizes[name], annotations.objects(name))
        for name in names
    ]
    return items, path


def known_splits(classes: str) -> list[str]:
    """Names of the splits in COCO's classes, or of those in VOC's."""
    if classes == "voc":
        return ["C_tr", "C_u"]
    return ["train", "val", "unlabeled", *splits.names("coco")]


def main() -> None:
    arguments = command_line.parser(__name__, __doc__)
    arguments.add_argument("--split", nargs="+", required=True, help="names of splits")
    arguments.add_argument("--coco_dir", default="raw/coco")
    arguments.add_argument(
        "--classes", choices=("coco", "voc"), default="coco", help="(default: coco)"
    )
    command_line.add_output(arguments, help="where to write (default: data/<classes>)")
    flags = arguments.parse_args()
    output_dir = flags.output_dir or os.path.join("data", flags.classes)
    for split in flags.split:
        items, annotations = find_items(flags.coco_dir, split, flags.classes)
        command_line.writer(flags, output_dir).write_split(
            split,
            datasets.get(flags.classes),
            items,
            functools.partial(read, annotations=annotations),
            options={"source": "COCO 2017", "classes": flags.classes},
        )


if __name__ == "__main__":
    command_line.run(main)
