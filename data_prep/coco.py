"""Converts instance annotations in COCO's format: COCO 2017, or exports of tools.

    python -m data_prep.coco --split train 1-32 val --coco_dir=raw/coco
    python -m data_prep.coco --classes=voc --split C_tr C_u --coco_dir=raw/coco
    python -m data_prep.coco --images=photos --annotations=export.json \\
        --split=labeled --output_dir=data/mine

The first writes to data/coco. Its splits are `train`, `val`, `unlabeled`
(unlabeled2017, without masks), the published draws from train, `1-32` to `1-512`, and
their complements in train, `1-32_rest` to `1-512_rest`. The second writes the extra
images for VOC to data/voc, with VOC's classes: `C_tr`, the training images that show
VOC's classes, and `C_u`, all of unlabeled2017. The third reads exports of labeling
tools. Their classes are the background and the file's categories in the order of their
ids; to train on them, use the data set `folder`.

Where instances overlap, the one listed later in the annotations is on top. Crowds count
as their class. Drawing masks needs pycocotools: pip install -e '.[coco]'.
"""

import argparse
import functools
import json
import os
from collections.abc import Sequence
from typing import NamedTuple, Optional

from data_prep import (
    class_names,
    cli,
    coco_annotations,
    coco_masks,
    id_lists,
    images,
    pairing,
    splits,
)
from data_prep.coco_annotations import Annotations
from data_prep.writing import fingerprints
from data_prep.writing.examples import Example
from wss.data import datasets
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

_COCO, _VOC = datasets.get("coco"), datasets.get("voc")
_OWN = "own"
# COCO's names of VOC's classes, where they differ.
_VOC_NAMES = {
    "airplane": "aeroplane",
    "motorcycle": "motorbike",
    "couch": "sofa",
    "potted plant": "pottedplant",
    "dining table": "diningtable",
    "tv": "tvmonitor",
}
# C_tr leaves out images that show fewer pixels of VOC's classes: the usual threshold
# when COCO is added to VOC. PseudoSeg's own list (91937 images) was not published.
_MIN_VOC_AREA = 1000
_UNLABELED = ("unlabeled", "C_u")


class Item(NamedTuple):
    """An image file.

    Attributes:
      name: the file's name without extension.
      image: the file.
      height, width: in pixels, from the annotations.
      outlines: the image's objects as JSON, [[class id, segmentation], ...]; None for
        an unlabeled image.
    """

    name: str
    image: str
    height: int = 0
    width: int = 0
    outlines: Optional[str] = None


class Found(NamedTuple):
    """The content of a split.

    Attributes:
      items: its images.
      annotations: the file that describes them; None for unlabeled images.
      spec: its classes; None if unknown, for unlabeled images.
    """

    items: Sequence[Item]
    annotations: Optional[str]
    spec: Optional[DatasetSpec]


def choose_spec(
    annotations: Annotations, classes: Optional[str], output_dir: Optional[str]
) -> DatasetSpec:
    """The classes that masks get.

    Args:
      annotations: of the images.
      classes: "coco", "voc" or "own"; None for COCO's, or own if the file has others.
      output_dir: folder for records with the file's own classes; None: the default.

    Raises:
      UserError: the file has too many categories of its own, or none.
    """
    if classes is None:
        known = set(annotations.categories) <= set(_COCO.class_names)
        classes = "coco" if known else _OWN
    if classes != _OWN:
        return datasets.get(classes)
    names = coco_annotations.own_class_names(annotations)
    print(f"{annotations.path} has the classes {', '.join(names)}.")
    return class_names.describe(output_dir or _default_output(_OWN), names, 255)


def class_ids_of(annotations: Annotations, spec: DatasetSpec) -> list[int]:
    """The classes of the file's categories; -1 for those that VOC lacks.

    Raises:
      UserError: another data set lacks a category.
    """
    if spec is _VOC:
        names = [_VOC_NAMES.get(name, name) for name in annotations.categories]
        known = {name: i for i, name in enumerate(spec.class_names)}
        other = [name for name in names if name not in known]
        if other:
            print(
                f"{len(other)} of {len(names)} categories of {annotations.path} are "
                f"not classes of VOC and are left out; the first is '{other[0]}'."
            )
        return [known.get(name, -1) for name in names]
    if spec is _COCO:
        for name in annotations.categories:
            if name not in spec.class_names:
                raise UserError(
                    f"{annotations.path}: the category '{name}' is not a class of "
                    f"COCO. Add --classes={_OWN} to use the file's own classes."
                )
    return coco_annotations.own_class_ids(annotations, spec)


def read(item: Item, annotations: Optional[str]) -> Example:
    """Reads an image, and draws its mask.

    Args:
      item: the image.
      annotations: the annotation file; None for unlabeled images.

    Raises:
      UserError: image or annotations are broken.
    """
    if item.outlines is None:
        return images.read_example(item.name, item.image, as_stored=True)
    size = (item.height, item.width)
    as_stored = coco_masks.is_as_stored(item.image, *size, annotations)
    objects = json.loads(item.outlines)
    mask = coco_masks.draw(objects, *size, item.name, annotations)
    return images.read_example(item.name, item.image, mask, as_stored=as_stored)


def find_items(
    coco_dir: str,
    split: str,
    classes: Optional[str] = None,
    output_dir: Optional[str] = None,
) -> Found:
    """Finds the images of a split of COCO 2017, and its annotation file if it has one.

    Raises:
      UserError: data are missing, or the split is unknown.
    """
    if split not in known_splits(classes):
        raise UserError(
            f"COCO has no split '{split}' with the classes of {classes or 'coco'}. "
            f"Known: {', '.join(known_splits('coco'))}; with --classes=voc: "
            f"{', '.join(known_splits('voc'))}."
        )
    part = "unlabeled" if split in _UNLABELED else "val" if split == "val" else "train"
    image_dir = os.path.join(coco_dir, f"{part}2017")
    if not os.path.isdir(image_dir):
        raise UserError(
            f"There is no {image_dir}. Download {part}2017.zip from "
            f"https://cocodataset.org/#download and unpack it in {coco_dir}."
        )
    if part == "unlabeled":
        found = pairing.find_images(image_dir)
        spec = datasets.get(classes) if classes in ("coco", "voc") else None
        return Found([Item(name, path) for name, path in found.items()], None, spec)
    path = os.path.join(coco_dir, "annotations", f"instances_{part}2017.json")
    published = split if split in splits.names("coco") else None
    min_area = _MIN_VOC_AREA if split == "C_tr" else 0
    return _find_annotated(image_dir, path, classes, output_dir, published, min_area)


def _find_annotated(
    image_dir: str,
    path: str,
    classes: Optional[str],
    output_dir: Optional[str],
    published: Optional[str] = None,
    min_area: int = 0,
) -> Found:
    """Finds the images that an annotation file lists, or those of a published split.

    Of these, images whose objects do not cover more than `min_area` are left out.

    Raises:
      UserError: images or annotations are missing.
    """
    found = pairing.find_images(image_dir)
    annotations = coco_annotations.load(path)
    spec = choose_spec(annotations, classes, output_dir)
    class_ids = class_ids_of(annotations, spec)
    files, missing = coco_annotations.find_files(list(annotations.sizes), found, path)
    if published is None:
        id_lists.refuse_missing(
            missing,
            f"images that {path} lists are not in {image_dir}",
            "Put them there, or export only the annotations of existing images.",
        )
        names = list(files)
        _note_unlisted(sorted(set(found) - set(files)), image_dir, path)
    else:
        names = splits.load("coco", published, whole=list(annotations.sizes))
        id_lists.refuse_missing(
            [name for name in names if name not in files],
            f"images of the split '{published}' are not in {image_dir} or not in "
            f"{path}",
            "Unpack the whole archives.",
        )
    if min_area:
        areas = [annotations.area(files[name], class_ids) for name in names]
        names = _with_area(names, areas, min_area, spec)
    items = [
        Item(
            name,
            found[name],
            *annotations.sizes[files[name]],
            annotations.outlines(files[name], class_ids),
        )
        for name in names
    ]
    _note_empty(items)
    return Found(items, path, spec)


def _with_area(
    names: Sequence[str], areas: Sequence[float], min_area: int, spec: DatasetSpec
) -> list[str]:
    """The images that show more than `min_area` pixels of the classes."""
    large = [name for name, area in zip(names, areas) if area > min_area]
    print(
        f"Left out {len(names) - len(large)} of {len(names)} images that show no "
        f"more than {min_area} pixels of {spec.name}'s classes."
    )
    return large


def _note_empty(items: Sequence[Item]) -> None:
    num_empty = sum(item.outlines == "[]" for item in items)
    if num_empty:
        print(
            f"{num_empty} of {len(items)} images show no object and are written as "
            "background only. Do not export images that are not labeled yet."
        )


def _note_unlisted(names: Sequence[str], image_dir: str, path: str) -> None:
    if names:
        print(
            f"{len(names)} images in {image_dir} are not in {path} and are left out; "
            f"the first is '{names[0]}'."
        )


def known_splits(classes: Optional[str]) -> list[str]:
    """Names of the splits with COCO's classes, or with VOC's."""
    if classes == "voc":
        return ["C_tr", "C_u"]
    return ["train", "val", "unlabeled", *splits.names("coco")]


def _default_output(classes: str) -> str:
    return os.path.join("data", classes)


def _find_all(flags: argparse.Namespace) -> dict[str, Found]:
    """The content of each split that the command line names.

    Raises:
      UserError: flags exclude each other, or as in `find_items`.
    """
    if flags.annotations or not set(flags.split) <= set(_UNLABELED):
        coco_annotations.require_pycocotools()
    if not flags.annotations and not flags.images:
        return {
            split: find_items(flags.coco_dir, split, flags.classes, flags.output_dir)
            for split in flags.split
        }
    if not (flags.annotations and flags.images) or len(flags.split) > 1:
        raise UserError(
            "Use --annotations and --images together, with one --split: the "
            "annotation file of a tool, the folder of its images, and the split's name."
        )
    found = _find_annotated(
        flags.images, flags.annotations, flags.classes or _OWN, flags.output_dir
    )
    return {flags.split[0]: found}


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    arguments.add_argument("--split", nargs="+", required=True, help="names of splits")
    arguments.add_argument("--coco_dir", default="raw/coco")
    arguments.add_argument(
        "--images", metavar="DIR", help="folder of the images, if they are not COCO's"
    )
    arguments.add_argument(
        "--annotations", metavar="FILE", help="annotation file of --images"
    )
    arguments.add_argument(
        "--classes",
        choices=("coco", "voc", _OWN),
        help="classes (default: COCO's, or the file's own if it has others)",
    )
    cli.add_output(arguments, help="where to write (default: data/<classes>)")
    flags = arguments.parse_args()
    work = _find_all(flags)
    specs = [found.spec for found in work.values() if found.spec]
    for split, (items, path, spec) in work.items():
        spec = spec or next(iter(specs), _COCO)
        classes = spec.name if spec in (_COCO, _VOC) else _OWN
        options = {"source": "COCO 2017", "classes": classes}
        if path:
            options["annotations"] = fingerprints.of_file(path)
        output_dir = flags.output_dir or _default_output(classes)
        cli.writer(flags, output_dir).write_split(
            split,
            spec,
            items,
            functools.partial(read, annotations=path),
            options=options,
        )


if __name__ == "__main__":
    cli.run(main)
