"""Converts PASCAL VOC 2012, with the masks of SBD if a split needs them.

    python -m data_prep.voc --split 1-8 train_aug val \\
        --voc_dir=raw/VOCdevkit/VOC2012 --sbd_dir=raw/benchmark_RELEASE/dataset

writes the splits to data/voc. A split is a published list (python -c "import
data_prep.splits as s; print(s.names('voc'))"), such as `train` (1464 images),
`train_aug` (10582), `V_9k` (train_aug without train), `1-8_rest` (train_aug without
`1-8`) and `val` (1449), or a list in ImageSets/Segmentation. Masks are read from
SegmentationClass; for images without one there, from SegmentationClassAug/*.png beside
it or from SBD's cls/*.mat. With --unlabeled the records have no masks, and SBD is not
needed. Both folders may also be the one where the archives were unpacked:
--voc_dir=raw --sbd_dir=raw.
"""

import os
from typing import NamedTuple, Optional

import numpy as np
from scipy import io

from data_prep import cli, id_lists, images, masks, pairing, splits
from data_prep.writing.examples import Example
from wss.data import datasets
from wss.errors import UserError

SPEC = datasets.get("voc")
_PRECISE = "SegmentationClass"
_AUGMENTED = "SegmentationClassAug"
_SBD = "http://home.bharathh.info/pubs/codes/SBD/download.html"


class Item(NamedTuple):
    """An image and, unless it is unlabeled, its mask."""

    name: str
    image: str
    mask: Optional[str]


def read(item: Item) -> Example:
    """Reads an image and its mask, PNG or .mat."""
    mask = mask_png = None
    if item.mask and item.mask.endswith(".mat"):
        mask = _read_sbd(item.mask)
    elif item.mask:
        mask, mask_png = masks.read_mask_and_png(
            item.mask, SPEC.num_classes, SPEC.ignore_label, colors=SPEC.palette
        )
    return images.read_example(
        item.name, item.image, mask, mask_png=mask_png, as_stored=True
    )


def find_items(
    voc_dir: str, sbd_dir: Optional[str], split: str, unlabeled: bool
) -> list[Item]:
    """Finds the files of a split.

    Raises:
      UserError: data are missing, or the split is unknown.
    """
    voc_dir, sbd_dir = _find_roots(voc_dir, sbd_dir)
    names = _names(voc_dir, split)
    image_paths = {
        name: os.path.join(voc_dir, "JPEGImages", f"{name}.jpg") for name in names
    }
    advice = "Unpack the whole archive."
    if os.path.exists(_list_path(voc_dir, split)):
        advice += (
            f" The list {_list_path(voc_dir, split)} must have ids: file names without "
            "folder and extension, one per line."
        )
    id_lists.refuse_missing(
        [name for name in names if not os.path.exists(image_paths[name])],
        f"images of the split '{split}' are not in {voc_dir}/JPEGImages",
        advice,
    )
    if unlabeled:
        return [Item(name, image_paths[name], None) for name in names]
    mask_paths = {name: _find_mask(voc_dir, sbd_dir, name) for name in names}
    id_lists.refuse_missing(
        [name for name in names if not mask_paths[name]],
        f"images of the split '{split}' have no mask",
        f"Download SBD's benchmark.tgz from {_SBD}, unpack it and pass its folder "
        "benchmark_RELEASE/dataset as --sbd_dir; or put PNG masks in "
        f"{voc_dir}/{_AUGMENTED}; or add --unlabeled.",
    )
    return [Item(name, image_paths[name], mask_paths[name]) for name in names]


def _find_roots(voc_dir: str, sbd_dir: Optional[str]) -> tuple[str, Optional[str]]:
    """The folders with JPEGImages and with cls, which may be below the given ones.

    Raises:
      UserError: they are missing.
    """
    found = pairing.root(voc_dir, ("VOC2012", "VOCdevkit/VOC2012"), "JPEGImages")
    if found is None:
        raise UserError(
            f"There is no {voc_dir}/JPEGImages. Download VOCtrainval_11-May-2012.tar "
            "from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/, unpack it, and pass "
            "its folder VOCdevkit/VOC2012 as --voc_dir."
        )
    if sbd_dir is None:
        return found, None
    found_sbd = pairing.root(sbd_dir, ("dataset", "benchmark_RELEASE/dataset"), "cls")
    if found_sbd is None:
        raise UserError(
            f"There is no {sbd_dir}/cls. Download benchmark.tgz from {_SBD}, unpack it "
            "and pass its folder benchmark_RELEASE/dataset as --sbd_dir."
        )
    return found, found_sbd


def _names(voc_dir: str, split: str) -> list[str]:
    own = _list_path(voc_dir, split)
    return (
        id_lists.read_plain(own) if os.path.exists(own) else splits.load("voc", split)
    )


def _list_path(voc_dir: str, split: str) -> str:
    """Where VOC's own lists are, and those that users add."""
    return os.path.join(voc_dir, "ImageSets", "Segmentation", f"{split}.txt")


def _find_mask(voc_dir: str, sbd_dir: Optional[str], name: str) -> Optional[str]:
    """The most precise mask of an image, or None."""
    candidates = [
        os.path.join(voc_dir, folder, f"{name}.png")
        for folder in (_PRECISE, _AUGMENTED)
    ]
    if sbd_dir:
        candidates.append(os.path.join(sbd_dir, "cls", f"{name}.mat"))
    return next(filter(os.path.exists, candidates), None)


def _read_sbd(path: str) -> np.ndarray:
    """Reads a mask of SBD: [height, width], uint8."""
    try:
        mask = np.asarray(io.loadmat(path)["GTcls"]["Segmentation"][0, 0])
        if mask.ndim != 2 or mask.dtype.kind not in "iu":
            raise ValueError(f"{mask.ndim} dimensions of {mask.dtype}")
    except Exception as error:  # On a damaged file, scipy may raise any exception.
        raise UserError(
            f"The mask {path} is not one of SBD's ({error}). Unpack its archive again."
        ) from error
    masks.check_values(mask, SPEC.num_classes, SPEC.ignore_label, path)
    return mask.astype(np.uint8)


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    arguments.add_argument("--split", nargs="+", required=True, help="names of splits")
    arguments.add_argument("--voc_dir", default="raw/VOCdevkit/VOC2012")
    arguments.add_argument("--sbd_dir", help=".../benchmark_RELEASE/dataset")
    arguments.add_argument("--unlabeled", action="store_true", help="write no masks")
    cli.add_output(arguments, default="data/voc", help="(default: data/voc)")
    flags = arguments.parse_args()
    work = {
        split: find_items(flags.voc_dir, flags.sbd_dir, split, flags.unlabeled)
        for split in flags.split
    }
    for split, items in work.items():
        cli.writer(flags).write_split(
            split,
            SPEC,
            items,
            read,
            options={"source": "VOC 2012", "unlabeled": flags.unlabeled},
        )


if __name__ == "__main__":
    cli.run(main)
