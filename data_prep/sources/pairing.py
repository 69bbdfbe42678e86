"""Pairs the images of a folder with masks or image-level labels, by their ids."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

from data_prep.pictures import images
from data_prep.sources import lists, proposals
from wss.image_io import discovery
from wss.image_io.patterns import ANY, Pattern


class Item(NamedTuple):
    """An image and, where it has them, its mask or its image-level labels."""

    name: str
    image: str
    mask: Optional[str]
    class_ids: Sequence[int] = ()


class Images(NamedTuple):
    """Images that were chosen from a folder.

    Attributes:
      known: all that lie there.
      names: the ids of the chosen ones, in order.
    """

    known: lists.Known
    names: Sequence[str]


def choose_images(
    folder: str,
    pattern: Pattern = ANY,
    ids_file: Optional[str] = None,
    exclude_file: Optional[str] = None,
    not_pattern: Optional[Pattern] = None,
) -> Images:
    """Finds the images to write, and says which files are none.

    Args:
      folder: where they lie.
      pattern: what their paths are like.
      ids_file: list of the ids to take; None: all.
      exclude_file: list of ids not to take.
      not_pattern: what the paths of masks in the same folder are like.

    Raises:
      UserError: no such folder or list, an id that has no image or stands twice.
    """
    found = discovery.scan(folder, pattern=pattern)
    paths, left_out = found.paths, found.left_out
    if not_pattern:

        def is_mask(path: str) -> bool:
            return not_pattern.id_of(os.path.relpath(path, folder)) is not None

        paths = {name: path for name, path in paths.items() if not is_mask(path)}
        left_out = [path for path in left_out if not is_mask(path)]
    if left_out:
        print(discovery.describe_left_out(folder, left_out))
    known = lists.Known(folder, paths, pattern)
    names = lists.read_ids(ids_file, known) if ids_file else list(paths)
    if exclude_file:
        excluded = set(lists.read_ids(exclude_file, known))
        names = [name for name in names if name not in excluded]
    return Images(known, names)


def with_masks(
    chosen: Images,
    folder: str,
    pattern: Pattern = ANY,
    only_with_masks: bool = False,
) -> list[Item]:
    """Pairs images with their masks, and says what has no partner.

    Args:
      chosen: the images.
      folder: where the masks lie.
      pattern: what their paths are like.
      only_with_masks: leave out images without mask.

    Raises:
      UserError: no such folder; or images without mask, unless they are left out; or
        all are without.
    """
    images_folder = chosen.known.folder
    paths, left_out = discovery.scan(folder, pattern=pattern)
    if left_out and not pattern.is_special and folder != images_folder:
        print(discovery.describe_left_out(folder, left_out))
    lonely = sorted(set(paths) - set(chosen.known.paths))
    if lonely:
        print(
            f"{folder}: {len(lonely)} masks left out, which have no image in "
            f"{images_folder}; the first is '{lonely[0]}'."
        )
    missing = [name for name in chosen.names if name not in paths]
    if missing and not (only_with_masks and len(missing) < len(chosen.names)):
        _refuse_without_masks(missing, chosen, folder, pattern)
    if missing:
        print(
            f"{images_folder}: {len(missing)} of {len(chosen.names)} images left out, "
            f"which have no mask; the first is '{missing[0]}'."
        )
    return [
        Item(name, chosen.known.paths[name], paths[name])
        for name in chosen.names
        if name in paths
    ]


def _refuse_without_masks(
    missing: Sequence[str], chosen: Images, folder: str, pattern: Pattern
) -> None:
    """Refuses images without mask, and proposes how names may pair."""
    expected = os.path.join(folder, pattern.text.replace("{id}", missing[0]))
    if not os.path.splitext(expected)[1]:
        expected += ".png"
    advice = f"Looked for {expected}. "
    advice += proposals.propose(
        chosen.known.folder, folder, len(chosen.names) - len(missing)
    ) or (
        "If masks are called otherwise, say how with --mask_pattern, such as "
        "'{id}_mask'."
    )
    if len(missing) < len(chosen.names):
        advice += (
            " With --only_with_masks the others are written; those without can be "
            "another split, without --masks."
        )
    images.refuse_missing(missing, f"images have no mask in {folder}", advice)


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
        return [Item(name, chosen.known.paths[name], None) for name in chosen.names]
    images.refuse_missing(
        [name for name in chosen.names if name not in labels],
        "images have no image-level labels",
        "Add a line for each, or name the images that have labels in a list and give "
        "it as --ids.",
    )
    return [
        Item(name, chosen.known.paths[name], None, tuple(labels[name]))
        for name in chosen.names
    ]
