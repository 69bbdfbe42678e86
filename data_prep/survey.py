"""Decisions that depend on all files of a split, taken once.

* The number of bits in use in images with more than 8 bits. If it were chosen per
  image, a dark image would become brighter than a bright one.
* The class of a palette's index, see `palettes`.
* Whether masks with lossy compression can be yes/no masks.
"""

import contextlib
import functools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from data_prep import binary_masks, masks, palettes, relabel
from data_prep.pairing import Item
from data_prep.writing import processes
from wss.data.datasets import manifest as manifests
from wss.errors import UserError
from wss.image_io import bit_depth

_CHECKED_BINARIES = 64
_WHITE = 255
_ADVICE = "--binary to read 255 as 1"


class Findings(NamedTuple):
    """What was decided for all files of a split.

    Attributes:
      image_bits: bits in use of images with more than 8 bits, see
        `bit_depth.to_8_bits`; None if there are none.
      palette: (index, red, green, blue) of the indices that masks use.
    """

    image_bits: Optional[int]
    palette: Sequence[tuple[int, int, int, int]]

    def options(self) -> dict[str, Any]:
        """The findings as options for the manifest."""
        options = {}
        if self.image_bits:
            options["image_bits"] = self.image_bits
        if self.palette:
            options["palette"] = [list(entry) for entry in self.palette]
        return options


class _Seen(NamedTuple):
    """What was found in one item.

    Attributes:
      brightest: the largest value of an image with more than 8 bits.
      palette: of the mask.
      lossy: the largest value of a mask with lossy compression.
    """

    brightest: Optional[int]
    palette: Optional[palettes.Palette]
    lossy: Optional[int]


def decide(
    items: Sequence[Item],
    labels: masks.Labels,
    output_dir: str,
    splits: Collection[str],
    image_bits: Optional[int] = None,
    workers: int = 0,
    skip_broken: bool = False,
) -> Findings:
    """Reads all files of splits, and the decisions for earlier splits.

    Files that cannot be read are skipped: writing the records reports them.

    Args:
      items: images and masks.
      labels: how the numbers or colors in masks become class ids.
      output_dir: folder of the data set, whose other splits must agree.
      splits: the splits to write.
      image_bits: the user's choice; None: as many as the brightest image needs.
      workers: number of processes; 0: one per core.
      skip_broken: accept images that are too bright, because writing skips them.

    Raises:
      UserError: other splits have other bits, an image is too bright for them, palettes
        differ, or masks are not yes/no masks.
    """
    look = functools.partial(
        _look, with_palette=labels.colormap is None, binary=labels.binary
    )
    brightest: list[tuple[int, str]] = []
    lossy: list[int] = []
    known_palettes = palettes.Palettes()
    others = _other_splits(output_dir, splits)
    for name, options in others.items():
        if _means_the_same(options, labels):
            known_palettes.add_entries(
                f"the split '{name}'", options.get("palette", ())
            )
    found = processes.in_order(look, items, workers)
    found = tqdm(found, "checking", len(items), leave=False, disable=None)
    for item, seen in zip(items, found):
        if seen.brightest is not None:
            brightest.append((seen.brightest, item.image))
        if seen.lossy is not None:
            lossy.append(seen.lossy)
        if seen.palette:
            known_palettes.add(seen.palette)
    _report_lossy(lossy)
    bits = _choose_bits([number for number, _ in brightest], image_bits, others)
    if brightest and not skip_broken:
        highest, path = max(brightest)
        bit_depth.check_bits(highest, bits, path)
    return Findings(bits, known_palettes.entries())


def check_binaries(
    paths: Sequence[str], ignore_label: int, labels: masks.Labels = masks.AS_THEY_ARE
) -> None:
    """Applies `refuse_binaries` to some of the mask files, evenly spread.

    Args:
      paths: files of masks.
      ignore_label, labels: see `refuse_binaries`.

    Raises:
      UserError: the masks have only 0 and 255.
    """

    def values() -> Iterator[np.ndarray]:
        for path in paths[:: max(1, -(-len(paths) // _CHECKED_BINARIES))]:
            with contextlib.suppress(UserError):  # Writing the records reports it.
                yield relabel.histogram(masks.read_values(path))[0]

    folder = os.path.dirname(paths[0]) if paths else ""
    refuse_binaries(values(), f"in {folder}", ignore_label, labels)


def refuse_binaries(
    values: Iterable[np.ndarray],
    where: str,
    ignore_label: int,
    labels: masks.Labels,
    advice: str = _ADVICE,
) -> None:
    """Refuses masks that have only 0 and 255, if 255 is the ignore label.

    Such masks would be read as background and ignored pixels, and a network trained on
    them would predict only background. It does not help if others have 0 and 1.

    Args:
      values: the values of some masks.
      where: the masks' location for the message, such as "in masks".
      ignore_label: the label of ignored pixels.
      labels: how the values become class ids; nothing is refused if they change 255.
      advice: the flag to add, and its effect.

    Raises:
      UserError: the masks have only 0 and 255, or each has these or 0 and 1.
    """
    if ignore_label != _WHITE or not labels.keeps(_WHITE):
        return
    seen: list[set[int]] = []
    for some in values:
        seen.append(set(some.tolist()))
        if not seen[-1] <= {0, 1, _WHITE} or {1, _WHITE} <= seen[-1]:
            return
    if {0, _WHITE} not in seen and {_WHITE} not in seen:
        return
    if not any(1 in one for one in seen):
        raise UserError(
            f"The masks {where} have only 0 and 255. If they are yes/no masks, 255 "
            f"would be ignored and nothing learned: add {advice}. If 255 means "
            "ignored, add --map 255=ignore."
        )
    if {0, _WHITE} in seen:
        raise UserError(
            f"Of the masks {where}, some have only 0 and 255, others only 0 and 1. If "
            f"all are yes/no masks, add {advice}. If 255 means ignored, name the "
            "classes with --class_names, and add --map 255=ignore."
        )


def _look(item: Item, with_palette: bool, binary: bool) -> _Seen:
    brightest = palette = lossy = None
    # On damaged files decoders may raise any exception; writing the records reports it.
    with contextlib.suppress(Exception):
        brightest = bit_depth.brightest(item.image)
    with contextlib.suppress(Exception):
        if item.mask and with_palette:
            palette = palettes.read(item.mask)
    with contextlib.suppress(Exception):
        if item.mask and binary:
            lossy = binary_masks.brightest_of_lossy(item.mask)
    return _Seen(brightest, palette, lossy)


def _means_the_same(options: Mapping[str, Any], labels: masks.Labels) -> bool:
    """Whether another split maps the indices in masks to the same classes."""
    changes = [list(change) for change in labels.changes]
    return (
        labels.colormap is None
        and options.get("map", []) == changes
        and options.get("binary", False) == labels.binary
    )


def _other_splits(
    output_dir: str, splits: Collection[str]
) -> dict[str, dict[str, Any]]:
    """The options of all other splits."""
    manifest = manifests.read(output_dir) or {"splits": {}}
    return {
        name: entry.get("options") or {}
        for name, entry in manifest["splits"].items()
        if name not in splits
    }


def _choose_bits(
    brightest: Sequence[int],
    asked: Optional[int],
    others: Mapping[str, dict[str, Any]],
) -> Optional[int]:
    """Chooses and prints the number of bits in use.

    Args:
      brightest: the largest value of each image with more than 8 bits.
      asked: the bits that the user chose.
      others: options of other splits, which must have the same bits.
    """
    rule = asked
    for name, options in others.items():
        known = options.get("image_bits")
        if known and rule not in (None, known):
            raise UserError(
                f"The split '{name}' was written with --image_bits={known}. Use the "
                "same value for all splits of a data set, or choose another "
                "--output_dir."
            )
        rule = rule or known
    if not brightest:
        return asked
    bits = rule or max(map(bit_depth.bits_of, brightest))
    print(
        f"{len(brightest)} images have more than 8 bits; their largest value is "
        f"{max(brightest)}. All are read as {bits} bits, 0 to {2**bits - 1} "
        "(--image_bits)."
    )
    return bits


def _report_lossy(brightest: Sequence[int]) -> None:
    """Prints how yes/no masks with lossy compression are read."""
    if not brightest:
        return
    if max(brightest) < binary_masks.YES:
        raise UserError(
            f"{len(brightest)} masks are JPEG or WebP, and no value in them exceeds "
            f"{max(brightest)}: these are not yes/no masks of 0 and 255, and their "
            "compression has changed them. Save masks as PNG, from their source."
        )
    print(
        f"{len(brightest)} masks are JPEG or WebP, whose compression changes values: "
        f"values from {binary_masks.YES} on are read as 1, lower ones as 0."
    )
