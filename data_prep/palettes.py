"""Palettes of masks: an index has to stand for the same class in all of them.

A program that saves a mask again may reorder its colours; every viewer then shows the
same picture.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np

from data_prep import relabel
from wss.errors import UserError
from wss.image_io import decoding

_SHOWN_ENTRIES = 3

Colour = tuple[int, int, int]


class Palette(NamedTuple):
    """The palette of a mask.

    Attributes:
      source: where it is from, for messages.
      colours: {index: colour} of the whole palette.
      used: the indices that pixels have.
    """

    source: str
    colours: Mapping[int, Colour]
    used: Sequence[int]


def read(path: str) -> Optional[Palette]:
    """The palette of a mask; None if its colours are the indices themselves, as grey.

    Raises:
      UserError: the file is no image.
    """
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


class Palettes:
    """Palettes that agree: an index has one colour, and a colour one index."""

    def __init__(self):
        self._seen = set()
        self._by_index: dict[int, Palette] = {}
        self._by_colour: dict[Colour, tuple[int, Palette]] = {}

    def add_entries(self, source: str, entries: Sequence[Sequence[int]]) -> None:
        """Adds `entries` of an earlier split; errors as in `add`."""
        colours = {index: tuple(colour) for index, *colour in entries}
        self.add(Palette(source, colours, tuple(colours)))

    def add(self, palette: Palette) -> None:
        """Adds a palette.

        Raises:
          UserError: it does not agree with an earlier one.
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
        """(index, red, green, blue) of the indices in use."""
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
        "{} is {} {} {} in the first and {} {} {} in the second".format(
            index, *one, *two
        )
        for index, one, two in found[:_SHOWN_ENTRIES]
    ]
    more = ", ..." if len(found) > _SHOWN_ENTRIES else ""
    return UserError(
        f"The palettes of {first.source} and {other.source} differ: {', '.join(texts)}"
        f"{more}. The same number stands for another class. Say what the colours mean: "
        "--colormap=FILE, with a line such as '{} {} {} CLASS' for each; or save all "
        "masks with one palette.".format(*found[0][2])
    )
