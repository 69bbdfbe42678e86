"""Reports what was found in a data set's records: class tables, and a contact sheet."""

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
import tensorflow as tf

from data_prep.validation import MAX_PROBLEMS, SHEET, checks
from data_prep.validation.tally import Tally
from wss.data.datasets.spec import DatasetSpec
from wss.errors import reason
from wss.files.outputs import OutputFolder
from wss.visualization import figures

gfile = tf.io.gfile

_PICTURES = 2 * figures.PAIRS_PER_ROW  # per split, on the sheet
_NO_CLASS_ROWS = 8


def report(
    data_dir: str,
    names: Sequence[str],
    spec: DatasetSpec,
    manifest: Optional[Mapping[str, Any]],
    sheet: Optional[str] = None,
    max_problems: int = MAX_PROBLEMS,
) -> list[checks.Split]:
    """Reads splits, prints what was found, and draws the contact sheet.

    Args:
      data_dir: folder of the shards.
      names: of the splits.
      spec: the data set's classes.
      manifest: the folder's manifest, or None.
      sheet: file of the contact sheet; None: in the folder.
      max_problems: number of record problems to print per split.
    """
    splits = []
    for name in names:
        split = checks.check(data_dir, name, spec, manifest, max_problems)
        print(format_split(split), flush=True)
        splits.append(split)
    sheet = sheet or os.path.join(data_dir, SHEET)
    trouble = draw_sheet(splits, spec, sheet)
    print()
    for note in checks.overlaps(splits):
        print(f"note: {note}")
    print(f"note: {trouble}" if trouble else f"Look at {sheet}: are the masks right?")
    return splits


def format_verdict(splits: Sequence[checks.Split]) -> str:
    """A sentence about the number of problems in splits."""
    count = sum(split.num_problems for split in splits)
    if count:
        return f"{count} problems; see the lines that begin with 'problem:'."
    return "No problem was found."


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
