"""Finds images in folders and their subfolders."""

import collections
import contextlib
import glob
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Optional

from wss.errors import UserError
from wss.files import outputs, text_files
from wss.image_io import heif
from wss.image_io.patterns import Pattern

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif"),
    *(".tiff", ".ppm", ".pgm", *heif.EXTENSIONS),
)


class Found(NamedTuple):
    """The files in a folder and its subfolders.

    Attributes:
      paths: {id: path} of the images, sorted; the id is the path in the folder without
        suffix and extension.
      left_out: the other files: hidden, results of wss, or not images by their names.
    """

    paths: dict[str, str]
    left_out: list[str]


class Collected(NamedTuple):
    """The images given on a command line.

    Attributes:
      paths: {name: path}, sorted by name.
      left_out: the other files of each folder and pattern, by its name.
    """

    paths: dict[str, str]
    left_out: dict[str, list[str]]


def scan(folder: str, suffix: str = "", pattern: Optional[Pattern] = None) -> Found:
    """Finds the images in a folder and its subfolders; follows links.

    Args:
      folder: where to look.
      suffix: end of the images' names before the extension; other files are left out.
      pattern: pattern of their paths, instead of a suffix.

    Raises:
      UserError: there is no such folder or no image in it, two images have the same id,
        or a name is not UTF-8.
    """
    pattern = pattern or Pattern("{id}" + suffix)
    if not os.path.isdir(folder):
        raise UserError(f"There is no folder {folder}.")
    found = collections.defaultdict(list)
    left_out = []
    for path in _walk(folder):
        name = None
        if _is_image(path, folder):
            name = pattern.id_of(_name(os.path.relpath(path, folder), path))
        if name is None:
            left_out.append(path)
        else:
            found[name].append(path)
    if not found:
        ending = f" with names that end in '{suffix}'" if suffix else ""
        like = f" like '{pattern.text}'" if not suffix and pattern.is_special else ""
        raise _no_image(f"{ending or like} in {folder}", folder, left_out)
    for name, paths in found.items():
        if len(paths) > 1:
            raise _same_id(name, sorted(paths), pattern)
    return Found({name: found[name][0] for name in sorted(found)}, sorted(left_out))


def _same_id(name: str, paths: Sequence[str], pattern: Pattern) -> UserError:
    advice = "Remove or rename one."
    first, second, *_ = (os.path.splitext(path)[1] for path in paths)
    if first != second:
        advice = (
            "Remove or rename one; data_prep.folder takes only one kind with "
            f"--image_pattern='{pattern.text}{first}', and for masks with "
            f"--mask_pattern='{pattern.text}{second}'."
        )
    return UserError(f"Two files have the id '{name}': {' and '.join(paths)}. {advice}")


def find(folder: str) -> dict[str, str]:
    """{id: path} of the images in a folder; errors: see `scan`."""
    return scan(folder).paths


def images_below(folder: str) -> list[str]:
    """The paths of the images in a folder and its subfolders; ids do not matter."""
    return [path for path in _walk(folder) if _is_image(path, folder)]


def describe_left_out(folder: str, left_out: Sequence[str]) -> str:
    """A sentence about the files that `scan` left out."""
    kinds = collections.Counter(_kind(path, folder) for path in left_out)
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    more = ", ..." if len(kinds) > 5 else ""
    files = "file" if len(left_out) == 1 else "files"
    of_phones = any(kind.lower() in heif.ENDINGS for kind in kinds)
    return (
        f"{folder}: {len(left_out)} {files} left out ({shown}{more}); the first is "
        f"{left_out[0]}." + (f" {heif.ADVICE}" if of_phones else "")
    )


def collect(
    sources: Sequence[str], is_own: Callable[[str], bool] = lambda path: False
) -> Collected:
    """Collects the images given on a command line.

    Args:
      sources: images, folders (with their subfolders), patterns such as
        `photos/**/*.jpg`, or text files (.txt) with a path on each line.
      is_own: whether a path is an output of wss, which is not an input.

    Returns:
      The images by unique relative names: an image's path in its folder, or in the
      common folder of its pattern or list, without the extension; with the extension if
      two images would have the same name.

    Raises:
      UserError: there is no such file or folder, no image in it, or two sources have
        images of the same name.
    """
    found: dict[str, list[str]] = collections.defaultdict(list)
    paths, left_out = set(), {}
    for source in sources:
        named, others = _named(source)
        others += [path for _, path in named if is_own(path)]
        named = [(name, path) for name, path in named if not is_own(path)]
        if not named:
            raise _no_image(f" in {source}", source, others)
        if others:
            left_out[source] = others
        for name, path in named:
            if os.path.abspath(path) not in paths:
                paths.add(os.path.abspath(path))
                found[name].append(path)
    unique: dict[str, str] = {}
    for name, same in found.items():
        for path in same:
            ending = os.path.splitext(path)[1] if len(same) > 1 else ""
            if name + ending in unique:
                raise UserError(
                    f"{unique[name + ending]} and {path} would both be called "
                    f"'{name + ending}'. Use two commands with different "
                    "--output_dir."
                )
            unique[name + ending] = path
    return Collected(dict(sorted(unique.items())), left_out)


def _named(source: str) -> tuple[list[tuple[str, str]], list[str]]:
    """Names and paths of a source's images, and paths of its other files."""
    if os.path.isdir(source):
        images, others = _divide(_walk(source), source)
        return _below(source, images), others
    if source.lower().endswith(".txt"):
        paths = _listed(source)
        if not paths:
            raise _no_image(f" in {source}", source, [])
        return _below(None, paths), []
    if os.path.lexists(source) or not glob.has_magic(source):
        if not os.path.lexists(source):
            raise UserError(f"There is no image or folder {source}.")
        return _below(None, [source]), []
    files = [
        path for path in glob.glob(source, recursive=True) if not os.path.isdir(path)
    ]
    images, others = _divide(files, source)
    return _below(None, images), others


def _listed(source: str) -> list[str]:
    """The paths of a list."""
    paths = [(line, _on_disk(line)) for _, line in text_files.read_lines(source)]
    return [
        path
        for line, path in paths
        if not text_files.is_comment(line) or os.path.lexists(path)
    ]


def _on_disk(path: str) -> str:
    """A path from a list, as it is on this system.

    Other systems use backslashes, and there are two encodings of letters like
    "\u00fc".
    """
    if os.path.lexists(path):
        return path
    path = path.replace("\\", "/")
    found = os.sep if path.startswith("/") else ""
    for name in filter(None, path.split("/")):
        with contextlib.suppress(OSError):
            if not os.path.lexists(os.path.join(found, name)):
                spellings = os.listdir(found or os.curdir)
                same = (s for s in spellings if unicodedata.normalize("NFC", s) == name)
                name = next(same, name)
        found = os.path.join(found, name)
    return found


def _divide(paths: Iterable[str], source: str) -> tuple[list[str], list[str]]:
    """The images among the files of a folder or pattern, and the others.

    Raises:
      UserError: there is no image.
    """
    top = _top(source)
    images, others = [], []
    for path in paths:
        (images if _is_image(path, top) else others).append(path)
    if not images:
        raise _no_image(f" in {source}", source, others)
    return images, sorted(others)


def _top(source: str) -> str:
    """The folder itself; for a pattern, the part of the path without magic."""
    while glob.has_magic(source) and not os.path.lexists(source):
        source = os.path.dirname(source)
    return source or os.curdir


def _no_image(where: str, source: str, others: Sequence[str]) -> UserError:
    text = f"There is no image{where} ({', '.join(EXTENSIONS)})."
    return UserError(
        f"{text} {describe_left_out(source, sorted(others))}" if others else text
    )


def _below(folder: Optional[str], paths: Sequence[str]) -> list[tuple[str, str]]:
    """Names and paths of files, relative to a folder or their common folder."""
    if folder is None:
        folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
        folder = os.path.commonpath(folders)
    return [
        (_name(os.path.relpath(os.path.splitext(path)[0], folder), path), path)
        for path in sorted(paths)
    ]


def _walk(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The files in a folder and its subfolders; follows links, but no cycles."""
    here = os.path.realpath(folder)
    if here in above:
        return
    try:
        with os.scandir(folder) as entries:
            entries = list(entries)
    except OSError as error:
        raise UserError(
            f"The folder {folder} cannot be read ({error.strerror})."
        ) from error
    for entry in entries:
        if _is_folder(entry):
            yield from _walk(entry.path, (*above, here))
        elif entry.name != outputs.LIST:
            yield entry.path


def _is_image(path: str, folder: str) -> bool:
    """Whether a file is an image by its name, not hidden and not a result of wss."""
    return (
        os.path.splitext(path)[1].lower() in EXTENSIONS
        and not _is_hidden(os.path.relpath(path, folder))
        and not outputs.is_result(path, folder)
    )


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link to itself, reported when it is read.
        return False


def _is_hidden(path: str) -> bool:
    parts = path.split(os.sep)
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _kind(path: str, folder: str) -> str:
    if outputs.is_result(path, os.sep):
        return "written by wss"
    if _is_hidden(os.path.relpath(path, _top(folder))):
        return "hidden"
    return os.path.splitext(path)[1] or "without extension"


def _name(stem: str, path: str) -> str:
    """The id of a file, the same in the spellings of all systems."""
    try:
        stem.encode()
    except UnicodeEncodeError:
        raise UserError(f"The file name {path!a} is not UTF-8. Rename it.") from None
    return unicodedata.normalize("NFC", stem.replace(os.sep, "/"))
