"""Proposes patterns for the names of images and masks that do not pair as they are."""

import collections
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from wss.image_io import discovery
from wss.image_io.patterns import Pattern

# Words, numbers, and what stands between them.
_TOKENS = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
# Names that masks have and other pictures beside them have not.
_MASK_WORDS = re.compile("label|mask|seg|gt|annot", re.IGNORECASE)
_NO_MASK_WORDS = re.compile("viz|vis|colo|overlay|preview", re.IGNORECASE)
# Bounds on the work: names that are looked at, those that give patterns, patterns.
_MAX_NAMES = 5000
_MAX_EXAMPLES = 40
_MAX_TOKENS = 14
_MAX_PATTERNS = 60


class _Side(NamedTuple):
    """A pattern and the ids that it gives to the files of a folder."""

    pattern: str
    ids: frozenset[str]


def propose(image_dir: str, mask_dir: str, pairs_now: int = 0) -> str:
    """A sentence with the flags that would pair most images and masks.

    Args:
      image_dir: folder of the images.
      mask_dir: folder of the masks, may be the same.
      pairs_now: how many pair as the names are read now.

    Returns:
      The sentence; empty where no patterns would pair more.
    """
    one_folder = os.path.realpath(image_dir) == os.path.realpath(mask_dir)
    # Of folders that lie in each other the inner one is not looked at twice.
    image_names = _names(image_dir, without="" if one_folder else mask_dir)
    mask_names = _names(mask_dir, without="" if one_folder else image_dir)
    best, best_rank = None, (pairs_now,)
    for images, masks in itertools.product(_sides(image_names), _sides(mask_names)):
        if one_folder and images.pattern == masks.pattern:
            continue
        count = len(images.ids & masks.ids)
        rank = (count, _fitness(masks.pattern), -len(images.pattern + masks.pattern))
        if count > pairs_now and rank > best_rank:
            best, best_rank = (images.pattern, masks.pattern), rank
    if best:
        flags = [
            f"--{kind}_pattern='{pattern}'"
            for kind, pattern in zip(("image", "mask"), best)
            if pattern != "{id}"
        ]
        return (
            f"Add {' '.join(flags)}, if these are their masks: it pairs {best_rank[0]} "
            f"of {len(mask_names)} files in {mask_dir} with an image."
        )
    lower = {name.lower(): name for name in mask_names}
    for name in image_names:
        if lower.get(name.lower(), name) != name:
            return (
                f"The names '{name}' and '{lower[name.lower()]}' differ in capital "
                "letters: rename one of each pair."
            )
    return ""


def _names(folder: str, without: str = "") -> list[str]:
    """Paths of the images in a folder, without ending; `without` another one in it."""
    inner = os.path.realpath(without) if without else ""
    if inner == os.path.commonpath([inner or os.sep, os.path.realpath(folder)]):
        inner = ""  # It lies above.
    stems = {
        os.path.splitext(os.path.relpath(path, folder).replace(os.sep, "/"))[0]
        for path in discovery.images_below(folder)
        if not inner or not os.path.realpath(path).startswith(inner + os.sep)
    }
    return sorted(stems)[:_MAX_NAMES]


def _sides(names: Sequence[str]) -> list[_Side]:
    """The patterns that fit most names and give each file an id of its own."""
    step = max(1, len(names) // _MAX_EXAMPLES)
    counts = collections.Counter(
        pattern for name in names[::step] for pattern in set(_patterns(name))
    )
    sides = []
    for text, _ in counts.most_common(_MAX_PATTERNS):
        pattern = Pattern(text)
        ids = [found for found in map(pattern.id_of, names) if found]
        if len(set(ids)) == len(ids):
            sides.append(_Side(text, frozenset(ids)))
    return sides


def _patterns(name: str) -> Iterator[str]:
    """All patterns of which a name is an example."""
    folders = name.split("/")
    for place, part in enumerate(folders):
        tokens = _TOKENS.findall(part)[:_MAX_TOKENS]
        rest = part[len("".join(tokens)) :]
        words = [i for i, token in enumerate(tokens) if token.isalnum()]
        for start, last in itertools.combinations_with_replacement(words, 2):
            end = last + 1
            before, after = "".join(tokens[:start]), "".join(tokens[end:]) + rest
            for above in range(place + 1):
                yield "/".join(
                    [
                        *folders[above:place],
                        f"{before}{{id}}{after}",
                        *folders[place + 1 :],
                    ]
                )


def _fitness(pattern: str) -> int:
    """How much a pattern sounds like that of masks."""
    return bool(_MASK_WORDS.search(pattern)) - bool(_NO_MASK_WORDS.search(pattern))
