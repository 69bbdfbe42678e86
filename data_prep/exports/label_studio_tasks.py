"""The tasks in Label Studio's JSON exports, and the photos that they are about."""

import os
import re
import urllib.parse
from collections.abc import Collection, Mapping
from typing import Any, Optional

from data_prep import id_lists, listed_images
from data_prep.exports import json_files
from data_prep.listed_images import Listed
from wss.errors import UserError
from wss.image_io import discovery

Task = Mapping[str, Any]

# Uploaded files have a random number before their name.
_UPLOADED = re.compile(r"[0-9a-f]{8}-")


def read(path: str) -> dict[str, Task]:
    """The tasks of all JSON exports in a folder, or of a file, by number.

    Files of other programs are skipped.

    Raises:
      UserError: a file is damaged, or two tasks have one number.
    """
    found: dict[str, Task] = {}
    for file in json_files.below(path):
        content = json_files.load(file)
        for task in content if isinstance(content, list) else ():
            if not isinstance(task, dict) or "id" not in task:
                continue
            if found.setdefault(str(task["id"]), task) != task:
                raise UserError(
                    f"{path} has two different tasks with the number {task['id']}. "
                    "Keep one export of one project there."
                )
    return found


def find_photos(
    tasks: Mapping[str, Optional[Task]], known: Collection[str], masks: str, images: str
) -> dict[str, str]:
    """The photo of each task, by number.

    Args:
      tasks: by number; None where no JSON file has it.
      known: ids of the photos.
      masks, images: where tasks and photos are, for messages.

    Raises:
      UserError: a photo is missing, or two tasks have the same one.
    """
    files = {
        number: _file(task, known) if task else "" for number, task in tasks.items()
    }
    entries = [Listed(f"task {number}", _names(file)) for number, file in files.items()]
    found = listed_images.find(entries, known, masks)
    missing = [
        os.path.basename(file) or f"task {number}"
        for (number, file), name in zip(files.items(), found)
        if name is None
    ]
    id_lists.refuse_missing(
        missing,
        f"tasks with masks in {masks} have no photo in {images}",
        "Put the photos there, and export the JSON file of the same tasks.",
    )
    return dict(zip(files, found))


def _names(file: str) -> list[str]:
    """What a task's photo may be called: with its folders, without, and as uploaded."""
    last = file.rpartition("/")[2]
    return [file, last, without_number(last)] if file else []


def without_number(name: str) -> str:
    """A file's name without the number that uploading added, and without folders."""
    return _UPLOADED.sub("", name.rpartition("/")[2], count=1)


def _file(task: Task, known: Collection[str]) -> str:
    """The path of a task's photo, without extension; formats: JSON and JSON_MIN.

    A task may have several images. If several are photos in the folder, the outlines
    name the field of theirs.

    Raises:
      UserError: it is unknown which photo has the outlines.
    """
    data = task.get("data", task)
    files = {key: _path(value) for key, value in data.items()}
    files = {key: file for key, file in files.items() if file}
    if len(files) < 2:
        return next(iter(files.values()), "")
    images = listed_images.Images(known)
    photos = [
        key for key, file in files.items() if images.find(_names(file)) is not None
    ]
    results = [r for one in annotations(task) for r in one["result"]]
    fields = {one.get("to_name") for one in results} & files.keys()
    chosen = fields or set(photos) or set(files)
    if len({files[key] for key in chosen}) > 1:
        raise UserError(
            f"The task {task['id']} has several photos ({', '.join(sorted(chosen))}), "
            "and its outlines do not tell which one is theirs. Export a project with "
            "one image per task."
        )
    return files[chosen.pop()]


def annotations(task: Task) -> list[Mapping[str, Any]]:
    """The annotations of a task; none in the format JSON_MIN."""
    given = task.get("annotations")
    given = given if isinstance(given, list) else []
    return [one for one in given if not one.get("was_cancelled") and one.get("result")]


def _path(value: object) -> str:
    """The path of an image without extension, if the value is its address or path."""
    if not isinstance(value, str):
        return ""
    address = urllib.parse.urlsplit(value)
    local = urllib.parse.parse_qs(address.query).get("d")
    path = local[0] if local else urllib.parse.unquote(address.path or value)
    is_image = os.path.splitext(path)[1].lower() in discovery.EXTENSIONS
    return listed_images.name_of(path) if is_image else ""
