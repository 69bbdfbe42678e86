"""Label Studio's "Brush labels to PNG", and the JSON file that names the photos."""

import collections
import os
import re
import urllib.parse
from collections.abc import Mapping
from typing import Any, Optional

from data_prep.exports import export, json_files, per_class
from data_prep.exports.export import Export, Place
from wss.errors import UserError
from wss.image_io import discovery

LAYOUT = "brush masks task-*-annotation-*-by-*-tag-*.png and the project's JSON export"
_MASK = re.compile(
    r"task-(?P<task>\d+)-annotation-(?P<annotation>\d+)-by-.*?-tag-(?P<label>.+)"
    r"-(?P<number>\d+)"
)
# Uploaded files have a random number before their name.
_UPLOADED = re.compile(r"[0-9a-f]{8}-")


def find(place: Place) -> Optional[Export]:
    """Finds brush masks and the list of their photos.

    Raises:
      UserError: the JSON file is missing, or a photo.
    """
    parts = _masks(place.masks)
    if not parts:
        return None
    photos = place.photos()
    files = _photos_of_tasks(place)
    by_last = {name.rpartition("/")[2]: name for name in photos.known.paths}
    found: dict[str, tuple[tuple[str, str], ...]] = {}
    missing = []
    for task, some in parts.items():
        last = files.get(task, "")
        name = by_last.get(last) or by_last.get(without_number(last))
        if name is None:
            missing.append(last or f"task {task}")
        else:
            found[name] = some
    if missing:
        raise UserError(
            f"{len(missing)} tasks with masks in {place.masks} have no photo in "
            f"{place.images}; the first is '{missing[0]}'. Put the photos there, and "
            "export the JSON file of the same tasks."
        )
    labels = sorted({label for some in parts.values() for _, label in some})
    chosen = {name: found[name] for name in photos.names if name in found}
    return Export(
        f"Label Studio's brush masks: {len(chosen)} of {len(photos.names)} photos in "
        f"{place.images} have some; where they overlap, the class with the higher id "
        "is on top",
        photos,
        chosen,
        export.background_first(labels),
        "the names of Label Studio's masks",
        draw=per_class.draw,
    )


def without_number(name: str) -> str:
    """A file's name without the number that uploading added, and without folders."""
    return _UPLOADED.sub("", name.rpartition("/")[2], count=1)


def _masks(folder: str) -> Mapping[str, tuple[tuple[str, str], ...]]:
    """{task: (file, label) of its masks}, of the last annotation of each task."""
    found: dict[str, dict[int, list[tuple[str, str]]]] = collections.defaultdict(dict)
    for path in sorted(discovery.images_below(folder)) if os.path.isdir(folder) else ():
        match = _MASK.fullmatch(os.path.splitext(os.path.basename(path))[0])
        if match:
            annotations = found[match["task"]]
            some = annotations.setdefault(int(match["annotation"]), [])
            some.append((path, match["label"]))
    several = sum(len(annotations) > 1 for annotations in found.values())
    if several:
        print(f"{several} tasks have several annotations; the last of each is taken.")
    return {task: tuple(some[max(some)]) for task, some in found.items()}


def _photos_of_tasks(place: Place) -> dict[str, str]:
    """{task: name of the photo's file, without extension}, of the JSON export."""
    files: dict[str, str] = {}
    for path in json_files.below(place.masks):
        content = json_files.load(path)
        for task in content if isinstance(content, list) else ():
            if isinstance(task, dict) and "id" in task:
                files[str(task["id"])] = _file(task)
    if not files:
        raise UserError(
            f"{place.masks} has Label Studio's brush masks, whose names have only the "
            "numbers of tasks. Export the project as JSON too, and put the file into "
            "this folder: it names the photos."
        )
    return files


def _file(task: Mapping[str, Any]) -> str:
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
