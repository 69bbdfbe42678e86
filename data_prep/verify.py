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

import argparse
import sys

from data_prep import cli, validation
from wss.cli import number
from wss.data import datasets
from wss.data.datasets import manifest as manifests
from wss.settings import Natural


def main() -> None:
    flags = _parse()
    # Late, so that --help is quick: importing TensorFlow takes seconds.
    from data_prep.validation import reading, report

    reading.hide_gpus()
    manifest = manifests.read(flags.data_dir)
    names = reading.choose_splits(flags.data_dir, flags.split, manifest)
    spec = reading.find_spec(flags.data_dir, flags.dataset, manifest)
    print(
        f"{flags.data_dir}: data set '{spec.name}', {spec.num_classes} classes, ignore "
        f"label {spec.ignore_label}"
    )
    sheet = flags.contact_sheet
    splits = report.report(
        flags.data_dir, names, spec, manifest, sheet, flags.max_problems
    )
    for note in reading.unfinished(flags.data_dir):
        print(f"note: {note}")
    print(report.format_verdict(splits))
    if any(split.num_problems for split in splits):
        sys.exit(1)


def _parse() -> argparse.Namespace:
    arguments = cli.parser(__name__, __doc__)
    arguments.add_argument("--data_dir", required=True, help="folder of the shards")
    arguments.add_argument("--split", nargs="+", help="splits to read (default: all)")
    arguments.add_argument("--dataset", help=f"one of {', '.join(datasets.named())}")
    arguments.add_argument(
        "--contact_sheet",
        metavar="PNG",
        help=f"(default: <data_dir>/{validation.SHEET})",
    )
    arguments.add_argument(
        "--max_problems",
        type=number(Natural),
        default=validation.MAX_PROBLEMS,
        help="number of record problems to print per split (default: %(default)s)",
    )
    return arguments.parse_args()


if __name__ == "__main__":
    cli.run(main, resumable=False)
