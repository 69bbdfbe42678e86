"""Writes your own images, with masks or without, as one split.

    python -m data_prep.folder --images=photos/train --masks=masks/train \\
        --ids=labeled.txt --split=labeled --class_names=classes.txt \\
        --output_dir=data/mine
    python -m data_prep.folder --images=photos/train --split=unlabeled \\
        --class_names=classes.txt --output_dir=data/mine

The mask of photos/train/a/b.jpg is masks/train/a/b.png, a grey or palette image of its
size whose values are class ids, 0 to N-1, or the ignore label; the image's id is `a/b`.
--ids is a list of ids, one a line; without it all images of the folder are written.
--class_names is a list of names, one a line, that of class 0 (the background, if there
is one) first. Train on the result as the data set `folder`.
"""

import functools
import os
from typing import NamedTuple, Optional

from data_prep import command_line, images, masks, records
from wss.datasets.spec import DatasetSpec
from wss.errors import UserError


class Item(NamedTuple):
    """An image and, where it has one, its mask."""

    name: str
    image: str
    mask: Optional[str]


def read(item: Item, spec: DatasetSpec) -> records.Example:
    """Reads an image and its mask."""
    mask = None
    if item.mask:
        mask = masks.read_mask(item.mask, spec.num_classes, spec.ignore_label)
    return images.read_example(item.name, item.image, mask)


def find_items(
    image_dir: str, mask_dir: Optional[str], ids_file: Optional[str]
) -> list[Item]:
    """Pairs images with their masks.

    Raises:
      UserError: an id has no image, or an image no mask.
    """
    found = images.find(image_dir)
    names = list(found)
    if ids_file:
        names = [_without_extension(line) for line in images.read_ids(ids_file)]
        images.refuse_missing(
            [name for name in names if name not in found],
            f"ids of {ids_file} have no image in {image_dir}",
            "An id is the path of an image below --images, without its ending.",
        )
    found_masks: dict[str, str] = {}
    if mask_dir:
        found_masks = images.find(mask_dir)
        images.refuse_missing(
            [name for name in names if name not in found_masks],
            f"images have no mask in {mask_dir}",
            "Name the images with masks in a list and give it as --ids; write the "
            "others as another split, without --masks.",
        )
    return [Item(name, found[name], found_masks.get(name)) for name in names]


def make_spec(
    output_dir: str,
    num_classes: Optional[int],
    names_file: Optional[str],
    ignore_label: int,
) -> DatasetSpec:
    """Describes the classes that the command line names.

    Raises:
      UserError: too many classes, or too few.
    """
    if names_file:
        class_names = images.read_ids(names_file)
    else:
        class_names = [f"class_{i}" for i in range(num_classes)]
    if not 2 <= len(class_names) <= 255:
        raise UserError(
            f"{len(class_names)} classes given; 2 to 255 are possible, background "
            "included."
        )
    if not len(class_names) <= ignore_label <= 255:
        raise UserError(
            f"The ignore label {ignore_label} must lie between the number of classes "
            f"({len(class_names)}) and 255."
        )
    name = os.path.basename(os.path.abspath(output_dir))
    return DatasetSpec(name, tuple(class_names), ignore_label=ignore_label)


def _without_extension(name: str) -> str:
    stem, extension = os.path.splitext(name)
    return stem if extension.lower() in images.EXTENSIONS else name


def main() -> None:
    arguments = command_line.parser(__doc__)
    arguments.add_argument("--images", required=True, help="folder of the images")
    arguments.add_argument("--masks", help="folder of their masks, if there are any")
    arguments.add_argument("--ids", help="file: the images to write, one id a line")
    arguments.add_argument("--split", required=True, help="name of the split to write")
    classes = arguments.add_mutually_exclusive_group(required=True)
    classes.add_argument("--num_classes", type=int, help="background included")
    classes.add_argument("--class_names", help="file: the classes' names, one a line")
    arguments.add_argument("--ignore_label", type=int, default=255)
    command_line.add_output(arguments, required=True, help="where to write")
    flags = arguments.parse_args()
    spec = make_spec(
        flags.output_dir, flags.num_classes, flags.class_names, flags.ignore_label
    )
    items = find_items(flags.images, flags.masks, flags.ids)
    if flags.masks:
        masks.check_binaries([item.mask for item in items], spec.ignore_label)
    command_line.writer(flags).write_split(
        flags.split,
        spec,
        items,
        functools.partial(read, spec=spec),
        options={"images": flags.images, "masks": flags.masks, "ids": flags.ids},
    )


if __name__ == "__main__":
    command_line.run(main)
