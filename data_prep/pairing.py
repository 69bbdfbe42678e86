"""Finds images in folders and pairs them with masks or image-level labels, by id."""

import os
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, Optional, Union

import numpy as np

from data_prep import binary_masks, id_lists, name_patterns
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.image_io import decoding, discovery
from wss.image_io.patterns import ANY, Pattern

_CHECKED_PAIRS = 8
# In a mask, at most this share of neighboring pixels differ.
_MOST_EDGES = 0.1


# The file of a mask; or what it is drawn from: text, or files and their classes.
MaskSource = Union[str, tuple[tuple[str, str], ...]]


class Item(NamedTuple):
    """An image and, if it has them, its mask or its image-level labels."""

    name: str
    image: str
    mask: Optional[MaskSource] = None
    class_ids: Sequence[int] = ()


# --- Folders of users.


class Images(NamedTuple):
    """Images chosen from a folder.

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
    annotations: tuple[str, ...] = (),
) -> Images:
    """Finds the images to write, and prints which other files are left out.

    Args:
      folder: folder of the images.
      pattern: of their paths, see `Pattern`.
      ids_file: list of the ids to write; None: all.
      exclude_file: list of the ids not to write.
      not_pattern: of the paths of masks in the same folder.
      annotations: endings of files that are read elsewhere, so not left out.

    Raises:
      UserError: there is no such folder or list, an id has no image or is repeated, or
        all images are excluded.
    """
    found = discovery.scan(folder, pattern=pattern)
    paths, left_out = found.paths, found.left_out
    if not_pattern:

        def is_mask(path: str) -> bool:
            return not_pattern.id_of(os.path.relpath(path, folder)) is not None

        paths = {name: path for name, path in paths.items() if not is_mask(path)}
        left_out = [path for path in left_out if not is_mask(path)]
    left_out = [path for path in left_out if not path.endswith(annotations)]
    if left_out:
        print(discovery.describe_left_out(folder, left_out))
    known = id_lists.Known(folder, paths, pattern)
    names = id_lists.read_ids(ids_file, known) if ids_file else list(paths)
    if exclude_file:
        excluded = set(id_lists.read_ids(exclude_file, known))
        names = [name for name in names if name not in excluded]
        if not names:
            raise UserError(
                f"{exclude_file} excludes all images of {ids_file or folder}. Remove "
                "those to write from the list, or leave out --exclude."
            )
    return Images(known, names)


def with_masks(
    chosen: Images,
    folder: str,
    pattern: Pattern = ANY,
    only_with_masks: bool = False,
) -> list[Item]:
    """Pairs images with their masks, and prints which ones do not pair.

    Args:
      chosen: the images.
      folder: folder of the masks.
      pattern: of their paths, see `Pattern`.
      only_with_masks: leave out images without mask.

    Raises:
      UserError: there is no such folder or no mask, or images without a mask are not to
        be left out.
    """
    images_folder = chosen.known.folder
    paths = find_masks(chosen, folder, pattern)
    missing = [name for name in chosen.names if name not in paths]
    if missing and not (only_with_masks and len(missing) < len(chosen.names)):
        _refuse_without_masks(missing, chosen, folder, pattern)
    if missing:
        print(
            f"{images_folder}: left out {len(missing)} of {len(chosen.names)} images "
            f"that have no mask; the first is '{missing[0]}'."
        )
    return [
        Item(name, chosen.known.paths[name], paths[name])
        for name in chosen.names
        if name in paths
    ]


def find_masks(chosen: Images, folder: str, pattern: Pattern = ANY) -> dict[str, str]:
    """Finds masks, {id: path}, and prints which ones have no image.

    Raises:
      UserError: there is no such folder or no mask.
    """
    images_folder = chosen.known.folder
    paths, left_out = discovery.scan(folder, pattern=pattern)
    if left_out and not pattern.is_special and folder != images_folder:
        print(discovery.describe_left_out(folder, left_out))
    lonely = sorted(set(paths) - set(chosen.known.paths))
    if lonely:
        print(
            f"{folder}: left out {len(lonely)} masks that have no image in "
            f"{images_folder}; the first is '{lonely[0]}'."
        )
    return paths


def expected_mask(name: str, folder: str, pattern: Pattern) -> str:
    """The file in which the mask of an image is expected, for messages."""
    expected = os.path.join(folder, pattern.text.replace("{id}", name))
    return expected if os.path.splitext(expected)[1] else expected + ".png"


def _refuse_without_masks(
    missing: Sequence[str], chosen: Images, folder: str, pattern: Pattern
) -> None:
    """Refuses images without a mask, and proposes patterns that pair."""
    advice = f"Looked for {expected_mask(missing[0], folder, pattern)}. "
    advice += name_patterns.propose(
        chosen.known.folder, folder, len(chosen.names) - len(missing)
    ) or ("If masks have other names, add --mask_pattern, such as '{id}_mask'.")
    if len(missing) < len(chosen.names):
        advice += (
            " Add --only_with_masks to write only images with masks; write the others "
            "as another split, without --masks."
        )
    id_lists.refuse_missing(missing, f"images have no mask in {folder}", advice)


def without_masks(
    chosen: Images, labels: Optional[Mapping[str, Sequence[int]]] = None
) -> list[Item]:
    """Creates items without masks.

    Args:
      chosen: the images.
      labels: image-level labels, class ids by the image's id.

    Raises:
      UserError: some images have no labels.
    """
    if labels is None:
        return [Item(name, chosen.known.paths[name], None) for name in chosen.names]
    id_lists.refuse_missing(
        [name for name in chosen.names if name not in labels],
        "images have no image-level labels",
        "Add a line for each, or pass a list of the images that have labels as --ids.",
    )
    return [
        Item(name, chosen.known.paths[name], None, tuple(labels[name]))
        for name in chosen.names
    ]


def check_no_masks(folder: str, names: Sequence[str], paths: Mapping[str, str]) -> None:
    """Refuses a folder of unlabeled images that also contains their masks.

    In such a folder, names pair, and one file of each pair consists of areas of one
    value while the other does not. Some pairs are checked.

    Args:
      folder: the folder.
      names: ids of the images: paths below the folder, without extension.
      paths: {id: path}.

    Raises:
      UserError: there are masks; the message names the flags that read them.
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
        f"{folder} contains masks besides images: {len(pairs.ids)} pairs such as "
        f"{image} and {mask}. To write both, {both}; to write only the images, "
        f"{alone}. If all are images, add --image_pattern='{{id}}'."
    )


def _advice(
    folder: str,
    pairs: name_patterns.Pairs,
    names: tuple[str, str],
    paths: tuple[str, str],
) -> tuple[str, str]:
    """Flags to write images with masks, and flags to write only images."""
    image, mask = (name.split("/") for name in names)
    if image[-1] == mask[-1]:  # They are in two subfolders.
        while image and mask and image[-1] == mask[-1]:
            image.pop(), mask.pop()
        image, mask = (os.path.join(folder, *parts) for parts in (image, mask))
        return f"pass --images={image} --masks={mask}", f"pass --images={image}"
    both = f"add --masks={folder} {pairs.flags()}"
    endings = [os.path.splitext(path)[1] for path in paths]
    if Pattern(pairs.image_pattern).is_special:
        return both, f"add --image_pattern='{pairs.image_pattern}'"
    if endings[0] != endings[1]:
        return both, f"add --image_pattern='{pairs.image_pattern}{endings[0]}'"
    return both, "move the masks to another folder"


def _is_flat(path: str) -> bool:
    """Whether an image consists of areas of one value, as masks do."""
    try:
        _, image = decoding.load(path, "image")
    except UserError:
        return False  # Writing the records reports it.
    if binary_masks.lossy_kind(image):
        gray = np.asarray(image.convert("L"))
        return binary_masks.share_unsure(gray) < _MOST_EDGES
    pixels = np.asarray(image)
    return np.mean(pixels[:, 1:] != pixels[:, :-1]) < _MOST_EDGES


# --- Folders of published archives.


def root(given: str, inner: Sequence[str], marker: str) -> Optional[str]:
    """The folder of an unpacked data set.

    Args:
      given: the folder that the user named, or a parent of it.
      inner: possible paths from a parent to the right folder.
      marker: a name in the right folder.

    Returns:
      The folder, or None.
    """
    candidates = [given, *(os.path.join(given, path) for path in inner)]
    for folder in candidates:
        if os.path.exists(os.path.join(folder, marker)):
            return folder
    return None


def note_size(spec: DatasetSpec, split: str, found: int) -> None:
    """Prints a note if a split does not have the published number of images."""
    published = spec.split_sizes.get(split, found)
    if found != published:
        print(f"{split}: found {found} images; the published split has {published}.")


def find_images(folder: str, suffix: str = "") -> dict[str, str]:
    """Finds images, {id: path}, and prints which other files are left out.

    Args:
      folder: the folder, searched with its subfolders.
      suffix: end of the images' names before the extension.

    Raises:
      UserError: there is no folder or no image in it, or two images have one id.
    """
    found = discovery.scan(folder, suffix)
    if found.left_out:
        print(discovery.describe_left_out(folder, found.left_out))
    return found.paths


def note_lonely(masks: Collection[str], names: Collection[str], folder: str) -> None:
    """Prints a note if masks have no image."""
    lonely = sorted(set(masks) - set(names))
    if lonely:
        print(
            f"{folder}: left out {len(lonely)} masks that have no image; the first is "
            f"'{lonely[0]}'."
        )


def refuse_without_mask(
    split: str, names: Collection[str], masks: Collection[str], folder: str
) -> None:
    """Refuses a split that has images without a mask.

    Raises:
      UserError: images have no mask; the message names the first.
    """
    id_lists.refuse_missing(
        [name for name in names if name not in masks],
        f"images of the split '{split}' have no mask in {folder}",
        "Unpack the whole archive, or add --unlabeled.",
    )
