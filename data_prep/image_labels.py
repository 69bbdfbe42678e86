"""Reads image-level labels: the classes in an image."""

import csv
import re
from collections.abc import Sequence
from typing import NamedTuple, Optional

from data_prep import class_names, id_lists
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.files import text_files

_YES_NO = ("0", "1")


class _Row(NamedTuple):
    """A line of the file: an image, and the other fields."""

    where: str
    image: str
    fields: Sequence[str]


def read(path: str, spec: DatasetSpec, known: id_lists.Known) -> dict[str, list[int]]:
    """Reads a file with one line per image: its id and its classes.

    Commas, semicolons or tabs separate them. A table with one column of 0 and 1 per
    class, whose heading names the classes, is read too.

    Returns:
      {id: class ids}.

    Raises:
      UserError: there is no such file, an image or class is unknown, a line has no
        class, an id is repeated, or 0 and 1 have no heading.
    """
    rows = _read_rows(path, known)
    heading = None if known.find(rows[0].image) else rows[0]
    columns = None
    if heading:
        rows = rows[1:]
        columns = _read_heading(heading, rows, spec)
    elif _is_table(rows):
        names = ",".join(spec.class_names[: len(rows[0].fields)])
        raise UserError(
            f"{path} may be a table with one column of 0 and 1 per class, or name the "
            "classes 0 and 1 in each line. For a table, add a heading that names the "
            f"classes, such as 'image,{names}'. Otherwise write names instead of 0 "
            "and 1."
        )
    ids = id_lists.resolve([row.image for row in rows], path, known)
    if columns:
        return {name: _read_columns(row, columns) for name, row in zip(ids, rows)}
    return {name: _read_classes(row, spec) for name, row in zip(ids, rows)}


def _read_rows(path: str, known: id_lists.Known) -> list[_Row]:
    rows = []
    for number, line in text_files.read_lines(path):
        separated = re.sub("[;\t]", ",", line)
        try:
            fields = next(csv.reader([separated], skipinitialspace=True))
        except csv.Error as error:
            raise UserError(f"{path}, line {number}: {error}.") from None
        image, *fields = (field.strip() for field in fields)
        if text_files.is_comment(line) and not known.find(image):
            continue
        rows.append(_Row(f"{path}, line {number}", image, list(filter(None, fields))))
        if not rows[-1].fields:
            raise UserError(
                f"{path}, line {number}: '{line}' is not an image's id and its "
                "classes, separated by commas. For an image that shows only "
                "background, name the background."
            )
    if not rows:
        raise UserError(
            f"The list {path} names no images. Write one per line: its id, then its "
            "classes."
        )
    return rows


def _is_table(rows: Sequence[_Row]) -> bool:
    """Whether the rows may be columns of 0 and 1 instead of lists of classes."""
    lengths = {len(row.fields) for row in rows}
    values = {field for row in rows for field in row.fields}
    return lengths != {1} and len(lengths) == 1 and values <= set(_YES_NO)


def _read_heading(
    heading: _Row, rows: Sequence[_Row], spec: DatasetSpec
) -> Optional[list[int]]:
    """The classes of the columns under a heading.

    Raises:
      UserError: it is not the heading of a table of 0 and 1, or repeats a class.
    """
    unknown = [field for field in heading.fields if field not in spec.class_names]
    odd = [row for row in rows if not set(row.fields) <= set(_YES_NO)]
    if rows and not unknown and not odd:
        id_lists.refuse_repeated(heading.fields, heading.where)
        return [spec.class_names.index(field) for field in heading.fields]
    if odd and len(heading.fields) > 1 and not unknown:
        raise UserError(
            f"{odd[0].where}: '{','.join(odd[0].fields)}' are not all 0 or 1, but the "
            "heading names a class for each column. Write 1 where the image shows the "
            "class, and 0 where it does not."
        )
    named = ",".join([heading.image, *heading.fields])
    raise UserError(
        f"{heading.where}: no image has the id '{heading.image}'. If '{named}' is a "
        "heading, remove the line; the heading of a table of 0 and 1 must name a class "
        f"for each column, with the names from --class_names: "
        f"{', '.join(spec.class_names[:10])}{', ...' * (spec.num_classes > 10)}."
    )


def _read_columns(row: _Row, columns: Sequence[int]) -> list[int]:
    """The classes of a row of 0 and 1."""
    if len(row.fields) != len(columns):
        raise UserError(
            f"{row.where}: {len(row.fields)} columns follow the image, the heading "
            f"names {len(columns)} classes."
        )
    shown = [i for i, field in zip(columns, row.fields) if field == "1"]
    if not shown:
        raise UserError(
            f"{row.where}: '{row.image}' has no class. For an image that shows only "
            "background, write 1 in the background's column; if the classes are "
            "unknown, remove the line."
        )
    return shown


def _read_classes(row: _Row, spec: DatasetSpec) -> list[int]:
    """The classes that a row names."""
    texts: list[str] = []
    for field in row.fields:
        whole = field in spec.class_names
        texts += [field] if whole else filter(None, map(str.strip, field.split(",")))
    class_ids = [class_names.class_of(text, spec, row.where) for text in texts]
    if len(set(class_ids)) < len(class_ids):
        raise UserError(f"{row.where}: a class is named twice. Name it once.")
    if spec.ignore_label in class_ids:
        raise UserError(
            f"{row.where}: '{class_names.IGNORE}' is not a class. Remove it."
        )
    return class_ids
