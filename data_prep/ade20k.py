"""Converts ADE20K, edition of the Scene Parsing Challenge 2016: 150 classes.

    python -m data_prep.ade20k --split train val --ade20k_dir=raw/ADEChallengeData2016

writes to data/ade20k; --ade20k_dir is the folder in ADEChallengeData2016.zip. In the
published masks, 1 to 150 are the classes and 0 is everything else. The classes become 0
to 149, and 0 becomes the ignore label. With --unlabeled the records have no masks.
"""

import os
from typing import NamedTuple, Optional

from data_prep import cli, images, masks, pairing, relabel
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


def find_items(ade20k_dir: str, split: str, unlabeled: bool) -> list[Item]:
    """Finds the files of a split.

    Raises:
      UserError: data are missing.
    """
    folder = pairing.root(ade20k_dir, [_FOLDER], "images")
    if folder is None:
        raise UserError(f"There is no {ade20k_dir}/images. {_ADVICE}")
    found = pairing.find_images(_part(folder, "images", split))
    pairing.note_size(SPEC, split, len(found))
    if unlabeled:
        return [Item(name, path, None) for name, path in found.items()]
    mask_folder = _part(folder, "annotations", split)
    found_masks = discovery.find(mask_folder)
    pairing.note_lonely(found_masks, found, mask_folder)
    pairing.refuse_without_mask(split, found, found_masks, mask_folder)
    return [Item(name, path, found_masks[name]) for name, path in found.items()]


def _part(root: str, kind: str, split: str) -> str:
    """The folder with the images or the masks of a split."""
    folder = os.path.join(root, kind, _PARTS[split])
    if not os.path.isdir(folder):
        raise UserError(f"There is no {folder}. {_ADVICE}")
    return folder


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    arguments.add_argument(
        "--split", nargs="+", required=True, choices=list(_PARTS), help="splits"
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
