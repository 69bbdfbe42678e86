"""Reads a JSON file whose arrays are larger than memory, one element at a time."""

import codecs
import json
import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from tqdm import tqdm

from wss.files import atomic

_CHUNK = 1 << 20
# An element that is not whole after this many bytes is no JSON.
_LONGEST = 64 * _CHUNK
_SPACE = " \t\n\r"
# What may follow a value.
_AFTER = (*_SPACE, ",", "]", "}", ":")


class NotJsonError(ValueError):
    """A file that holds no JSON, or not all of it."""


class Element(NamedTuple):
    """An element of one of the file's arrays.

    Attributes:
      array: the key under which the array stands.
      value: the element.
      start: where it begins in the file, in bytes.
      length: in bytes.
    """

    array: str
    value: Any
    start: int
    length: int


def elements(path: str) -> Iterator[Element]:
    """Yields the elements of all arrays that the file's one object holds.

    Args:
      path: file with an object {key: array or something else, ...}.

    Yields:
      The elements in the file's order; values that are no array are passed over.

    Raises:
      OSError: the file cannot be read.
      NotJsonError: it is not such a file, or ends too early.
      UserError: it is a pipe or a device.
    """
    atomic.refuse_special(path, "annotation file")
    with open(path, "rb") as file, tqdm(
        total=os.path.getsize(path),
        desc=os.path.basename(path),
        unit="B",
        unit_scale=True,
        leave=False,
        disable=None,  # Shown in a terminal only.
    ) as progress:
        window = _Window(file, progress)
        window.skip(codecs.BOM_UTF8)
        window.expect("{")
        while True:
            array = window.value().value
            window.expect(":")
            if window.next() == "[":
                window.expect("[")
                yield from _array(window, array)
            else:
                window.value()
            if window.expect(",}") == "}":
                return


def _array(window: "_Window", array: str) -> Iterator[Element]:
    """The rest of an array, after its bracket."""
    if window.next() == "]":
        window.expect("]")
        return
    while True:
        yield window.value()._replace(array=array)
        if window.expect(",]") == "]":
            return


class _Window:
    """The part of the file that is in memory.

    One character stands for one byte (Latin-1), so that positions are those of the
    file. All that structures JSON is ASCII; only strings have to be decoded again.
    """

    def __init__(self, file, progress: tqdm):
        self._file = file
        self._progress = progress
        self._decode = json.JSONDecoder().raw_decode
        self._text = ""
        self._position = 0  # Of the next character, in the window.
        self._start = 0  # Of the window, in the file.

    def skip(self, mark: bytes) -> None:
        """Passes over a mark at the file's beginning, if it is there."""
        while len(self._text) < len(mark) and self._read():
            pass
        if self._text.startswith(mark.decode("latin-1")):
            self._position = len(mark)

    def next(self) -> str:
        """The next character that is no space; "" at the file's end."""
        while True:
            while self._position < len(self._text):
                if self._text[self._position] not in _SPACE:
                    return self._text[self._position]
                self._position += 1
            if not self._read():
                return ""

    def expect(self, characters: str) -> str:
        """Takes the next character, which has to be one of `characters`."""
        found = self.next()
        if not found or found not in characters:
            raise NotJsonError(
                f"'{characters[0]}' expected at byte {self._start + self._position}"
            )
        self._position += 1
        return found

    def value(self) -> Element:
        """Takes the next value."""
        self.next()
        while True:
            problem = "it does not end"
            try:
                value, end = self._decode(self._text, self._position)
                # "-8" or "-8." may be the beginning of "-8.25".
                if self._text[end : end + 1] in _AFTER:
                    break
            except json.JSONDecodeError as error:
                problem = error.msg
            if len(self._text) - self._position > _LONGEST or not self._read():
                raise NotJsonError(
                    f"no value at byte {self._start + self._position}: {problem}"
                )
        taken = self._text[self._position : end]
        if not taken.isascii():
            value = _loads(taken)
        start = self._start + self._position
        self._position = end
        return Element("", value, start, len(taken))

    def _read(self) -> bool:
        """Adds a chunk, as much again as there is, and drops what was taken."""
        kept = self._text[self._position :]
        chunk = self._file.read(max(_CHUNK, len(kept)))
        self._progress.update(len(chunk))
        self._start += self._position
        self._position = 0
        self._text = kept + chunk.decode("latin-1")
        return bool(chunk)


def _loads(text: str) -> Any:
    """A value that holds other letters than ASCII's."""
    try:
        return json.loads(text.encode("latin-1").decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NotJsonError(f"it is not in utf-8: {error.reason}") from None
