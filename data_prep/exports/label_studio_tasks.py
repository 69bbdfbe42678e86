"""The tasks in Label Studio's JSON exports, and the photos that they are about."""

import os
import re
import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any, Optional

from data_prep.exports import json_files
from wss.errors import UserError
from wss.image_io import discovery

Task = Mapping[str, Any]

# Uploaded files have a random number before their name.
_UPLOADED = re.compile(r"[0-9a-f]{8}-")


def read(path: str) -> dict[str, Task]:
    """The tasks of all JSON exports in a folder, or of a file, by number.

    Files of other programs are skipped. Errors: see `json_files.load`.
    """
    found: dict[str, Task] = {}
    for file in json_files.below(path):
        content = json_files.load(file)
        for task in content if isinstance(content, list) else ():
            if isinstance(task, dict) and "id" in task:
                found[str(task["id"])] = task
    return found


def find_photos(
    tasks: Mapping[str, Optional[Task]], known: Iterable[str], masks: str, images: str
) -> dict[str, str]:
    """The photo of each task, by number.

    Args:
      tasks: by number; None where no JSON file has it.
      known: ids of the photos.
      masks, images: where tasks and photos are, for messages.

    Raises:
      UserError: a photo is missing.
    """
    by_last = {name.rpartition("/")[2]: name for name in known}
    found, missing = {}, []
    for number, task in tasks.items():
        last = _file(task) if task else ""
        name = by_last.get(last) or by_last.get(without_number(last))
        if name is None:
            missing.append(last or f"task {number}")
        else:
            found[number] = name
    if missing:
        raise UserError(
            f"{len(missing)} tasks with masks in {masks} have no photo in {images}; "
            f"the first is '{missing[0]}'. Put the photos there, and export the JSON "
            "file of the same tasks."
        )
    return found


def without_number(name: str) -> str:
    """A file's name without the number that uploading added, and without folders."""
    return _UPLOADED.sub("", name.rpartition("/")[2], count=1)


def _file(task: Task) -> str:
    """The photo of a task, in the formats JSON and JSON_MIN: the first image path."""
    data = task.get("data", task)
    for value in data.values():
        if not isinstance(value, str):
            continue
        path = urllib.parse.unquote(urllib.parse.urlsplit(value).path or value)
        local = urllib.parse.parse_qs(urllib.parse.urlsplit(value).query).get("d")
        stem, ending = os.path.splitext(os.path.basename(local[0] if local else path))
        if ending.lower() in discovery.EXTENSIONS:
            return stem
    return ""
