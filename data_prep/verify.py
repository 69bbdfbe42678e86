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

import errno
import os
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from data_prep import cli
from data_prep.validation import checks, reading
from data_prep.validation.tally import Tally
from wss.cli import number
from wss.data.datasets import manifest as manifests
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError, reason
from wss.files.outputs import OutputFolder
from wss.settings import Natural
from wss.visualization import figures

gfile = tf.io.gfile

_SHEET = "contact_sheet.png"
_PICTURES = 2 * figures.PAIRS_PER_ROW  # per split, on the sheet
_UNFINISHED = re.compile(r"(?P<folder>\.(?P<split>.+)\.partial)/?")
_MAX_PROBLEMS = 20
_NO_CLASS_ROWS = 8


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


def format_split(split: checks.Split) -> str:
    """Formats what was found in a split."""
    tally = split.tally
    num_shards = f"{len(split.shards)} shard{'s' if len(split.shards) != 1 else ''}"
    lines = [
        f"\n{split.name}: {tally.images} images in {num_shards}, "
        f"{tally.with_masks} with masks, {tally.images - tally.with_masks} without"
        + (f", {tally.broken} broken records" if tally.broken else "")
    ]
    if tally.images:
        lines.append(f"  {tally.size_summary()}")
    if tally.with_class_ids:
        lines.append(f"  {tally.with_class_ids} images with image-level labels")
    if tally.with_masks:
        lines += [f"  {line}" for line in _class_table(tally)]
    problems = [*split.problems, *split.record_problems]
    lines += [f"  problem: {problem}" for problem in problems]
    if split.num_problems > len(problems):
        lines.append(
            f"  problem: {split.num_problems - len(problems)} more in records; "
            f"--max_problems={split.num_problems} shows all."
        )
    lines += [f"  note: {note}" for note in split.notes]
    return "\n".join(lines)


def _class_table(tally: Tally) -> list[str]:
    spec = tally.spec
    rows = [(str(i), name, [i]) for i, name in enumerate(spec.class_names)]
    values = tally.no_classes()
    rows += [(str(i), "(no class)", [i]) for i in values[:_NO_CLASS_ROWS]]
    if values[_NO_CLASS_ROWS:]:
        rows.append(("...", "(no class)", values[_NO_CLASS_ROWS:]))
    rows.append((str(spec.ignore_label), "(ignored)", [spec.ignore_label]))
    width = max(len(name) for _, name, _ in rows)
    total = tally.pixels.sum()
    lines = [
        f"{'id':>3}  {'class':<{width}}  {'pixels':>15}  {'share':>7}  {'images':>8}"
    ]
    for value, name, values in rows:
        pixels = tally.pixels[values].sum()
        lines.append(
            f"{value:>3}  {name:<{width}}  {pixels:>15,}  {pixels / total:>7.2%}  "
            f"{tally.shown_by[values].max():>8,}"
        )
    return lines


def unfinished(data_dir: str) -> list[str]:
    """Notes about unfinished conversions in the folder."""
    names = gfile.listdir(data_dir) if gfile.isdir(data_dir) else []
    found = filter(None, map(_UNFINISHED.fullmatch, names))
    return [
        f"{match['folder']} is an unfinished conversion of the split "
        f"'{match['split']}': run its command again to resume it, or remove the folder."
        for match in found
    ]


def draw_sheet(
    splits: Sequence[checks.Split], spec: DatasetSpec, path: str
) -> Optional[str]:
    """Draws the contact sheet.

    Returns:
      None, or a sentence that says why it could not be saved.
    """
    rows = []
    for split in splits:
        chosen = split.tally.choose(_PICTURES)
        heading = f"{split.name}: {len(chosen)} of {split.tally.images} images"
        if chosen:
            examples = [_example(split.decode(index)) for index in chosen]
            rows.append(figures.SplitExamples(heading, examples))
    try:
        save_sheet(figures.png(figures.contact_sheet(rows, spec)), path)
    except (OSError, tf.errors.OpError) as error:
        return (
            f"The contact sheet could not be saved ({reason(error)}). Choose another "
            "file: --contact_sheet=..."
        )
    return None


def save_sheet(content: bytes, path: str) -> None:
    """Writes the sheet to any path that gfile supports.

    Raises:
      FileExistsError: the existing file was not written by this command, or was changed
        since.
    """
    folder, name = os.path.split(path)
    if "://" in path:
        with gfile.GFile(path, "wb") as file:
            file.write(content)
        return
    if not os.path.isdir(folder or os.curdir):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", path)
    output = OutputFolder(folder or os.curdir)
    if output.foreign([name]):
        raise FileExistsError(
            errno.EEXIST, f"{path} was not written by this command", path
        )
    output.write(name, content)


def _example(example: Mapping[str, np.ndarray]) -> figures.Example:
    return figures.Example(
        example["name"].decode(errors="replace"),
        example["image"],
        example["label"] if example["has_label"] else None,
    )


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    arguments.add_argument("--data_dir", required=True, help="folder of the shards")
    arguments.add_argument("--split", nargs="+", help="splits to read (default: all)")
    arguments.add_argument(
        "--dataset", help=f"one of {', '.join(reading.named_datasets())}"
    )
    arguments.add_argument(
        "--contact_sheet", metavar="PNG", help=f"(default: <data_dir>/{_SHEET})"
    )
    arguments.add_argument(
        "--max_problems",
        type=number(Natural),
        default=_MAX_PROBLEMS,
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
    splits = []
    for name in names:
        split = checks.check(flags.data_dir, name, spec, manifest, flags.max_problems)
        print(format_split(split), flush=True)
        splits.append(split)
    sheet = flags.contact_sheet or os.path.join(flags.data_dir, _SHEET)
    trouble = draw_sheet(splits, spec, sheet)
    print()
    for note in [*checks.overlaps(splits), *unfinished(flags.data_dir)]:
        print(f"note: {note}")
    print(f"note: {trouble}" if trouble else f"Look at {sheet}: are the masks right?")
    num_problems = sum(split.num_problems for split in splits)
    if num_problems:
        print(f"{num_problems} problems; see the lines that begin with 'problem:'.")
        sys.exit(1)
    print("No problem was found.")


if __name__ == "__main__":
    cli.run(main, resumable=False)
