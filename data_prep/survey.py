"""What no single file can tell: decided once, for all files of a split.

* How many bits count in images with more than 8. Chosen image by image, a dark one
  would come out brighter than a bright one.
* Which class a palette's index stands for, see `palettes`.
* Whether masks with lossy compression can be yes/no masks.
"""

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
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


class Findings(NamedTuple):
    """What holds for all files of a split.

    Attributes:
      image_bits: of images with more than 8 bits, see `bit_depth.to_8_bits`;
        None if there are none.
      palette: (index, red, green, blue) of the indices that masks use.
    """

    image_bits: Optional[int]
    palette: Sequence[tuple[int, int, int, int]]

    def options(self) -> dict[str, Any]:
        """The same for the manifest."""
        options = {}
        if self.image_bits:
            options["image_bits"] = self.image_bits
        if self.palette:
            options["palette"] = [list(entry) for entry in self.palette]
        return options


class _Seen(NamedTuple):
    """What one item shows.

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
    split: str,
    image_bits: Optional[int] = None,
    workers: int = 0,
    skip_broken: bool = False,
) -> Findings:
    """Looks at all files of a split, and at what was decided for earlier splits.

    Files that cannot be read are skipped: writing the records reports them.

    Args:
      items: images and masks.
      labels: what the numbers or colors in masks mean.
      output_dir: folder of the data set, whose other splits have to agree.
      split: to be written.
      image_bits: the user's choice; None: as many as the brightest image takes.
      workers: processes that read; 0: one for each core.
      skip_broken: do not refuse images that are too bright: writing skips them.

    Raises:
      UserError: other splits were written by another rule, or an image is brighter than
        it allows; palettes that differ; masks that are no yes/no masks.
    """
    look = functools.partial(
        _look, with_palette=labels.colormap is None, binary=labels.binary
    )
    brightest: list[tuple[int, str]] = []
    lossy: list[int] = []
    known_palettes = palettes.Palettes()
    others = _other_splits(output_dir, split)
    for name, options in others.items():
        if _means_the_same(options, labels):
            known_palettes.add_entries(
                f"the split '{name}'", options.get("palette", ())
            )
    found = processes.in_order(look, items, workers)
    found = tqdm(found, f"looking at {split}", len(items), leave=False, disable=None)
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
    """`refuse_binaries` for mask files: looks at some, spread over all of them.

    Args:
      paths: files of masks.
      ignore_label, labels: see `refuse_binaries`.

    Raises:
      UserError: all masks are 0 and 255.
    """

    def values() -> Iterator[np.ndarray]:
        for path in paths[:: max(1, -(-len(paths) // _CHECKED_BINARIES))]:
            with contextlib.suppress(UserError):  # Writing the records reports it.
                yield relabel.histogram(masks.read_values(path))[0]

    folder = os.path.dirname(paths[0]) if paths else ""
    advice = "--binary to read 255 as 1"
    refuse_binaries(values(), f"in {folder}", ignore_label, labels, advice)


def refuse_binaries(
    values: Iterable[np.ndarray],
    where: str,
    ignore_label: int,
    labels: masks.Labels,
    advice: str,
) -> None:
    """Refuses masks in which nothing but 0 and 255 occurs, 255 being ignored.

    Such masks pass for background and ignored pixels, and a network trained on them
    predicts nothing at all.

    Args:
      values: those of some masks.
      where: the masks are, for the message: "in masks".
      ignore_label: the label of ignored pixels.
      labels: what the values mean; if they say what 255 means, all is well.
      advice: the flag to add, and its effect.

    Raises:
      UserError: all masks are 0 and 255.
    """
    if ignore_label != _WHITE or not labels.keeps(_WHITE):
        return
    seen: set[int] = set()
    for some in values:
        seen.update(some.tolist())
        if not seen <= {0, _WHITE}:
            return
    if _WHITE in seen:
        raise UserError(
            f"The masks {where} hold only 0 and 255: yes/no masks, whose 255 would be "
            f"ignored and nothing learned. Add {advice}; or --map 255=ignore if that "
            "is meant."
        )


def _look(item: Item, with_palette: bool, binary: bool) -> _Seen:
    brightest = palette = lossy = None
    # Decoders raise anything on damaged files; writing the records reports them.
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
    """Whether the indices of another split's masks became the same classes."""
    changes = [list(change) for change in labels.changes]
    return (
        labels.colormap is None
        and options.get("map", []) == changes
        and options.get("binary", False) == labels.binary
    )


def _other_splits(output_dir: str, split: str) -> dict[str, dict[str, Any]]:
    """The options of the splits that stay as they are."""
    manifest = manifests.read(output_dir) or {"splits": {}}
    return {
        name: entry.get("options") or {}
        for name, entry in manifest["splits"].items()
        if name != split
    }


def _choose_bits(
    brightest: Sequence[int],
    asked: Optional[int],
    others: Mapping[str, dict[str, Any]],
) -> Optional[int]:
    """Chooses and prints how many bits count.

    Args:
      brightest: the largest values of all images with more than 8 bits.
      asked: the bits that the user chose.
      others: options of other splits, which keep to one rule.
    """
    rule = asked
    for name, options in others.items():
        known = options.get("image_bits")
        if known and rule not in (None, known):
            raise UserError(
                f"The split '{name}' was written with --image_bits={known}: give all "
                "splits of a data set the same, or choose another --output_dir."
            )
        rule = rule or known
    if not brightest:
        return asked
    bits = rule or max(map(bit_depth.bits_of, brightest))
    print(
        f"{len(brightest)} images have more than 8 bits, their brightest number is "
        f"{max(brightest)}: all are read as {bits} bits, 0 to {2**bits - 1} "
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
            f"{max(brightest)}: these are no yes/no masks of 0 and 255, and their "
            "compression has changed them. Save masks as PNG, from their source."
        )
    print(
        f"{len(brightest)} masks are JPEG or WebP, whose compression changes values: "
        f"{binary_masks.YES} and more is read as 1, less as 0."
    )
