"""Finds the JSON files of labeling tools."""

import json
import os
from collections.abc import Iterator
from typing import Any

from wss.errors import UserError

_DEPTH = 2


def below(path: str, depth: int = _DEPTH) -> list[str]:
    """The JSON file itself, or those in a folder and its subfolders, sorted.

    Hidden files are left out.
    """
    if os.path.isfile(path):
        return [path] if path.lower().endswith(".json") else []
    return sorted(_walk(path, depth)) if os.path.isdir(path) else []


def _walk(folder: str, depth: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir() and depth:
                yield from _walk(entry.path, depth - 1)
            elif entry.name.lower().endswith(".json"):
                yield entry.path


def load(path: str) -> Any:
    """Reads a JSON file.

    Raises:
      UserError: it is damaged.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:
            return json.load(file)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} is not a JSON file in UTF-8, or it is damaged ({error}). Export "
            "it again, or remove it."
        ) from error
