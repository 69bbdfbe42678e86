"""Fingerprints of source files, to detect changes."""

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

_BLOCK = 2**20
_DIGITS = 16


class Fingerprint(NamedTuple):
    """Fingerprint of files.

    Attributes:
      state: digest of their sizes and dates; quick, but different for a copy.
      content: digest of their bytes.
    """

    state: str
    content: str


def of(item: Any) -> Fingerprint:
    """The fingerprint of the files that an item names."""
    return Fingerprint(state(item), content(item))


def of_all(fingerprints: Iterable[Fingerprint]) -> Fingerprint:
    """One fingerprint for many."""
    columns = tuple(zip(*fingerprints)) or ((), ())
    return Fingerprint(*(joined(column) for column in columns))


def state(item: Any) -> str:
    """`Fingerprint.state` of an item.

    It includes the inode's change time, which programs cannot set.
    """
    stats = [os.stat(path) for path in paths(item)]
    return joined(repr((s.st_size, s.st_mtime_ns, s.st_ctime_ns)) for s in stats)


def content(item: Any) -> str:
    """`Fingerprint.content` of an item."""
    return joined(of_file(path) for path in paths(item))


def paths(item: Any) -> Iterator[str]:
    """The files among the fields of an item, and among those of tuples in it."""
    for field in item if isinstance(item, tuple) else (item,):
        if isinstance(field, tuple):
            yield from paths(field)
        elif isinstance(field, str) and field:
            with contextlib.suppress(OSError, ValueError):
                if stat.S_ISREG(os.stat(field).st_mode):
                    yield field


def of_file(path: str) -> str:
    """The sha256 of a file; empty if it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
    except OSError:  # Reading it reports the reason.
        return ""
    return digest.hexdigest()


def joined(texts: Iterable[str]) -> str:
    """A short digest of texts, in order."""
    return hashlib.sha256(" ".join(texts).encode()).hexdigest()[:_DIGITS]
