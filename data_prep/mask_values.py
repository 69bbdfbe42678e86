"""Finds the classes of masks whose classes nobody has named: the values in them."""

import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from data_prep import masks, relabel, survey
from data_prep.exports.export import BACKGROUND
from data_prep.writing import processes
from wss.errors import UserError

YES_NO = (BACKGROUND, "foreground")
_WHITE = 255
# White in masks of 8 and 16 bits: "no data", or one more label.
_WHITES = (_WHITE, 65535)
# More values are those of a photo or of smoothed edges.
_MOST_CLASSES = 64


class Found(NamedTuple):
    """Classes found in masks.

    Attributes:
      names: of the classes, class 0 first.
      labels: how the values become class ids.
      how: the reading in a few words.
    """

    names: Sequence[str]
    labels: masks.Labels
    how: str


class _Values(NamedTuple):
    """The values in a mask, or why they cannot be read."""

    values: Sequence[int]
    problem: str = ""


def find(paths: Sequence[str], ignore_label: int, workers: int = 0) -> Found:
    """Reads all masks and takes each value for a class.

    Unreadable masks are skipped, unless all are: writing the records reports them.

    Args:
      paths: files of masks.
      ignore_label: the value that is not a class.
      workers: number of processes; 0: one per core.

    Raises:
      UserError: no mask is readable, or the values cannot be classes.
    """
    found = processes.in_order(_read, paths, workers)
    seen = list(tqdm(found, "reading masks", len(paths), leave=False, disable=None))
    values = sorted({value for one in seen for value in one.values})
    if not values:
        raise UserError(seen[0].problem)
    if values == [0, _WHITE]:
        how = "the masks have only 0 and 255, read as no and yes"
        return Found(YES_NO, masks.Labels(binary=True), how)
    classes = [value for value in values if value != ignore_label]
    folder = os.path.dirname(paths[0])
    shown = (np.array(one.values, np.int64) for one in seen if one.values)
    survey.refuse_binaries(shown, f"in {folder}", ignore_label, masks.AS_THEY_ARE)
    if len(classes) < 2:
        raise UserError(
            f"All masks in {folder} have only the value {values[0]}: there are no "
            "classes to tell apart. If they are the right files, name the classes with "
            "--class_names."
        )
    if classes[0] < 0 or len(classes) > _MOST_CLASSES:
        raise UserError(
            f"The masks in {folder} have {len(classes)} values ({classes[0]} to "
            f"{classes[-1]}), which do not look like classes. Name the classes with "
            "--class_names, and give other values a class with --map."
        )
    found = _number(classes, ignore_label)
    white = [value for value in values if value in _WHITES]
    if found.labels.changes and white:
        raise UserError(
            f"The masks in {folder} have the values {_listed(values)}. It is unknown "
            f"whether {white[-1]} is a class or ignored, and values near others may "
            "come from smoothing or compression. Name the classes with --class_names, "
            f"and say what the values are, such as --map {white[-1]}=ignore; smoothed "
            "yes/no masks: --num_classes=2 --map 0-127=0 128-255=1."
        )
    return found


def _number(classes: Sequence[int], ignore_label: int) -> Found:
    """Keeps the values as class ids; renumbers them if most ids would be unused."""
    ignored = f"; {ignore_label} is ignored"
    highest = classes[-1]
    if highest < 2 * len(classes) and highest < ignore_label:
        names = [f"class_{value}" for value in range(highest + 1)]
        return Found(names, masks.AS_THEY_ARE, f"the values in the masks{ignored}")
    names = [f"class_{value}" for value in classes]
    changes = tuple((value, value, i) for i, value in enumerate(classes))
    how = f"the values {_listed(classes)} in the masks, numbered{ignored}"
    return Found(names, masks.Labels(changes=changes), how)


def _listed(values: Sequence[int]) -> str:
    return ", ".join(map(str, values))


def _read(path: str) -> _Values:
    try:
        return _Values(relabel.histogram(masks.read_values(path))[0].tolist())
    except UserError as error:
        return _Values((), str(error))


def are_yes_no(paths: Sequence[str], workers: int = 0) -> bool:
    """Whether masks have only 0 and 255, and 255 occurs."""
    seen = processes.in_order(_read, paths, workers)
    values = {value for one in seen for value in one.values}
    return values <= {0, _WHITE} and _WHITE in values
