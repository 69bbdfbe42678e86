"""Converts Cityscapes: its label ids become the benchmark's 19 classes (train ids).

    python -m data_prep.cityscapes --split cps_1-8 train val \\
        --cityscapes_dir=raw/cityscapes
    python -m data_prep.cityscapes --split train_extra --cityscapes_dir=raw/cityscapes

writes to data/cityscapes. The first command needs leftImg8bit_trainvaltest.zip and
gtFine_trainvaltest.zip, unpacked in --cityscapes_dir; the second needs
leftImg8bit_trainextra.zip and gtCoarse.zip. Splits are `train`, `val`, `test` (without
masks, which are not public), `train_extra` (with coarse masks), the published draws
from train, `cps_1-2` to `cps_1-16` and `u2pl_1-2` to `u2pl_1-16`, and their complements
in train, such as `cps_1-8_rest`. --annotations=coarse uses the coarse masks of train
and val too; --unlabeled writes no masks.
"""

import os
from collections.abc import Collection
from typing import NamedTuple, Optional

from data_prep import cli, id_lists, images, masks, pairing, relabel, splits
from data_prep.writing.examples import Example
from wss.data import datasets
from wss.errors import UserError
from wss.image_io import discovery

SPEC = datasets.get("cityscapes")
# Label ids of the classes, by train id; the other ids up to 33 have no class.
_LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
_TRAIN_IDS = {
    **{label_id: SPEC.ignore_label for label_id in (*range(34), SPEC.ignore_label)},
    **{label_id: train_id for train_id, label_id in enumerate(_LABEL_IDS)},
}
_PARTS = ("train", "val", "test", "train_extra")
# By package, and whether it is for train_extra.
_ARCHIVES = {
    ("leftImg8bit", False): "leftImg8bit_trainvaltest.zip",
    ("leftImg8bit", True): "leftImg8bit_trainextra.zip",
    ("gtFine", False): "gtFine_trainvaltest.zip",
    ("gtCoarse", False): "gtCoarse.zip",
    ("gtCoarse", True): "gtCoarse.zip",
}


class Item(NamedTuple):
    """An image and, unless it is unlabeled, its mask of label ids."""

    name: str
    image: str
    mask: Optional[str]


def read(item: Item) -> Example:
    """Reads an image, and its mask as train ids."""
    mask = None
    if item.mask:
        label_ids = masks.read_values(item.mask)
        mask = relabel.look_up(label_ids, _TRAIN_IDS, item.mask)
    return images.read_example(item.name, item.image, mask, as_stored=True)


def find_items(
    cityscapes_dir: str, split: str, annotations: Optional[str]
) -> list[Item]:
    """Finds the files of a split.

    Args:
      cityscapes_dir: folder with leftImg8bit, and gtFine or gtCoarse.
      split: its name.
      annotations: "gtFine", "gtCoarse", or None for images without masks.

    Raises:
      UserError: data are missing, or the split is unknown.
    """
    if split not in known_splits():
        raise UserError(
            f"Cityscapes has no split '{split}'. Known: "
            f"{', '.join(known_splits())}."
        )
    part = split if split in _PARTS else "train"
    folder = _folder(cityscapes_dir, "leftImg8bit", part)
    found = pairing.find_images(folder, "_leftImg8bit")
    paths = _paths_by_name(found)
    names = list(paths) if split in _PARTS else splits.load("cityscapes", split)
    id_lists.refuse_missing(
        [name for name in names if name not in paths],
        f"images of the split '{split}' are not in {folder}",
        "Unpack the whole archive.",
    )
    pairing.note_size(SPEC, split, len(names))
    if annotations is None:
        return [Item(name, found[paths[name]], None) for name in names]
    folder = _folder(cityscapes_dir, annotations, part)
    found_masks = discovery.scan(folder, f"_{annotations}_labelIds").paths
    pairing.note_lonely(found_masks, found, folder)
    wanted = [paths[name] for name in names]
    pairing.refuse_without_mask(split, wanted, found_masks, folder)
    return [
        Item(name, found[path], found_masks[path]) for name, path in zip(names, wanted)
    ]


def known_splits() -> list[str]:
    """Names of the splits."""
    drawn = [name for name in splits.names("cityscapes") if name not in _PARTS]
    return [*_PARTS, *drawn]


def _folder(cityscapes_dir: str, package: str, part: str) -> str:
    """The folder with the cities of a part.

    Raises:
      UserError: it is missing.
    """
    folder = os.path.join(cityscapes_dir, package, part)
    if not os.path.isdir(folder):
        archive = _ARCHIVES[package, part == "train_extra"]
        raise UserError(
            f"There is no {folder}. Download {archive} from "
            "https://www.cityscapes-dataset.com/downloads/ (after registration) and "
            f"unpack it in {cityscapes_dir}."
        )
    return folder


def _paths_by_name(found: Collection[str]) -> dict[str, str]:
    """{name: city/id} of images, given as city/id.

    Cityscapes' own ids begin with the city. Data sets in its layout may restart their
    frame numbers in each city; then the city becomes part of the name.
    """
    by_name = {os.path.basename(path): path for path in found}
    return by_name if len(by_name) == len(found) else {path: path for path in found}


def _annotations(split: str, kind: str, unlabeled: bool) -> Optional[str]:
    """The masks to use: `annotations` of `find_items`."""
    if unlabeled or split == "test":
        return None
    return "gtCoarse" if kind == "coarse" or split == "train_extra" else "gtFine"


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    arguments.add_argument("--split", nargs="+", required=True, help="names of splits")
    arguments.add_argument("--cityscapes_dir", default="raw/cityscapes")
    arguments.add_argument(
        "--annotations",
        choices=("fine", "coarse"),
        default="fine",
        help="kind of masks (default: fine; train_extra has only coarse ones)",
    )
    arguments.add_argument("--unlabeled", action="store_true", help="write no masks")
    cli.add_output(
        arguments, default="data/cityscapes", help="(default: data/cityscapes)"
    )
    flags = arguments.parse_args()
    kinds = {
        split: _annotations(split, flags.annotations, flags.unlabeled)
        for split in flags.split
    }
    work = {
        split: find_items(flags.cityscapes_dir, split, kind)
        for split, kind in kinds.items()
    }
    for split, items in work.items():
        cli.writer(flags).write_split(
            split,
            SPEC,
            items,
            read,
            options={"source": "Cityscapes", "annotations": kinds[split]},
        )


if __name__ == "__main__":
    cli.run(main)
