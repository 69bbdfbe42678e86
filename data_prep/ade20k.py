"""Converts ADE20K, edition of the Scene Parsing Challenge 2016: 150 classes.

    python -m data_prep.ade20k --split 1-64 1-64_rest train val \\
        --ade20k_dir=raw/ADEChallengeData2016

writes to data/ade20k; --ade20k_dir is the folder in ADEChallengeData2016.zip. Splits
are `train`, `val`, UniMatch V2's draws from train, `1-2` to `1-64`, and their
complements in train, such as `1-64_rest`. In the published masks, 1 to 150 are the
classes and 0 is everything else. The classes become 0 to 149, and 0 becomes the ignore
label. With --unlabeled the records have no masks.
"""

import os
from typing import NamedTuple, Optional

from data_prep import cli, id_lists, images, masks, pairing, relabel, splits
from data_prep.writing.examples import Example
from wss.data import datasets
from wss.errors import UserError
from wss.image_io import discovery

SPEC = datasets.get("ade20k")
_CLASS_IDS = {0: SPEC.ignore_label, **{i + 1: i for i in range(SPEC.num_classes)}}
_FOLDER = "ADEChallengeData2016"
_PARTS = {"train": "training", "val": "validation"}
_ADVICE = (
    "Download ADEChallengeData2016.zip from http://sceneparsing.csail.mit.edu/, unpack "
    "it, and pass its folder ADEChallengeData2016 as --ade20k_dir."
)


class Item(NamedTuple):
    """An image and, unless it is unlabeled, its mask."""

    name: str
    image: str
    mask: Optional[str]


def read(item: Item) -> Example:
    """Reads an image, and its mask as class ids."""
    mask = None
    if item.mask:
        mask = relabel.look_up(masks.read_values(item.mask), _CLASS_IDS, item.mask)
    return images.read_example(item.name, item.image, mask, as_stored=True)


def known_splits() -> list[str]:
    """Names of the splits."""
    return [*_PARTS, *splits.names("ade20k")]


def find_items(ade20k_dir: str, split: str, unlabeled: bool) -> list[Item]:
    """Finds the files of a split.

    Raises:
      UserError: data are missing, or the split is unknown.
    """
    folder = pairing.root(ade20k_dir, [_FOLDER], "images")
    if folder is None:
        raise UserError(f"There is no {ade20k_dir}/images. {_ADVICE}")
    part = split if split in _PARTS else "train"
    image_folder = _part(folder, "images", part)
    found = pairing.find_images(image_folder)
    names = list(found) if split in _PARTS else splits.load("ade20k", split)
    id_lists.refuse_missing(
        [name for name in names if name not in found],
        f"images of the split '{split}' are not in {image_folder}",
        "Unpack the whole archive.",
    )
    pairing.note_size(SPEC, split, len(names))
    if unlabeled:
        return [Item(name, found[name], None) for name in names]
    mask_folder = _part(folder, "annotations", part)
    found_masks = discovery.find(mask_folder)
    pairing.note_lonely(found_masks, found, mask_folder)
    pairing.refuse_without_mask(split, names, found_masks, mask_folder)
    return [Item(name, found[name], found_masks[name]) for name in names]


def _part(root: str, kind: str, part: str) -> str:
    """The folder with the images or the masks of a part."""
    folder = os.path.join(root, kind, _PARTS[part])
    if not os.path.isdir(folder):
        raise UserError(f"There is no {folder}. {_ADVICE}")
    return folder


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    arguments.add_argument(
        "--split", nargs="+", required=True, choices=known_splits(), help="splits"
    )
    arguments.add_argument("--ade20k_dir", default="raw/ADEChallengeData2016")
    arguments.add_argument("--unlabeled", action="store_true", help="write no masks")
    cli.add_output(arguments, default="data/ade20k", help="(default: data/ade20k)")
    flags = arguments.parse_args()
    work = {
        split: find_items(flags.ade20k_dir, split, flags.unlabeled)
        for split in flags.split
    }
    for split, items in work.items():
        cli.writer(flags).write_split(
            split,
            SPEC,
            items,
            read,
            options={"source": "ADEChallengeData2016", "unlabeled": flags.unlabeled},
        )


if __name__ == "__main__":
    cli.run(main)
