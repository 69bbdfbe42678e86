"""Pairs the images of a folder with masks or image-level labels, by their ids."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, Optional

from data_prep.pictures import images
from data_prep.pictures.colormaps import class_of
from wss.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.photos import finding


class Item(NamedTuple):
    """An image and, where it has them, its mask or its image-level labels."""

    name: str
    image: str
    mask: Optional[str]
    class_ids: Sequence[int] = ()


class Images(NamedTuple):
    """Images that were chosen from a folder.

    Attributes:
      folder: where they lie.
      paths: {id: path} of all its images.
      suffix: what their names end with and their ids do not.
      names: the ids of the chosen ones, in order.
    """

    folder: str
    paths: Mapping[str, str]
    suffix: str
    names: Sequence[str]


def choose_images(
    folder: str,
    suffix: str = "",
    ids_file: Optional[str] = None,
    exclude_file: Optional[str] = None,
    not_suffix: str = "",
) -> Images:
    """Finds the images to write, and says which files are none.

    Args:
      folder: where they lie.
      suffix: what their names end with and their ids do not.
      ids_file: list of the ids to take; None: all.
      exclude_file: list of ids not to take.
      not_suffix: what the names of masks in the same folder end with.

    Raises:
      UserError: no such folder or list, an id that has no image or stands twice.
    """
    found = finding.scan(folder, suffix)
    paths, left_out = found.paths, found.left_out
    if not_suffix:
        paths = {
            name: path for name, path in paths.items() if not name.endswith(not_suffix)
        }
        masks = re.compile(f".*{re.escape(not_suffix)}\\.[^.]*", re.DOTALL)
        left_out = [path for path in left_out if not masks.fullmatch(path)]
    if left_out:
        print(finding.describe_left_out(folder, left_out))
    chosen = Images(folder, paths, suffix, list(paths))
    if ids_file:
        chosen = chosen._replace(names=_resolve_list(ids_file, chosen))
    if exclude_file:
        excluded = set(_resolve_list(exclude_file, chosen))
        names = [name for name in chosen.names if name not in excluded]
        chosen = chosen._replace(names=names)
    return chosen


def with_masks(
    chosen: Images, folder: str, suffix: str = "", only_with_masks: bool = False
) -> list[Item]:
    """Pairs images with their masks, and says what has no partner.

    Args:
      chosen: the images.
      folder: where the masks lie.
      suffix: what their names end with and their ids do not.
      only_with_masks: leave out images without mask.

    Raises:
      UserError: no such folder; or images without mask, unless they are left out.
    """
    paths, left_out = finding.scan(folder, suffix)
    if left_out and not suffix and folder != chosen.folder:
        print(finding.describe_left_out(folder, left_out))
    lonely = sorted(set(paths) - set(chosen.paths))
    if lonely:
        print(
            f"{folder}: {len(lonely)} masks left out, which have no image in "
            f"{chosen.folder}; the first is '{lonely[0]}'."
        )
    missing = [name for name in chosen.names if name not in paths]
    if only_with_masks and missing:
        print(
            f"{chosen.folder}: {len(missing)} of {len(chosen.names)} images left out, "
            f"which have no mask; the first is '{missing[0]}'."
        )
    elif missing:
        expected = os.path.join(folder, f"{missing[0]}{suffix}.png")
        images.refuse_missing(
            missing,
            f"images have no mask in {folder}",
            f"Looked for {expected}. If the names of masks end differently, say how "
            "with --mask_suffix. With --only_with_masks the others are written; those "
            "without can be another split, without --masks.",
        )
    return [
        Item(name, chosen.paths[name], paths[name])
        for name in chosen.names
        if name in paths
    ]


def without_masks(
    chosen: Images, labels: Optional[Mapping[str, Sequence[int]]] = None
) -> list[Item]:
    """Items without masks.

    Args:
      chosen: the images.
      labels: image-level labels, class ids by the image's id.

    Raises:
      UserError: labels are given, but not for all images.
    """
    if labels is None:
        return [Item(name, chosen.paths[name], None) for name in chosen.names]
    images.refuse_missing(
        [name for name in chosen.names if name not in labels],
        "images have no image-level labels",
        "Add a line for each, or name the images that have labels in a list and give "
        "it as --ids.",
    )
    return [
        Item(name, chosen.paths[name], None, tuple(labels[name]))
        for name in chosen.names
    ]


def read_labels(path: str, spec: DatasetSpec, chosen: Images) -> dict[str, list[int]]:
    """Reads image-level labels: lines of an id and classes, between commas or tabs.

    Returns:
      {id: class ids}.

    Raises:
      UserError: no such file, an image or a class that is not there, a line without
        class, an id twice.
    """
    lines = finding.read_lines(path)
    fields = [
        [field.strip() for field in re.split(r"[,\t]", line) if field.strip()]
        for _, line in lines
    ]
    for (number, line), (_, *classes) in zip(lines, fields):
        if not classes:
            raise UserError(
                f"{path}, line {number}: '{line}' is not an image's id and the classes "
                "that it shows, between commas. For an image that shows nothing but "
                "background, name the background."
            )
    ids = _resolve([name for name, *_ in fields], path, chosen)
    return {
        name: [class_of(text, spec, f"{path}, line {number}") for text in classes]
        for name, (number, _), (_, *classes) in zip(ids, lines, fields)
    }


def _resolve_list(path: str, chosen: Images) -> list[str]:
    return _resolve(images.read_ids(path), path, chosen)


def _resolve(given: Sequence[str], source: str, chosen: Images) -> list[str]:
    """The ids that a list means, which may have endings.

    Raises:
      UserError: there is no such image, or one stands twice.
    """
    ids = [
        next(
            (name for name in _readings(text, chosen.suffix) if name in chosen.paths),
            "",
        )
        for text in given
    ]
    images.refuse_missing(
        [text for text, name in zip(given, ids) if not name],
        f"ids of {source} have no image in {chosen.folder}",
        "An id is the path of an image below that folder, without its ending, such as "
        f"'{next(iter(chosen.paths))}'.",
    )
    images.refuse_repeated(ids, source)
    return ids


def _readings(text: str, suffix: str) -> Iterator[str]:
    """What an id in a list may mean: an id, a file's name, one of another system."""
    for name in (text, os.path.normpath(text.replace("\\", "/"))):
        yield name
        stem, extension = os.path.splitext(name)
        if extension.lower() in finding.EXTENSIONS:
            yield stem
            name = stem
        if suffix and name.endswith(suffix):
            yield name[: -len(suffix)]
