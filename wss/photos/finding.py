"""Finds the images in a folder and below."""

import collections
import contextlib
import glob
import os
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from wss import text_files
from wss.errors import UserError
from wss.photos.patterns import Pattern

EXTENSIONS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif"),
    *(".tiff", ".ppm", ".pgm"),
)


class Found(NamedTuple):
    """The files of a folder and below.

    Attributes:
      paths: {id: path} of the images, sorted; the id is the path below the folder
        without suffix and ending.
      left_out: the other files: hidden, or no images by their names.
    """

    paths: dict[str, str]
    left_out: list[str]


def scan(folder: str, suffix: str = "", pattern: Optional[Pattern] = None) -> Found:
    """Finds the images in a folder and below; links are followed.

    Args:
      folder: where to look.
      suffix: what the names of the images end with, before the dot; others are none.
      pattern: what their paths are like, instead of a suffix.

    Raises:
      UserError: no folder, no image in it, two with one id, a name that is no text.
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
        raise UserError(
            f"There is no image{ending or like} in {folder} ({', '.join(EXTENSIONS)})."
        )
    for name, paths in found.items():
        if len(paths) > 1:
            raise UserError(
                f"Two files have the id '{name}': {' and '.join(sorted(paths))}. "
                "Remove or rename one."
            )
    return Found({name: found[name][0] for name in sorted(found)}, sorted(left_out))


def find(folder: str) -> dict[str, str]:
    """The images in a folder and below, {id: path}; errors as of `scan`."""
    return scan(folder).paths


def images_below(folder: str) -> list[str]:
    """The paths of the images in a folder and below, whatever their ids."""
    return [path for path in _walk(folder) if _is_image(path, folder)]


def describe_left_out(folder: str, left_out: Sequence[str]) -> str:
    """A sentence about the files that `scan` left out."""
    kinds = collections.Counter(_kind(path, folder) for path in left_out)
    shown = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    more = ", ..." if len(kinds) > 5 else ""
    files = "file" if len(left_out) == 1 else "files"
    return (
        f"{folder}: {len(left_out)} {files} left out ({shown}{more}); the first is "
        f"{left_out[0]}."
    )


def collect(sources: Sequence[str]) -> dict[str, str]:
    """The images that a command line names, {name: path}, sorted by name.

    Args:
      sources: images, folders (with all that lies below), patterns such as
        `photos/**/*.jpg`, or text files (.txt) with a path on each line.

    Returns:
      Names that no two images share and that lead out of no folder: an image's path
      below its folder, or below what all images of its pattern or list have in common,
      without its ending; with it, where two would have one name.

    Raises:
      UserError: there is no such file or folder, no image in it, or two images of one
        name in two sources.
    """
    found: dict[str, list[str]] = collections.defaultdict(list)
    paths = set()
    for source in sources:
        for name, path in _named(source):
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
                    f"'{name + ending}'. Name them in two calls with an --output_dir "
                    "each."
                )
            unique[name + ending] = path
    return dict(sorted(unique.items()))


def _named(source: str) -> list[tuple[str, str]]:
    """Names and paths of the images of a source."""
    if os.path.isdir(source):
        return _below(source, [p for p in _walk(source) if _is_image(p, source)])
    if source.lower().endswith(".txt"):
        return _below(None, _listed(source))
    if os.path.lexists(source) or not glob.has_magic(source):
        if not os.path.lexists(source):
            raise UserError(f"There is no image or folder {source}.")
        return _below(None, [source])
    files = [
        path for path in glob.glob(source, recursive=True) if not os.path.isdir(path)
    ]
    return _below(None, [path for path in files if _is_image(path, "")], source)


def _listed(source: str) -> list[str]:
    """The paths of a list."""
    paths = [(line, _on_disk(line)) for _, line in text_files.read_lines(source)]
    return [
        path
        for line, path in paths
        if not text_files.is_comment(line) or os.path.lexists(path)
    ]


def _on_disk(path: str) -> str:
    """A path of a list as this system's files are called.

    Other systems write slashes backwards, and letters like "\u00fc" in two ways.
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


def _below(
    folder: Optional[str], paths: Sequence[str], source: Optional[str] = None
) -> list[tuple[str, str]]:
    """Names of the paths below a folder, by default the one that all lie in."""
    if not paths:
        raise UserError(
            f"There is no image in {folder or source} ({', '.join(EXTENSIONS)})."
        )
    if folder is None:
        folders = [os.path.dirname(os.path.abspath(path)) for path in paths]
        folder = os.path.commonpath(folders)
    return [
        (_name(os.path.relpath(os.path.splitext(path)[0], folder), path), path)
        for path in sorted(paths)
    ]


def _walk(folder: str, above: tuple[str, ...] = ()) -> Iterator[str]:
    """The files in a folder and below. Links are followed, but not in circles."""
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
        else:
            yield entry.path


def _is_image(path: str, folder: str) -> bool:
    """Whether a file looks like an image and nothing between it and `folder` hides."""
    extension = os.path.splitext(path)[1]
    return extension.lower() in EXTENSIONS and not _is_hidden(
        os.path.relpath(path, folder) if folder else os.path.basename(path)
    )


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # A link that leads to itself: whoever reads it tells of it.
        return False


def _is_hidden(path: str) -> bool:
    parts = path.split(os.sep)
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _kind(path: str, folder: str) -> str:
    if _is_hidden(os.path.relpath(path, folder)):
        return "hidden"
    return os.path.splitext(path)[1] or "without ending"


def _name(stem: str, path: str) -> str:
    """The id of a file; one for the same name in the spellings of all systems."""
    try:
        stem.encode()
    except UnicodeEncodeError:
        raise UserError(f"The file name {path!a} is not UTF-8. Rename it.") from None
    return unicodedata.normalize("NFC", stem.replace(os.sep, "/"))
