"""Checks that an index has the same class in the palettes of all masks.

A program that saves a mask may reorder its colors; viewers still show the same image.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np

from data_prep import relabel
from wss.errors import UserError
from wss.image_io import decoding

_SHOWN_ENTRIES = 3

Color = tuple[int, int, int]


class Palette(NamedTuple):
    """The palette of a mask.

    Attributes:
      source: its mask or split, for messages.
      colors: {index: color} of the whole palette.
      used: the indices that pixels have.
    """

    source: str
    colors: Mapping[int, Color]
    used: Sequence[int]


def read(path: str) -> Optional[Palette]:
    """The palette of a mask; None if its colors are the indices as grays.

    Raises:
      UserError: the file is not an image.
    """
    header = decoding.peek(path)
    if header is None or header[1].mode != "P":
        return None
    _, image = decoding.load(path, "mask")
    used = relabel.histogram(np.asarray(image))[0].tolist()
    flat = image.getpalette("RGB")
    # Indices beyond the palette are displayed in black.
    colors = dict.fromkeys(used, (0, 0, 0))
    colors.update(enumerate(zip(flat[::3], flat[1::3], flat[2::3])))
    if used != [0] and all(colors.get(i) == (i, i, i) for i in used):
        return None
    return Palette(f"the mask {path}", colors, tuple(used))


class Palettes:
    """Palettes that agree: each index has one color, and each color one index."""

    def __init__(self):
        self._seen = set()
        self._by_index: dict[int, Palette] = {}
        self._by_color: dict[Color, tuple[int, Palette]] = {}

    def add_entries(self, source: str, entries: Sequence[Sequence[int]]) -> None:
        """Adds the `entries` of an earlier split; raises as `add` does."""
        colors = {index: tuple(color) for index, *color in entries}
        self.add(Palette(source, colors, tuple(colors)))

    def add(self, palette: Palette) -> None:
        """Adds a palette.

        Raises:
          UserError: it does not agree with an earlier one.
        """
        key = (palette.used, tuple(palette.colors.items()))
        if key in self._seen:
            return
        self._seen.add(key)
        for index in palette.used:
            color = palette.colors[index]
            other = self._by_index.setdefault(index, palette)
            if other.colors[index] != color:
                raise _differ(other, palette)
            known, other = self._by_color.setdefault(color, (index, palette))
            # Two classes may share a color, in all palettes.
            is_shared = (
                other.colors.get(index, color) == color
                and palette.colors.get(known, color) == color
            )
            if known != index and not is_shared:
                raise _differ(other, palette)

    def entries(self) -> list[tuple[int, int, int, int]]:
        """(index, red, green, blue) of the indices in use."""
        return [
            (index, *palette.colors[index])
            for index, palette in sorted(self._by_index.items())
        ]


def _differ(first: Palette, other: Palette) -> UserError:
    found = [
        (index, first.colors[index], other.colors[index])
        for index in sorted({*first.used, *other.used})
        if index in first.colors and index in other.colors
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
        f"{more}. So the same index has different classes. Give each color its class "
        "with --colormap=FILE, in a line such as '{} {} {} CLASS'; or save all masks "
        "with one palette.".format(*found[0][2])
    )
