"""Label Studio's exports: "Brush labels to PNG" with JSON, or JSON alone.

COCO's format and others that Label Studio writes too are recognized as what they are.
"""

import collections
import os
import re
from collections.abc import Mapping
from typing import Optional

from data_prep.exports import (
    export,
    label_studio_outlines,
    label_studio_tasks,
    per_class,
)
from data_prep.exports.export import Export, Place
from wss.errors import UserError
from wss.image_io import discovery

LAYOUT = (
    "the project's JSON export with outlines; or brush masks "
    "task-*-annotation-*-by-*-tag-*.png and that export"
)
_MASK = re.compile(
    r"task-(?P<task>\d+)-annotation-(?P<annotation>\d+)-by-.*?-tag-(?P<label>.+)"
    r"-(?P<number>\d+)"
)


def find(place: Place) -> Optional[Export]:
    """Finds brush masks and the list of their photos, or outlines.

    Raises:
      UserError: the JSON file is missing or broken, or a photo is missing.
    """
    parts = _masks(place.masks)
    if not parts:
        return label_studio_outlines.find(place)
    photos = place.photos()
    tasks = label_studio_tasks.read(place.masks)
    if not tasks:
        raise UserError(
            f"{place.masks} has Label Studio's brush masks, whose names have only the "
            "numbers of tasks. Export the project as JSON too, and put the file into "
            "this folder: it names the photos."
        )
    wanted = {number: tasks.get(number) for number in parts}
    names = label_studio_tasks.find_photos(
        wanted, photos.known.paths, place.masks, place.images
    )
    found = {names[number]: some for number, some in parts.items()}
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
