"""Converts your own photos, few with masks and many without.

    python -m data_prep.folder --images=photos --masks=masks --output_dir=data/mine

pairs photos and masks, holds out a fifth of these photos to measure the model (`val`),
writes the others with masks (`labeled`) and the photos without (`unlabeled`), reads all
records back, draws a contact sheet, and prints the command that trains on them. If
anything is wrong, nothing is written. Exports of labeling tools are recognized in
--masks or --images; --from names the kind. The classes are those of --class_names, of a
file beside the masks (such as labelmap.txt, labels.txt, _classes.csv, dataset.json), or
the values in the masks.

With --split, one split per call:

    python -m data_prep.folder --images=photos --masks=masks --only_with_masks \\
        --split=labeled --class_names=classes.txt --output_dir=data/mine
    python -m data_prep.folder --images=photos --exclude=val.txt \\
        --split=unlabeled --class_names=classes.txt --output_dir=data/mine
    python -m data_prep.folder --images=photos --image_labels=labels.csv \\
        --split=tagged --class_names=classes.txt --output_dir=data/mine

The mask of photos/a/b.jpg is masks/a/b.png; the image's id is `a/b`. A mask has its
image's size and is lossless (PNG, TIFF, BMP, GIF). Its labels are gray values or
palette indices: the class ids 0 to N-1, or the ignore label. These flags read other
labels and colors:

    --colormap=colors.txt     lines such as `128 64 128 road` and `0 0 0 ignore`
    --colormap=voc            the palette of a known data set
    --binary                  yes/no masks: every value except 0 becomes 1; in a JPEG,
                              every value from 128 on
    --map 7=road 20-254=ignore -9999=ignore nan=ignore

--class_names is a file with one name per line, class 0 first (the background, if there
is one), or a known data set. --image_labels is for images without masks: each line has
an image's id and its classes, separated by commas: `a/b,road,car`. To train on the
result, use the data set `folder`.
"""

import argparse
import functools
import os
import sys
from typing import Annotated

from data_prep import (
    class_names,
    cli,
    colormaps,
    exports,
    image_labels,
    masks,
    name_patterns,
    one_pass,
    pairing,
    photos,
    relabel,
    survey,
)
from wss.cli import number
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.image_io import bit_depth
from wss.settings import Natural, Range

_MASK_FLAGS = (
    *("colormap", "binary", "map", "mask_suffix", "mask_pattern", "only_with_masks"),
)
# Flags of one form only: with --split, or without.
_FOR_SPLIT = ("only_with_masks", "image_labels")
_FOR_ALL = ("val_ratio", "val_ids", "from")


def _check(flags: argparse.Namespace) -> None:
    """Refuses flags that exclude each other."""
    _check_form(flags)
    for flag in _MASK_FLAGS if not flags.masks else ():
        if getattr(flags, flag):
            raise UserError(f"--{flag} applies to masks: it needs --masks.")
    if flags.masks and flags.image_labels:
        raise UserError(
            "--image_labels is for images without masks: a mask already shows its "
            "classes. Remove --masks or --image_labels."
        )
    if flags.colormap and flags.binary:
        raise UserError(
            "--binary and --colormap exclude each other: a colormap gives each color "
            "its class. Remove one of them."
        )
    for kind in ("image", "mask"):
        if getattr(flags, f"{kind}_suffix") and getattr(flags, f"{kind}_pattern"):
            raise UserError(f"Remove --{kind}_suffix or --{kind}_pattern.")
    if (
        flags.split
        and _shares_folder(flags)
        and one_pass.pattern(flags, "mask").text
        == one_pass.pattern(flags, "image").text
    ):
        advice = name_patterns.propose(flags.images, flags.masks) or (
            "Add what distinguishes their names: --mask_suffix=_mask for a.jpg and "
            "a_mask.png, --image_pattern='{id}.jpg' --mask_pattern='{id}.png' for "
            "a.jpg and a.png."
        )
        raise UserError(f"Images and masks are in one folder, {flags.images}. {advice}")


def _check_form(flags: argparse.Namespace) -> None:
    """Refuses flags that do not go with --split, or need it."""
    given = vars(flags)
    for flag in _FOR_ALL if flags.split else _FOR_SPLIT:
        if given[flag] not in (None, False):
            raise UserError(
                f"--{flag} is for writing all splits at once. Remove it, or --split."
                if flags.split
                else f"--{flag} needs --split, the name of the split to write."
            )
    if flags.val_ids and flags.val_ratio is not None:
        raise UserError("Remove --val_ids or --val_ratio: either chooses the photos.")
    if flags.split and not (flags.class_names or flags.num_classes):
        raise UserError(
            "--split needs the classes: --class_names=FILE, one name per line, or "
            "--num_classes=N."
        )


def _shares_folder(flags: argparse.Namespace) -> bool:
    """Whether images and masks are in one folder."""
    return bool(flags.masks) and os.path.realpath(flags.masks) == os.path.realpath(
        flags.images
    )


def _find_items(flags: argparse.Namespace, spec: DatasetSpec) -> list[pairing.Item]:
    chosen = pairing.choose_images(
        flags.images,
        one_pass.pattern(flags, "image"),
        flags.ids,
        flags.exclude,
        not_pattern=one_pass.pattern(flags, "mask") if _shares_folder(flags) else None,
    )
    if flags.masks:
        return pairing.with_masks(
            chosen, flags.masks, one_pass.pattern(flags, "mask"), flags.only_with_masks
        )
    labels = None
    if not (flags.ids or flags.image_suffix or flags.image_pattern):
        pairing.check_no_masks(flags.images, chosen.names, chosen.known.paths)
    if flags.image_labels:
        labels = image_labels.read(flags.image_labels, spec, chosen.known)
    return pairing.without_masks(chosen, labels)


def _add_flags(arguments: argparse.ArgumentParser) -> None:
    add = arguments.add_argument
    add("--images", required=True, metavar="DIR", help="folder of the images")
    add(
        "--masks",
        metavar="DIR",
        help="folder of their masks, or folder or file of a labeling tool's export "
        "(default: --images)",
    )
    add(
        "--split",
        metavar="NAME",
        help="write only this split (default: labeled, unlabeled and val)",
    )
    _add_whole_flags(arguments)
    cli.add_class_flags(arguments)
    add("--ids", metavar="FILE", help="the images to write, one id per line")
    add("--exclude", metavar="FILE", help="images not to write, one id per line")
    add(
        "--only_with_masks",
        action="store_true",
        help="leave out images that have no mask (default: stop)",
    )
    _add_name_flags(arguments)
    add("--colormap", metavar="FILE|NAME", help="classes of the masks' colors")
    add(
        "--binary",
        action="store_true",
        help="yes/no masks: all values except 0 become 1",
    )
    add(
        "--image_labels",
        metavar="FILE",
        help="file with the classes in images without masks",
    )
    add(
        "--max_side",
        type=number(Natural),
        metavar="N",
        help="shrink larger images and their masks to N pixels on the longer side "
        "(default: 640; with --split: 0, keep the size)",
    )
    add(
        "--image_bits",
        type=number(
            Annotated[int, Range(low=bit_depth.MIN_BITS, high=bit_depth.MAX_BITS)]
        ),
        metavar="N",
        help="bits in use of images with more than 8 bits, in all splits: 12 for 0 to "
        "4095 (default: as many as the brightest image needs)",
    )


def _add_whole_flags(arguments: argparse.ArgumentParser) -> None:
    """Adds the flags for writing all splits at once."""
    add = arguments.add_argument
    add(
        "--from",
        choices=list(exports.FORMATS),
        help="kind of the masks (default: recognized)",
    )
    add(
        "--val_ratio",
        type=one_pass.ratio,
        metavar="SHARE",
        help="share of the photos with masks to hold out (default: 1/5)",
    )
    add(
        "--val_ids",
        metavar="FILE",
        help="the photos to hold out, one id per line",
    )
    add(
        "--seed",
        type=number(Natural),
        default=0,
        metavar="N",
        help="of the draw of the photos to hold out (default: 0)",
    )


def _add_name_flags(arguments: argparse.ArgumentParser) -> None:
    """Adds the flags for names that differ between images and masks."""
    add = arguments.add_argument
    add(
        "--image_suffix",
        default="",
        metavar="TEXT",
        help="end of image names, before the extension, that is not part of the id",
    )
    add(
        "--mask_suffix",
        default="",
        metavar="TEXT",
        help="the same for masks: _mask if the mask of a.jpg is a_mask.png",
    )
    add(
        "--image_pattern",
        default="",
        metavar="PATTERN",
        help="pattern of image paths, such as 'img_{id}', instead of a suffix",
    )
    add(
        "--mask_pattern",
        default="",
        metavar="PATTERN",
        help="the same for masks: 'label_{id}', '{id}_json/label', '{id}.png'",
    )


def _write_split(flags: argparse.Namespace) -> None:
    """Writes the split that the flags describe."""
    spec = class_names.make_spec(
        flags.output_dir, flags.num_classes, flags.class_names, flags.ignore_label
    )
    colormap = colormaps.load(flags.colormap, spec) if flags.colormap else None
    labels = masks.Labels(
        colormap, flags.binary, relabel.parse_changes(flags.map, spec)
    )
    items = _find_items(flags, spec)
    if flags.masks:
        mask_paths = [item.mask for item in items]
        survey.check_binaries(mask_paths, spec.ignore_label, labels)
    writer = cli.writer(flags)
    found = survey.decide(
        items,
        labels,
        flags.output_dir,
        [flags.split],
        flags.image_bits,
        flags.workers,
        flags.skip_broken,
    )
    sources = {"images": flags.images, "masks": flags.masks, "ids": flags.ids}
    writer.write_split(
        flags.split,
        spec,
        items,
        functools.partial(
            photos.read,
            spec=spec,
            labels=labels,
            max_side=flags.max_side or None,
            image_bits=found.image_bits,
        ),
        options={
            **sources,
            **photos.options(labels, flags.max_side),
            **found.options(),
        },
    )


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    _add_flags(arguments)
    cli.add_output(arguments, required=True, help="where to write")
    flags = arguments.parse_args()
    _check(flags)
    if flags.split:
        _write_split(flags)
    elif not one_pass.write(flags):
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main)
