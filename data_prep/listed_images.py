"""Finds the files of images that an annotation file or an export lists."""

import os
from collections.abc import Collection, Sequence
from typing import NamedTuple, Optional

from wss.errors import UserError


class Listed(NamedTuple):
    """An entry of an annotation file or an export.

    Attributes:
      source: how the entry is called, for messages.
      names: what its image may be called, without extension, the likeliest first.
    """

    source: str
    names: Sequence[str]


def name_of(file_name: str) -> str:
    """An image's name: its path without extension, the same on all systems."""
    return os.path.splitext(os.path.normpath(file_name.replace("\\", "/")))[0]


def in_any_folder(source: str, name: str) -> Listed:
    """An entry whose image may be in another folder than the entry says."""
    return Listed(source, [name, name.rpartition("/")[2]])


def note_elsewhere(
    entries: Sequence[Listed], images: Sequence[Optional[str]], where: str
) -> None:
    """Prints how many images were found by the last part of their names only.

    Args:
      entries, where: see `find`.
      images: the result of `find`.
    """
    moved = [
        (entry.names[0], image)
        for entry, image in zip(entries, images)
        if image and _is_elsewhere(entry.names[0], image)
    ]
    if moved:
        print(
            f"{len(moved)} images are in other folders than {where} says; the first "
            f"is '{moved[0][0]}', and '{moved[0][1]}' is taken for it."
        )


def _is_elsewhere(listed: str, image: str) -> bool:
    """Whether a listed path and an image have one name in different folders."""
    (folder, _, last), name = listed.rpartition("/"), image.rpartition("/")[2]
    return bool(folder) and last == name and not f"/{listed}".endswith(f"/{image}")


class Images:
    """The images in a folder, to look up by the names that lists give them.

    Some tools write paths that begin above the images' folder; others omit subfolders,
    so that a name without folders means the one image of this name in any of them.
    """

    def __init__(self, known: Collection[str]):
        self._known = known
        self._by_last: dict[str, list[str]] = {}
        for name in known:
            self._by_last.setdefault(name.rpartition("/")[2], []).append(name)

    def find(self, names: Sequence[str]) -> Optional[str]:
        """The id of the image with the first name that one has."""
        for name in names:
            parts = name.split("/")
            ends = ("/".join(parts[i:]) for i in range(len(parts)))
            same_last = self._by_last.get(name, ())
            image = next((end for end in ends if end in self._known), None)
            if image is not None or len(same_last) == 1:
                return image or same_last[0]
        return None


def find(
    entries: Sequence[Listed], known: Collection[str], where: str
) -> list[Optional[str]]:
    """The image of each entry, see `Images`.

    Args:
      entries: what is listed.
      known: ids of the images in the folder.
      where: file or folder of the entries, for the message.

    Returns:
      Ids, in the order of the entries; None if there is no such image.

    Raises:
      UserError: two entries have the same image.
    """
    images = Images(known)
    found = [images.find(entry.names) for entry in entries]
    entry_of: dict[str, Listed] = {}
    for entry, image in zip(entries, found):
        if image is not None and entry_of.setdefault(image, entry) is not entry:
            raise UserError(
                f"{where} lists '{entry_of[image].source}' and '{entry.source}', but "
                f"there is only one image '{image}'. If they are two images, put them "
                "into folders as listed; otherwise remove one of the two."
            )
    return found
