"""Proposes patterns for names of images and masks that do not pair."""

import collections
import itertools
import os
import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple, Optional

from wss.image_io import discovery
from wss.image_io.patterns import Pattern

# The folder and the first word of a name.
_BEGINNING = re.compile(r"(?:.*/)?[^\W\d_]*")
# Words, numbers, and separators.
_TOKENS = re.compile(r"[^\W\d_]+|\d+|[\W_]+")
# Words in names of masks, and of renderings of masks.
_MASK_WORDS = re.compile("label|mask|seg|gt|annot", re.IGNORECASE)
_NO_MASK_WORDS = re.compile("viz|vis|colo|overlay|preview", re.IGNORECASE)
# Limits: names to read, names to derive patterns from, patterns.
_MAX_NAMES = 5000
_MAX_EXAMPLES = 40
_MAX_TOKENS = 14
_MAX_PATTERNS = 60


class Pairs(NamedTuple):
    """Patterns of images and masks, and the ids in both."""

    image_pattern: str
    mask_pattern: str
    ids: frozenset[str]

    def names(self, names: Sequence[str], count: int) -> list[tuple[str, str]]:
        """Names of some images and their masks, among `names`."""
        sides = []
        for text in (self.image_pattern, self.mask_pattern):
            pattern = Pattern(text)
            sides.append({_id_of(name, pattern): name for name in names})
        step = max(1, len(self.ids) // count)
        chosen = sorted(self.ids)[::step][:count]
        return [tuple(side[name] for side in sides) for name in chosen]

    def flags(self) -> str:
        """The flags for these patterns."""
        patterns = {"image": self.image_pattern, "mask": self.mask_pattern}
        return " ".join(
            f"--{kind}_pattern='{pattern}'"
            for kind, pattern in patterns.items()
            if pattern != "{id}"
        )


class _Side(NamedTuple):
    """A pattern, and the ids of a folder's files with it."""

    pattern: str
    ids: frozenset[str]


def propose(image_dir: str, mask_dir: str, pairs_now: int = 0) -> str:
    """A sentence with the flags that would pair most images and masks.

    Args:
      image_dir: folder of the images.
      mask_dir: folder of the masks, may be the same.
      pairs_now: number of pairs with the current patterns.

    Returns:
      The sentence; empty if no patterns would pair more.
    """
    if os.path.realpath(image_dir) == os.path.realpath(mask_dir):
        mask_names = _names(mask_dir)
        image_names: Sequence[str] = ()  # The names are the same: nothing to compare.
        best = pairs_within(mask_names)
        if best and not _fitness(best.mask_pattern):
            # Numbers in names may pair by chance.
            best = best if 4 * len(best.ids) >= len(mask_names) else None
    else:  # If one folder is inside the other, do not read it twice.
        image_names = _names(image_dir, without=mask_dir)
        mask_names = _names(mask_dir, without=image_dir)
        folders = {*_folders(image_dir), *_folders(mask_dir)}
        best = best_pairs(image_names, mask_names, folders)
    if best and len(best.ids) > pairs_now:
        return (
            f"Add {best.flags()} if these are their masks: this pairs "
            f"{len(best.ids)} of {len(mask_names)} files in {mask_dir} with an image."
        )
    lower = {name.lower(): name for name in mask_names}
    for name in image_names:
        if lower.get(name.lower(), name) != name:
            return (
                f"The names '{name}' and '{lower[name.lower()]}' differ only in "
                "case: rename one of each pair."
            )
    return ""


def best_pairs(
    image_names: Sequence[str],
    mask_names: Sequence[str],
    folders: Collection[str] = (),
) -> Optional[Pairs]:
    """The patterns that pair most images and masks; None if nothing pairs.

    Args:
      image_names: paths below the folder of the images, without extension.
      mask_names: the same of the masks.
      folders: names of the parent folders: images in train/ have masks in train/.
    """
    best, best_rank = None, ()
    for images, masks in itertools.product(_sides(image_names), _sides(mask_names)):
        ids = images.ids & masks.ids
        alike = sum(
            part in folders
            for pattern in (images.pattern, masks.pattern)
            for part in _folders(os.path.dirname(pattern))
        )
        shortness = -len(images.pattern + masks.pattern)
        rank = (len(ids), alike, _fitness(masks.pattern), shortness)
        # In one folder, a file is not its own mask.
        differ = images.pattern != masks.pattern or image_names is not mask_names
        if ids and differ and rank > best_rank:
            best, best_rank = Pairs(images.pattern, masks.pattern, ids), rank
    return best


def pairs_within(names: Sequence[str]) -> Optional[Pairs]:
    """`best_pairs` for one folder of images and masks, by words in their names."""
    groups: dict[bool, list[str]] = {True: [], False: []}
    for name in names:
        groups[_fitness(name) > 0].append(name)
    best = best_pairs(_some_of(groups[False]), _some_of(groups[True]))
    if best is None:
        some = _some_of(names)
        best = best_pairs(some, some)
    return best


def _some_of(names: Sequence[str]) -> list[str]:
    """Limits the names to the first ones of each folder and first word."""
    counts: collections.Counter[str] = collections.Counter()
    ranks = {}
    for name in names:
        beginning = _BEGINNING.match(name)[0]
        ranks[name] = counts[beginning]
        counts[beginning] += 1
    return sorted(ranks, key=ranks.__getitem__)[:_MAX_NAMES]


def _names(folder: str, without: str = "") -> list[str]:
    """Paths of the images in a folder, without extension, except those in `without`."""
    inner = os.path.realpath(without) if without else ""
    if inner == os.path.commonpath([inner or os.sep, os.path.realpath(folder)]):
        inner = ""  # It is above.
    stems = {
        os.path.splitext(os.path.relpath(path, folder).replace(os.sep, "/"))[0]
        for path in discovery.images_below(folder)
        if not inner or not os.path.realpath(path).startswith(inner + os.sep)
    }
    return sorted(stems)[:_MAX_NAMES]


def _sides(names: Sequence[str]) -> list[_Side]:
    """The patterns that fit most names and give each file a different id."""
    step = max(1, len(names) // _MAX_EXAMPLES)
    counts = collections.Counter(
        pattern for name in names[::step] for pattern in set(_patterns(name))
    )
    sides = []
    for text, _ in counts.most_common(_MAX_PATTERNS):
        pattern = Pattern(text)
        ids = [found for name in names if (found := _id_of(name, pattern))]
        if len(set(ids)) == len(ids):
            sides.append(_Side(text, frozenset(ids)))
    return sides


def _id_of(name: str, pattern: Pattern) -> Optional[str]:
    """The id of a file without its extension; `a.jpg` of a.jpg.png is a whole name."""
    return pattern.id_of(f"{name}.png")


def _patterns(name: str) -> Iterator[str]:
    """All patterns that match a name."""
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


def _folders(path: str) -> list[str]:
    """The names of the folders in a path."""
    return [part for part in path.replace(os.sep, "/").split("/") if part.strip(".")]


def _fitness(pattern: str) -> int:
    """How likely a pattern is one of masks: -1, 0 or 1."""
    return bool(_MASK_WORDS.search(pattern)) - bool(_NO_MASK_WORDS.search(pattern))
