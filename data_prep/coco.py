"""Converts COCO 2017: instance annotations -> masks of 80 classes and background.

    python -m data_prep.coco --split train 1-32 val --coco_dir=raw/coco
    python -m data_prep.coco --classes=voc --split C_tr C_u --coco_dir=raw/coco

The first writes to data/coco; its splits are `train`, `val`, `unlabeled` (that is
unlabeled2017, without masks) and the published draws from train, `1-32` to `1-512`. The
second writes to data/voc, in VOC's classes, the extra images for VOC: `C_tr`, the
training images that show VOC's classes, and `C_u`, all of unlabeled2017.

Where instances overlap, the one listed later in the annotations lies on top; crowds
count as their class. Polygons are filled as pycocotools fills them, without needing it.
"""

import functools
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Optional

import numpy as np

from data_prep import command_line, images, polygons, records, splits
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


class Object(NamedTuple):
    """One annotated object or crowd."""

    class_id: int
    area: float
    segmentation: Any


class Annotated(NamedTuple):
    """What the annotation file says about an image."""

    height: int
    width: int
    objects: list[Object]


class Item(NamedTuple):
    """An image file."""

    name: str
    image: str


@functools.lru_cache(maxsize=1)  # Several splits share a file of half a gigabyte.
def load_annotations(path: str, classes: str) -> Mapping[str, Annotated]:
    """Reads an instance annotation file.

    Args:
      path: instances_*.json.
      classes: "coco" or "voc"; objects of classes that VOC lacks are dropped.

    Returns:
      {image name: its objects}, in the file's order.

    Raises:
      UserError: no such file, or it holds something else.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        class_ids = _class_ids(content["categories"], datasets.get(classes))
        by_id = {
            image["id"]: Annotated(image["height"], image["width"], [])
            for image in content["images"]
        }
        for entry in content["annotations"]:
            class_id = class_ids[entry["category_id"]]
            if class_id is not None:
                by_id[entry["image_id"]].objects.append(
                    Object(class_id, entry["area"], entry["segmentation"])
                )
        return {
            _stem(image["file_name"]): by_id[image["id"]] for image in content["images"]
        }
    except FileNotFoundError:
        raise UserError(
            f"There is no {path}. Download annotations_trainval2017.zip from "
            "https://cocodataset.org/#download and unpack it in --coco_dir."
        ) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path} does not hold COCO's instance annotations ({error!r}). Unpack the "
            "archive again."
        ) from error


def draw_mask(name: str, annotated: Annotated) -> np.ndarray:
    """Draws the objects of an image, each over those listed before it.

    Returns:
      [height, width], uint8.

    Raises:
      UserError: an object's outline makes no sense.
    """
    mask = np.zeros((annotated.height, annotated.width), np.uint8)
    for thing in annotated.objects:
        try:
            mask[polygons.decode(thing.segmentation, *mask.shape)] = thing.class_id
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"An annotation of COCO image {name} cannot be drawn: {error}."
            ) from error
    return mask


def find_items(
    coco_dir: str, split: str, classes: str
) -> tuple[list[Item], Optional[Mapping[str, Annotated]]]:
    """Finds the images of a split, and their annotations if it has any.

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
    if part == "unlabeled":
        return [Item(name, path) for name, path in images.find(folder).items()], None
    annotations = load_annotations(
        os.path.join(coco_dir, "annotations", f"instances_{part}2017.json"),
        classes,
    )
    names = list(annotations)
    if split == "C_tr":
        names = [name for name in names if _area(annotations[name]) > _MIN_VOC_AREA]
    elif split in splits.names("coco"):
        names = splits.load("coco", split)
    items = [Item(name, os.path.join(folder, f"{name}.jpg")) for name in names]
    images.refuse_missing(
        [
            item.name
            for item in items
            if item.name not in annotations or not os.path.exists(item.image)
        ],
        f"images of the split '{split}' are not in {folder} or its annotations",
        "Unpack the whole archives.",
    )
    return items, annotations


def known_splits(classes: str) -> list[str]:
    """Names of the splits in COCO's classes, or of those in VOC's."""
    if classes == "voc":
        return ["C_tr", "C_u"]
    return ["train", "val", "unlabeled", *splits.names("coco")]


def read(item: Item, annotations: Optional[Mapping[str, Annotated]]) -> records.Example:
    """Reads an image and draws its mask."""
    mask = draw_mask(item.name, annotations[item.name]) if annotations else None
    return images.read_example(item.name, item.image, mask)


def _class_ids(
    categories: list[dict[str, Any]], spec: DatasetSpec
) -> dict[int, Optional[int]]:
    """COCO's category id -> class id, or None for a class that `spec` lacks."""
    class_ids = {}
    for category in categories:
        name = category["name"]
        if spec.name == "voc":
            name = _VOC_NAMES.get(name, name)
        elif name not in spec.class_names:
            raise ValueError(f"unknown category '{name}'")
        known = name in spec.class_names
        class_ids[category["id"]] = spec.class_names.index(name) if known else None
    return class_ids


def _area(annotated: Annotated) -> float:
    return sum(thing.area for thing in annotated.objects)


def _stem(file_name: str) -> str:
    return os.path.splitext(file_name)[0]


def main() -> None:
    arguments = command_line.parser(__doc__)
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
