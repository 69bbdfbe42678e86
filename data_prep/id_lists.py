"""Reads lists of image ids, file names or paths, from any operating system."""

import collections
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from wss.errors import UserError
from wss.files import text_files
from wss.image_io.patterns import ANY, Pattern


class Known(NamedTuple):
    """The images that lists may name.

    Attributes:
      folder: folder of the images.
      paths: {id: path} of all its images.
      pattern: of their paths, see `Pattern`.
      kind: "image" or "mask", for messages.
    """

    folder: str
    paths: Mapping[str, str]
    pattern: Pattern = ANY
    kind: str = "image"

    def find(self, text: str) -> str:
        """The id that a text in a list means; empty if there is no such image."""
        return next((name for name in self._readings(text) if name in self.paths), "")

    def _readings(self, text: str) -> Iterator[str]:
        """What a text may mean: an id, a file name, or a path."""
        yield from self._ids(text)
        inside = os.path.normpath(text.replace("\\", "/"))
        yield from self._ids(inside)
        yield from self._ids(os.path.relpath(inside, self.folder))

    def _ids(self, name: str) -> Iterator[str]:
        yield name
        for pattern in (ANY, self.pattern):
            yield pattern.id_of(name) or ""


def read_ids(path: str, known: Known) -> list[str]:
    """Reads a list of ids, one per line; lines that begin with # are comments.

    Raises:
      UserError: the file is missing, empty or not text, has only comments, or an id
        has no image or is repeated.
    """
    texts = [
        line
        for _, line in text_files.read_lines(path)
        if known.find(line) or not text_files.is_comment(line)
    ]
    if not texts:
        raise UserError(f"The list {path} has only comments. Write one id per line.")
    return resolve(texts, path, known)


def resolve(texts: Sequence[str], source: str, known: Known) -> list[str]:
    """The ids that the texts of a list mean.

    Raises:
      UserError: an image is missing or listed twice.
    """
    ids = [known.find(text) for text in texts]
    refuse_missing(
        [text for text, name in zip(texts, ids) if not name],
        f"ids of {source} have no {known.kind} in {known.folder}",
        f"An id is the path of the {known.kind} below that folder, without "
        f"extension, such as '{next(iter(known.paths))}'.",
    )
    refuse_repeated(ids, source)
    return ids


def read_plain(path: str) -> list[str]:
    """Reads a list of image ids, one per line; lines that begin with # are comments.

    Raises:
      UserError: the file is missing, empty or not text, or an id is repeated.
    """
    lines = text_files.read_lines(path)
    ids = [line for _, line in lines if not text_files.is_comment(line)]
    refuse_repeated(ids, path)
    return ids


def refuse_repeated(ids: Sequence[str], source: str) -> None:
    """Refuses a list that repeats an id.

    Raises:
      UserError: an id is repeated; the message names it.
    """
    if len(set(ids)) < len(ids):
        twice = next(name for name, n in collections.Counter(ids).items() if n > 1)
        raise UserError(f"The list {source} names '{twice}' more than once.")


def refuse_missing(missing: Sequence[str], problem: str, advice: str) -> None:
    """Refuses to continue if files are missing.

    Raises:
      UserError: files are missing; the message has their number and the first.
    """
    if missing:
        raise UserError(
            f"{len(missing)} {problem}; the first is '{missing[0]}'. {advice}"
        )
