"""Reads lists of class names, written by people or by labeling tools."""

import os
import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple, Optional

from data_prep import id_lists
from wss.data import datasets
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.files import text_files
from wss.image_io import discovery

IGNORE = "ignore"
# Names of tools for pixels that are neither a class nor background.
IGNORED = ("__ignore__", IGNORE, "ignored")
# The first line of labelme's lists, for the 255 in its masks.
_NO_CLASS = "__ignore__"
# Headings of a column of names in a table.
_HEADINGS = (
    *("class", "classes", "class name", "class names", "class_name", "classname"),
    *("name", "names", "label", "labels", "label name", "label_name", "category"),
    *("categories", "category name", "category_name"),
)
# Marks of other formats: JSON, YAML, XML, key and value, comments, columns of numbers,
# an id that the other lines lack.
_STRUCTURE = re.compile(
    r"""["\[\]{}<>=|;\t]|^[-*] |[:,]$|^'|'$|\s#|^(//|%|--)|^0+[\s:,.)-]"""
    r"""|^\d+ +\d|\d +\d+$"""
)
_SEPARATOR = r"(?:\s*[:;,.)=\t]\s*|\s+-\s+|\s+)"
_NUMBER_FIRST = re.compile(rf"(?P<id>\d+){_SEPARATOR}(?P<name>\S.*)")
_NUMBER_LAST = re.compile(rf"(?P<name>.*?\S){_SEPARATOR}(?P<id>\d+)")
_SHOWN = 10
_ADVICE = "Write only the names, one per line, class 0 first."


class _Line(NamedTuple):
    """A line of the list; `place` is the file and the line number."""

    place: str
    text: str


def read(path: str) -> list[str]:
    """Reads the names of classes, one per line, class 0 first.

    Lines that begin with # are comments; labelme's `__ignore__` before the first name
    is left out. Class ids may precede or follow the names, as in Roboflow's tables
    (`0, background`), from 0 on in any order. The result is then printed.

    Raises:
      UserError: the file cannot be read or is something else: another format, a
        heading, numbers that are not class ids, or a repeated name.
    """
    lines = [
        _Line(f"{path}, line {number}", text)
        for number, text in text_files.read_lines(path)
        if not text_files.is_comment(text)
    ]
    notes = []
    if lines and lines[0].text == _NO_CLASS:
        lines = lines[1:]
        notes.append(f"{_NO_CLASS} is not a class and is left out")
    if not lines:
        raise UserError(f"The list {path} names no classes. Write one name per line.")
    numbered = _by_number(lines, path)
    if numbered:
        lines = numbered
        notes.append("the numbers are class ids")
    _check(lines, path)
    names = [line.text for line in lines]
    id_lists.refuse_repeated(names, path)
    if notes:
        shown = ", ".join(f"{i} {name}" for i, name in enumerate(names[:_SHOWN]))
        more = ", ..." if len(names) > _SHOWN else ""
        print(f"{path}: {'; '.join(notes)}. The classes are {shown}{more}.")
    return names


def _by_number(lines: Sequence[_Line], path: str) -> Optional[list[_Line]]:
    """The names in the order of the class ids beside them, or None without such ids.

    Raises:
      UserError: the numbers are not class ids.
    """
    for pattern in (_NUMBER_FIRST, _NUMBER_LAST):
        for start in (0, 1):  # The first line may be a heading.
            matches = [pattern.fullmatch(line.text) for line in lines[start:]]
            if not all(matches) or len(matches) < 1 + start:
                continue
            numbers = [int(match["id"]) for match in matches]
            names = [match["name"].strip() for match in matches]
            if sorted(numbers) == list(range(len(numbers))):
                if pattern is _NUMBER_FIRST or len(set(names)) == len(names):
                    places = (line.place for line in lines[start:])
                    found = map(_Line, places, names)
                    return [line for _, line in sorted(zip(numbers, found))]
            elif start == 0 and len(set(names)) == len(names) > 1:
                _refuse_numbers(lines, numbers)
    return None


def _refuse_numbers(lines: Sequence[_Line], numbers: Sequence[int]) -> None:
    """Refuses numbers that are not 0 to N-1, each once."""
    for i, (line, number) in enumerate(zip(lines, numbers)):
        if number >= len(lines) or number in numbers[:i]:
            raise UserError(
                f"{line.place}: in '{line.text}' the number {number} is not a class "
                f"id: these are 0 to {len(lines) - 1}, each once. Correct the numbers, "
                "or write only the names, class 0 first."
            )


def _check(lines: Sequence[_Line], path: str) -> None:
    """Refuses lines that are not a list of names.

    Raises:
      UserError: a line is not a name; the message has the first.
    """
    commas = {line.text.count(",") for line in lines}
    if len(commas) == 1 and commas != {0}:
        others = " and all other lines have" if len(lines) > 1 else " has"
        raise UserError(
            f"{lines[0].place}: '{lines[0].text}'{others} several columns. {_ADVICE}"
        )
    if lines[0].text.lower() in _HEADINGS:
        raise UserError(
            f"{lines[0].place}: '{lines[0].text}' looks like the heading of a column. "
            "Remove the line; or, if it is the name of class 0, rename the class."
        )
    for class_id, (place, name) in enumerate(lines):
        if name.lower() in (IGNORE, _NO_CLASS):
            raise UserError(
                f"{place}: '{name}' stands for ignored pixels and cannot be a class. "
                f"Rename class {class_id}, for example to 'void', and add "
                f"--map {class_id}={IGNORE} to ignore it; if it is the last line, "
                "remove it."
            )
        is_file = os.path.splitext(name)[1].lower() in discovery.EXTENSIONS
        if _STRUCTURE.search(name) or is_file:
            raise UserError(f"{place}: '{name}' is not the name of a class. {_ADVICE}")
        if name.isdecimal() and int(name) != class_id:
            raise UserError(
                f"{place}: the name '{name}' of class {class_id} could be mistaken for "
                "a class id. Use a name with letters."
            )


def class_of(text: str, spec: DatasetSpec, where: str) -> int:
    """The class id for a user's text: a name, an id, or "ignore".

    Args:
      text: what the user wrote.
      spec: the classes.
      where: file and line, for the message.

    Raises:
      UserError: there is no such class.
    """
    text = unicodedata.normalize("NFC", text.strip())
    if text in spec.class_names:
        return spec.class_names.index(text)
    if text.isdecimal() and int(text) in (*range(spec.num_classes), spec.ignore_label):
        return int(text)
    if text.lower() == IGNORE:
        return spec.ignore_label
    names = ", ".join(spec.class_names[:10])
    more = ", ..." if spec.num_classes > 10 else ""
    raise UserError(
        f"{where}: there is no class '{text}'. The classes are 0 to "
        f"{spec.num_classes - 1} ({names}{more}) and '{IGNORE}'."
    )


def make_spec(
    output_dir: str,
    num_classes: Optional[int],
    names: Optional[str],
    ignore_label: int,
) -> DatasetSpec:
    """Makes the spec of a data set from the flags about its classes.

    Args:
      output_dir: folder of the records; the data set gets its name.
      num_classes: number of classes without names; None: `names` are given.
      names: file of class names, or a known data set.
      ignore_label: label of ignored pixels.

    Raises:
      UserError: too many classes, or too few.
    """
    if names and not os.path.exists(names) and names in datasets.names():
        class_names = datasets.get(names).class_names
    elif names:
        class_names = read(names)
    else:
        class_names = [f"class_{i}" for i in range(num_classes)]
    return describe(output_dir, class_names, ignore_label)


def describe(
    output_dir: str, class_names: Sequence[str], ignore_label: int
) -> DatasetSpec:
    """`make_spec` for given class names."""
    if not 2 <= len(class_names) <= 255:
        raise UserError(
            f"There are {len(class_names)} classes. Name 2 to 255, the background "
            "included."
        )
    if not len(class_names) <= ignore_label <= 255:
        raise UserError(
            f"--ignore_label={ignore_label} is the id of a class. Choose one from "
            f"{len(class_names)}, the number of classes, to 255."
        )
    name = os.path.basename(os.path.abspath(output_dir))
    return DatasetSpec(name, tuple(class_names), ignore_label=ignore_label)
