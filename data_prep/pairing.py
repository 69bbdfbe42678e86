"""Finds images in folders and pairs them with masks or image-level labels, by id."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np

from data_prep import binary_masks, id_lists, name_patterns
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.image_io import decoding, discovery
from wss.image_io.patterns import ANY, Pattern

_CHECKED_PAIRS = 8
# Of neighbours in a mask, at most this share differ.
_MOST_EDGES = 0.1


class Item(NamedTuple):
    """An image and, if it has them, its mask or its image-level labels."""

    name: str
    image: str
    mask: Optional[str] = None
    class_ids: Sequence[int] = ()


# --- Folders of a user's own.


class Images(NamedTuple):
    """Images that were chosen from a folder.

    Attributes:
      known: all images in it.
      names: the ids of the chosen ones, in order.
    """

    known: id_lists.Known
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
    known = id_lists.Known(folder, paths, pattern)
    names = id_lists.read_ids(ids_file, known) if ids_file else list(paths)
    if exclude_file:
        excluded = set(id_lists.read_ids(exclude_file, known))
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
    advice += name_patterns.propose(
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
    id_lists.refuse_missing(missing, f"images have no mask in {folder}", advice)


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
    id_lists.refuse_missing(
        [name for name in chosen.names if name not in labels],
        "images have no image-level labels",
        "Add a line for each, or name the images that have labels in a list and give "
        "it as --ids.",
    )
    return [
        Item(name, chosen.known.paths[name], None, tuple(labels[name]))
        for name in chosen.names
    ]


def check_no_masks(folder: str, names: Sequence[str], paths: Mapping[str, str]) -> None:
    """Refuses images without masks among which their masks lie.

    The names have to pair, and the pixels of the one but not of the other have to lie
    in areas of one value. Looks at some pairs.

    Args:
      folder: where they lie.
      names: ids of the images; paths below the folder, without ending.
      paths: {id: path}.

    Raises:
      UserError: there are masks; says with which flags they are taken for such.
    """
    pairs = name_patterns.pairs_within(names)
    if not pairs:
        return
    examples = pairs.names(names, _CHECKED_PAIRS)
    if not all(_is_flat(paths[mask]) for _, mask in examples) or all(
        _is_flat(paths[image]) for image, _ in examples
    ):
        return
    image, mask = (paths[name] for name in examples[0])
    both, alone = _advice(folder, pairs, examples[0], (image, mask))
    raise UserError(
        f"{folder} holds masks beside its images: {len(pairs.ids)} pairs such as "
        f"{image} and {mask}. To write both, {both}; to write the images alone, "
        f"{alone}. If all are images, add --image_pattern='{{id}}'."
    )


def _advice(
    folder: str,
    pairs: name_patterns.Pairs,
    names: tuple[str, str],
    paths: tuple[str, str],
) -> tuple[str, str]:
    """How to write images and masks of one folder, and how the images alone."""
    image, mask = (name.split("/") for name in names)
    if image[-1] == mask[-1]:  # They lie in two folders below.
        while image and mask and image[-1] == mask[-1]:
            image.pop(), mask.pop()
        image, mask = (os.path.join(folder, *parts) for parts in (image, mask))
        return f"give --images={image} --masks={mask}", f"give --images={image}"
    both = f"add --masks={folder} {pairs.flags()}"
    endings = [os.path.splitext(path)[1] for path in paths]
    if Pattern(pairs.image_pattern).is_special:
        return both, f"add --image_pattern='{pairs.image_pattern}'"
    if endings[0] != endings[1]:
        return both, f"add --image_pattern='{pairs.image_pattern}{endings[0]}'"
    return both, "move the masks to another folder"


def _is_flat(path: str) -> bool:
    """Whether an image shows areas of one value, as masks do."""
    try:
        _, image = decoding.load(path, "image")
    except UserError:
        return False  # Whoever writes the records tells of it.
    if binary_masks.lossy_kind(image):
        grey = np.asarray(image.convert("L"))
        return binary_masks.share_unsure(grey) < _MOST_EDGES
    pixels = np.asarray(image)
    return np.mean(pixels[:, 1:] != pixels[:, :-1]) < _MOST_EDGES


# --- Folders as publishers' archives unpack them.


def root(given: str, inner: Sequence[str], marker: str) -> Optional[str]:
    """The folder that a data set unpacked to.

    Args:
      given: the folder that the user named, or one above.
      inner: paths that lead from such a folder to the right one.
      marker: what lies in the right one.

    Returns:
      The folder, or None.
    """
    candidates = [given, *(os.path.join(given, path) for path in inner)]
    for folder in candidates:
        if os.path.exists(os.path.join(folder, marker)):
            return folder
    return None


def note_size(spec: DatasetSpec, split: str, found: int) -> None:
    """Says so where a split has another number of images than its publisher's."""
    published = spec.split_sizes.get(split, found)
    if found != published:
        print(f"{split}: {found} images are there, published are {published}.")


def find_images(folder: str, ending: str = "") -> dict[str, str]:
    """Finds images, {id: path}, and says which other files lie among them.

    Args:
      folder: where to look; also in folders below.
      ending: what the names of the images end with, before the dot.

    Raises:
      UserError: no folder, no image in it, or two with one id.
    """
    found = discovery.scan(folder, ending)
    if found.left_out:
        print(discovery.describe_left_out(folder, found.left_out))
    return found.paths


def note_lonely(masks: Collection[str], names: Collection[str], folder: str) -> None:
    """Says so where masks lie in a folder whose images are not there."""
    lonely = sorted(set(masks) - set(names))
    if lonely:
        print(
            f"{folder}: {len(lonely)} masks have no image and are left out; the first "
            f"is '{lonely[0]}'."
        )


def refuse_without_mask(
    split: str, names: Collection[str], masks: Collection[str], folder: str
) -> None:
    """Refuses a split that has images without a mask.

    Raises:
      UserError: there are such; names the first.
    """
    id_lists.refuse_missing(
        [name for name in names if name not in masks],
        f"images of the split '{split}' have no mask in {folder}",
        "Unpack the whole archive, or add --unlabeled.",
    )
