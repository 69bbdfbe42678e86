"""What no file alone can say about its numbers: decided once, for all files of a split.

* Which bits of images with more than 8 count. Chosen picture by picture, a dark one
  would come out brighter than a bright one.
* Which class a palette's index means. A program that saves a mask again may put the
  same colours in another order, and every viewer shows the same.
* Whether masks whose compression changes values can be yes/no masks.
"""

import contextlib
import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from data_prep.pictures import masks, relabel, yes_no
from data_prep.sources import proposals
from data_prep.sources.pairing import Item
from data_prep.writing import runners
from wss.data.datasets import manifest as manifests
from wss.errors import UserError
from wss.image_io import bit_depth, decoding
from wss.image_io.patterns import Pattern

_SHOWN_ENTRIES = 3

Colour = tuple[int, int, int]


_CHECKED_BINARIES = 64
_CHECKED_PAIRS = 8
_WHITE = 255
# Of neighbours in a mask, at most this share differ.
_MOST_EDGES = 0.1


class Findings(NamedTuple):
    """What holds for all files of a split.

    Attributes:
      image_bits: of images with more than 8 bits, see `bit_depth.to_8_bits`;
        None where there are none.
      palette: (index, red, green, blue) of what the palettes of masks are used for.
    """

    image_bits: Optional[int]
    palette: Sequence[tuple[int, int, int, int]]

    def options(self) -> dict[str, Any]:
        """What the manifest is to say."""
        options = {}
        if self.image_bits:
            options["image_bits"] = self.image_bits
        if self.palette:
            options["palette"] = [list(entry) for entry in self.palette]
        return options


class Palette(NamedTuple):
    """The colours of a mask's indices.

    Attributes:
      source: whose it is, for messages.
      colours: {index: colour} of the whole palette.
      used: the indices that pixels have.
    """

    source: str
    colours: Mapping[int, Colour]
    used: Sequence[int]


class _Seen(NamedTuple):
    """What one item shows."""

    brightest: Optional[int]  # Of an image of more than 8 bits.
    palette: Optional[Palette]
    lossy: Optional[int]  # The brightest value of a mask whose compression is lossy.


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

    Files that cannot be read are left to whoever writes the records.

    Args:
      items: images and masks.
      labels: what the numbers or colours in masks mean.
      output_dir: folder of the data set, whose other splits have to agree.
      split: to be written.
      image_bits: what the user chose; None: as many as the brightest image takes.
      workers: processes that read; 0: one for each core.
      skip_broken: leave images that are too bright to whoever writes the records.

    Raises:
      UserError: other splits were written by another rule, or an image is brighter than
        it allows; palettes that differ; masks that are no yes/no masks.
    """
    look = functools.partial(
        _look, palettes=labels.colormap is None, binary=labels.binary
    )
    lossy, palettes = [], _Palettes()
    brightest: list[tuple[int, str]] = []
    others = _other_splits(output_dir, split)
    for name, options in others.items():
        if _means_the_same(options, labels):
            palettes.add_known(f"the split '{name}'", options.get("palette", ()))
    found = runners.in_order(look, items, workers)
    found = tqdm(found, f"looking at {split}", len(items), leave=False, disable=None)
    for item, seen in zip(items, found):
        if seen.brightest is not None:
            brightest.append((seen.brightest, item.image))
        if seen.lossy is not None:
            lossy.append(seen.lossy)
        if seen.palette:
            palettes.add(seen.palette)
    _tell_lossy(lossy)
    bits = _choose_bits([number for number, _ in brightest], image_bits, others)
    if brightest and not skip_broken:
        highest, path = max(brightest)
        bit_depth.check_bits(highest, bits, path)
    return Findings(bits, palettes.entries())


def check_binaries(
    paths: Sequence[str], ignore_label: int, labels: masks.Labels = masks.AS_THEY_ARE
) -> None:
    """Refuses a set of masks in which nothing but 0 and 255 occurs, 255 being ignored.

    Such masks pass for background and ignored pixels, and a network trained on them
    predicts nothing at all. Looks at some masks, spread over all of them.

    Args:
      paths: files of masks.
      ignore_label: the label of ignored pixels.
      labels: what the values mean; if they speak of 255, all is well.

    Raises:
      UserError: all masks are 0 and 255.
    """
    if ignore_label != _WHITE or not labels.keeps(_WHITE):
        return
    seen = set()
    for path in paths[:: max(1, -(-len(paths) // _CHECKED_BINARIES))]:
        try:
            seen.update(relabel.histogram(masks.read_values(path))[0].tolist())
        except UserError:
            continue  # Whoever writes the records tells of all broken masks.
        if not seen <= {0, _WHITE}:
            return
    if _WHITE in seen:
        raise UserError(
            f"The masks in {os.path.dirname(path)} hold only 0 and 255: yes/no masks, "
            "whose 255 would be ignored and nothing learned. Add --binary to read 255 "
            "as 1; or --map 255=ignore if that is meant."
        )


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
    pairs = proposals.pairs_within(names)
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
    folder: str, pairs: proposals.Pairs, names: tuple[str, str], paths: tuple[str, str]
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
    if yes_no.lossy_kind(image):
        grey = np.asarray(image.convert("L"))
        return yes_no.share_unsure(grey) < _MOST_EDGES
    pixels = np.asarray(image)
    return np.mean(pixels[:, 1:] != pixels[:, :-1]) < _MOST_EDGES


def _look(item: Item, palettes: bool, binary: bool) -> _Seen:
    brightest = palette = lossy = None
    # Decoders raise anything on damaged files; whoever writes the records tells of it.
    with contextlib.suppress(Exception):
        brightest = bit_depth.brightest(item.image)
    with contextlib.suppress(Exception):
        if item.mask and palettes:
            palette = _palette(item.mask)
    with contextlib.suppress(Exception):
        if item.mask and binary:
            lossy = yes_no.brightest_of_lossy(item.mask)
    return _Seen(brightest, palette, lossy)


def _palette(path: str) -> Optional[Palette]:
    """The palette of a mask, unless its colours are the indices themselves, as grey."""
    header = decoding.peek(path)
    if header is None or header[1].mode != "P":
        return None
    _, image = decoding.load(path, "mask")
    used = relabel.histogram(np.asarray(image))[0].tolist()
    flat = image.getpalette("RGB")
    # Indices beyond the palette are shown black.
    colours = dict.fromkeys(used, (0, 0, 0))
    colours.update(enumerate(zip(flat[::3], flat[1::3], flat[2::3])))
    if used != [0] and all(colours.get(i) == (i, i, i) for i in used):
        return None
    return Palette(f"the mask {path}", colours, tuple(used))


def _means_the_same(options: Mapping[str, Any], labels: masks.Labels) -> bool:
    """Whether the indices of another split's masks were given the same classes."""
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
    """The rule of range, and a line about it.

    Args:
      brightest: the largest numbers of all images of more than 8 bits.
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


def _tell_lossy(brightest: Sequence[int]) -> None:
    """Says how yes/no masks are read whose compression changes values."""
    if not brightest:
        return
    if max(brightest) < yes_no.YES:
        raise UserError(
            f"{len(brightest)} masks are JPEG or WebP, and no value in them exceeds "
            f"{max(brightest)}: these are no yes/no masks of 0 and 255, and their "
            "compression has changed them. Save masks as PNG, from their source."
        )
    print(
        f"{len(brightest)} masks are JPEG or WebP, whose compression changes values: "
        f"{yes_no.YES} and more is read as 1, less as 0."
    )


class _Palettes:
    """Palettes that agree: an index has one colour, and a colour one index."""

    def __init__(self):
        self._seen = set()
        self._by_index: dict[int, Palette] = {}
        self._by_colour: dict[Colour, tuple[int, Palette]] = {}

    def add_known(self, source: str, entries: Sequence[Sequence[int]]) -> None:
        """Adds what the manifest says of a split."""
        colours = {index: tuple(colour) for index, *colour in entries}
        self.add(Palette(source, colours, tuple(colours)))

    def add(self, palette: Palette) -> None:
        """Adds a palette.

        Raises:
          UserError: it does not agree with one before.
        """
        key = (palette.used, tuple(palette.colours.items()))
        if key in self._seen:
            return
        self._seen.add(key)
        for index in palette.used:
            colour = palette.colours[index]
            other = self._by_index.setdefault(index, palette)
            if other.colours[index] != colour:
                raise _differ(other, palette)
            known, other = self._by_colour.setdefault(colour, (index, palette))
            # Two classes may share a colour, in all palettes.
            is_shared = (
                other.colours.get(index, colour) == colour
                and palette.colours.get(known, colour) == colour
            )
            if known != index and not is_shared:
                raise _differ(other, palette)

    def entries(self) -> list[tuple[int, int, int, int]]:
        """The indices in use, with their colours."""
        return [
            (index, *palette.colours[index])
            for index, palette in sorted(self._by_index.items())
        ]


def _differ(first: Palette, other: Palette) -> UserError:
    found = [
        (index, first.colours[index], other.colours[index])
        for index in sorted({*first.used, *other.used})
        if index in first.colours and index in other.colours
    ]
    found = [entry for entry in found if entry[1] != entry[2]]
    texts = [
        "{} is {} {} {} there and {} {} {} here".format(index, *one, *two)
        for index, one, two in found[:_SHOWN_ENTRIES]
    ]
    more = ", ..." if len(found) > _SHOWN_ENTRIES else ""
    return UserError(
        f"The palettes of {first.source} and {other.source} differ: {', '.join(texts)}"
        f"{more}. The same number stands for another class. Say what the colours mean: "
        "--colormap=FILE, with a line such as '{} {} {} CLASS' for each; or save all "
        "masks with one palette.".format(*found[0][2])
    )
