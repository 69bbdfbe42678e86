"""Draws a random list of images for a new split, such that each class occurs.

    python -m data_prep.make_split --data_dir=data/mine --split=train --ratio=1/8 \\
        --output=1-8.txt
    python -m data_prep.make_split --masks=masks/train --ratio 1/4 1/8 1/16 --seed=1 \\
        --output='splits/{}.txt'

The first command draws from a split that is already written, the second from a folder
of masks (whose values are class ids). The list has one id per line, as --ids expects.
Several ratios give nested lists: 1/16 is part of 1/8. Counts are rounded up, as in the
published splits. The same seed draws the same images.

If a class is missing from the smallest list, the draw is repeated, as PseudoSeg did for
its 1/16 of VOC. After 1000 draws, images of the missing classes are taken first.
--min_images sets the number of images with each class.
"""

import argparse
import concurrent.futures
import fractions
import math
import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from data_prep import cli, id_lists, masks
from data_prep.splits import balanced
from wss.cli import number
from wss.data.datasets import manifest as manifests
from wss.errors import UserError, reason
from wss.files import atomic
from wss.image_io import discovery
from wss.image_io.patterns import ANY, Pattern
from wss.settings import Count, Natural


class Labeled(NamedTuple):
    """Images to draw from.

    Attributes:
      ids: their names.
      shown: [images, classes], bool, which image shows which class.
      class_names: [classes].
    """

    ids: Sequence[str]
    shown: np.ndarray
    class_names: Sequence[str]


def read_split(data_dir: str, split: str, dataset: Optional[str]) -> Labeled:
    """Reads the masks of a written split; images without a mask are skipped.

    Args:
      data_dir: folder of the shards.
      split: name of the split.
      dataset: data set with these classes; None: use the folder's dataset.json.

    Raises:
      UserError: no such split, a bad record, a repeated name, or no mask.
    """
    # Late, so that --help is quick: importing TensorFlow takes seconds.
    from data_prep.validation import reading
    from wss.data import tfrecords

    reading.hide_gpus()
    spec = reading.find_spec(data_dir, dataset, manifests.read(data_dir))
    paths = tfrecords.find_shards(data_dir, split)
    found = reading.open_shards(paths)
    advice = f"For details: python -m data_prep.verify --data_dir={data_dir}"
    for shard in found:
        if shard.problem:
            raise UserError(f"{shard.problem} {advice}")
    shown: dict[str, np.ndarray] = {}
    for record in tqdm(
        reading.examine(found, spec.ignore_label),
        desc=split,
        total=sum(map(len, found)),
        unit=" images",
        leave=False,
        disable=None,
    ):
        if isinstance(record, reading.Broken):
            raise UserError(f"{record.problem} {advice}")
        if record.name in shown:
            raise UserError(f"Two records have the name '{record.name}'. {advice}")
        if record.has_mask:
            shown[record.name] = record.pixels[: spec.num_classes] > 0
    if not shown:
        raise UserError(
            f"No image of the split '{split}' in {data_dir} has a mask. Choose another "
            "--split."
        )
    return Labeled(list(shown), np.array(list(shown.values())), spec.class_names)


def read_masks(
    mask_dir: str,
    ids_file: Optional[str],
    ignore_label: int,
    pattern: Pattern = ANY,
) -> Labeled:
    """Reads a folder of masks; every value in them is a class.

    Args:
      mask_dir: the folder.
      ids_file: list of the masks to read; None: all.
      ignore_label: the value that is not a class.
      pattern: of their paths, such as "{id}_mask".

    Raises:
      UserError: no masks, or a mask of the list is missing.
    """
    found = discovery.scan(mask_dir, pattern=pattern).paths
    known = id_lists.Known(mask_dir, found, pattern, "mask")
    ids = id_lists.read_ids(ids_file, known) if ids_file else list(found)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as threads:
        paths = [found[name] for name in ids]
        results = threads.map(lambda path: np.unique(masks.read_values(path)), paths)
        values = list(
            tqdm(results, "masks", len(ids), leave=False, unit=" images", disable=None)
        )
    everything = {*np.concatenate(values).tolist()}
    classes = sorted(everything - {ignore_label})
    if len(classes) < 2:  # Yes/no masks of 0 and 255: here 255 is a class.
        classes = sorted(everything)
    shown = np.array([np.isin(classes, some) for some in values])
    return Labeled(ids, shown, [f"class {value}" for value in classes])


def write_list(path: str, ids: Sequence[str], overwrite: bool) -> None:
    """Writes a list of ids.

    Raises:
      UserError: another list exists already, or the file cannot be written.
    """
    import tensorflow as tf  # Late, as above.

    text = "".join(f"{name}\n" for name in ids)
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError("it is not a regular file")
        if os.path.exists(path) and not overwrite:
            with open(path, encoding="utf-8", errors="replace") as file:
                if file.read() != text:
                    raise UserError(
                        f"{path} already exists and contains another list. Choose "
                        "another --output, or add --overwrite."
                    )
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        atomic.write_text(path, text)
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"{path} cannot be written ({reason(error)}). Choose another --output."
        ) from error


def _format_table(labeled: Labeled, lists: Mapping[str, Sequence[int]]) -> str:
    """Number of images with each class, of all images and of each list."""
    columns = {"all": labeled.shown.sum(axis=0)}
    for name, indices in lists.items():
        columns[name] = labeled.shown[indices].sum(axis=0)
    width = max(len(name) for name in ["images of", *labeled.class_names])
    lines = [f"{'images of':<{width}}" + "".join(f"{name:>9}" for name in columns)]
    for i, name in enumerate(labeled.class_names):
        counts = "".join(f"{column[i]:>9,}" for column in columns.values())
        lines.append(f"{name:<{width}}{counts}")
    return "\n".join(lines)


def _ratio(text: str) -> fractions.Fraction:
    try:
        ratio = fractions.Fraction(text)
    except (ValueError, ZeroDivisionError):
        ratio = fractions.Fraction(0)
    if not 0 < ratio <= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a ratio such as 1/8")
    return ratio


def _parse() -> argparse.Namespace:
    arguments = cli.parser(__name__, __doc__)
    source = arguments.add_mutually_exclusive_group(required=True)
    source.add_argument("--data_dir", help="folder of shards; needs --split")
    source.add_argument("--masks", help="folder of masks; --ids selects some of them")
    arguments.add_argument("--split", help="the written split to draw from")
    arguments.add_argument(
        "--dataset", help="data set with its classes (default: dataset.json)"
    )
    arguments.add_argument(
        "--ids", help="list of the masks to draw from, one id per line"
    )
    cli.add_ignore_label(arguments)
    arguments.add_argument(
        "--mask_suffix", default="", help="end of the masks' names after the id: _mask"
    )
    arguments.add_argument(
        "--mask_pattern", default="", help="pattern of the masks' paths: 'label_{id}'"
    )
    size = arguments.add_mutually_exclusive_group(required=True)
    size.add_argument(
        "--ratio", nargs="+", type=_ratio, help="share to draw, such as 1/8"
    )
    size.add_argument("--count", nargs="+", type=number(Count), help="number of images")
    arguments.add_argument("--seed", type=number(Natural), default=0)
    arguments.add_argument(
        "--min_images",
        type=number(Natural),
        default=1,
        help="least number of images with each class",
    )
    arguments.add_argument(
        "--output",
        required=True,
        metavar="FILE",
        help="the list to write; for several, {} stands for the ratio or count",
    )
    arguments.add_argument("--overwrite", action="store_true")
    flags = arguments.parse_args()
    if flags.data_dir and not flags.split:
        raise UserError("--data_dir needs --split, the split to draw from.")
    if len(flags.ratio or flags.count) > 1 and "{}" not in flags.output:
        raise UserError(
            "Several lists need several names: write {} in --output, such as "
            "'splits/{}.txt'."
        )
    return flags


def main() -> None:
    flags = _parse()
    if flags.data_dir:
        labeled = read_split(flags.data_dir, flags.split, flags.dataset)
    else:
        labeled = read_masks(
            flags.masks,
            flags.ids,
            flags.ignore_label,
            Pattern(flags.mask_pattern or "{id}" + flags.mask_suffix),
        )
    if flags.ratio:
        sizes = {
            f"{ratio.numerator}-{ratio.denominator}": math.ceil(
                ratio * len(labeled.ids)
            )
            for ratio in flags.ratio
        }
    else:
        sizes = {str(count): count for count in flags.count}
    drawn = balanced.draw(
        labeled.shown,
        list(sizes.values()),
        labeled.class_names,
        flags.min_images,
        flags.seed,
    )
    lists = {name: drawn[count] for name, count in sizes.items()}
    for name, indices in lists.items():
        path = flags.output.replace("{}", name)
        write_list(path, [labeled.ids[i] for i in indices], flags.overwrite)
        print(f"{path}: {len(indices)} of {len(labeled.ids)} images")
    print(_format_table(labeled, lists))
    for i in np.flatnonzero(~labeled.shown.any(axis=0)):
        print(f"note: no image shows {labeled.class_names[i]}; the lists lack it too.")


if __name__ == "__main__":
    cli.run(main, resumable=False)
