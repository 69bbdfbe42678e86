"""Reads back every record of a data set, prints statistics, and names what is wrong.

    python -m data_prep.verify --data_dir=data/mine
    python -m data_prep.verify --data_dir=data/voc --dataset=voc --split train val

prints for each split its number of images, the classes of its masks, its problems, by
shard and record (numbered from 0), and notes on what may be intended. One damaged
record does not hide others. At the end it draws a contact sheet of images with their
masks on top: look at it. The classes come from the folder's dataset.json; for shards of
other programs, name them with --dataset.

Exit status: 0 without problems, 1 if the data have problems, 2 if the command failed.
"""

import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import tensorflow as tf

from data_prep import cli
from data_prep.validation import reading, report
from wss.cli import number
from wss.data.datasets import manifest as manifests
from wss.errors import UserError
from wss.settings import Natural

gfile = tf.io.gfile

_UNFINISHED = re.compile(r"(?P<folder>\.(?P<split>.+)\.partial)/?")


def choose_splits(
    data_dir: str,
    wanted: Optional[Sequence[str]],
    manifest: Optional[Mapping[str, Any]],
) -> list[str]:
    """The splits to read: the requested ones, or all.

    Raises:
      UserError: there is no such split, or no split at all.
    """
    known = sorted({*reading.find(data_dir), *(manifest["splits"] if manifest else ())})
    if not known:
        hint = "".join(f" {note}" for note in unfinished(data_dir))
        raise UserError(
            f"There are no shards <split>-00000-of-00004.tfrecord in {data_dir}. Pass "
            f"the folder that they were written to as --data_dir.{hint}"
        )
    for split in wanted or ():
        if split not in known:
            raise UserError(
                f"There is no split '{split}' in {data_dir}. Known: {', '.join(known)}."
            )
    return list(dict.fromkeys(wanted or known))


def unfinished(data_dir: str) -> list[str]:
    """Notes about unfinished conversions in the folder."""
    names = gfile.listdir(data_dir) if gfile.isdir(data_dir) else []
    found = filter(None, map(_UNFINISHED.fullmatch, names))
    return [
        f"{match['folder']} is an unfinished conversion of the split "
        f"'{match['split']}': run its command again to resume it, or remove the folder."
        for match in found
    ]


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    arguments.add_argument("--data_dir", required=True, help="folder of the shards")
    arguments.add_argument("--split", nargs="+", help="splits to read (default: all)")
    arguments.add_argument(
        "--dataset", help=f"one of {', '.join(reading.named_datasets())}"
    )
    arguments.add_argument(
        "--contact_sheet", metavar="PNG", help=f"(default: <data_dir>/{report.SHEET})"
    )
    arguments.add_argument(
        "--max_problems",
        type=number(Natural),
        default=report.MAX_PROBLEMS,
        help="number of record problems to print per split (default: %(default)s)",
    )
    flags = arguments.parse_args()
    reading.hide_gpus()
    manifest = manifests.read(flags.data_dir)
    names = choose_splits(flags.data_dir, flags.split, manifest)
    spec = reading.find_spec(flags.data_dir, flags.dataset, manifest)
    print(
        f"{flags.data_dir}: data set '{spec.name}', {spec.num_classes} classes, ignore "
        f"label {spec.ignore_label}"
    )
    sheet = flags.contact_sheet
    splits = report.report(
        flags.data_dir, names, spec, manifest, sheet, flags.max_problems
    )
    for note in unfinished(flags.data_dir):
        print(f"note: {note}")
    print(report.format_verdict(splits))
    if any(split.num_problems for split in splits):
        sys.exit(1)


if __name__ == "__main__":
    cli.run(main, resumable=False)
