"""Draws images and their masks side by side, so that a mistake in the masks is seen.

Each row shows images of one split, and beside each the same in grey under the colours
of its classes. Images without mask stand alone. The legend below names the colours.
"""

import errno
import io
import os
from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFont

from wss.data.datasets.spec import DatasetSpec
from wss.files.outputs import OutputFolder

PAIRS_PER_ROW = 4
_CELL = (210, 158)  # width and height of the largest picture
_GAP, _SEAM = 12, 2  # between pictures, and between the two of a pair
_LINE = 18
_FONT_SIZE = 12
_OPACITY = 0.6
_PAPER, _INK = (255, 255, 255), (0, 0, 0)
# Light for ignored pixels, as VOC shows them; nothing in nature looks like the other.
_IGNORED, _NO_CLASS = (224, 224, 192), (255, 0, 255)


class Picture(NamedTuple):
    """An image of the sheet.

    Attributes:
      name: the image's name.
      image: [height, width, 3], uint8.
      mask: [height, width], uint8, or None.
    """

    name: str
    image: np.ndarray
    mask: Optional[np.ndarray]


class Row(NamedTuple):
    """The pictures of a split under a heading."""

    heading: str
    pictures: Sequence[Picture]


def draw(rows: Sequence[Row], spec: DatasetSpec) -> Image.Image:
    """Draws the sheet.

    Args:
      rows: what to show.
      spec: the classes' names and colours.
    """
    width = PAIRS_PER_ROW * 2 * (_CELL[0] + _GAP // 2) + _GAP
    blocks = [_draw_row(row, spec, width) for row in rows]
    blocks.append(_draw_legend(spec, width))
    sheet = Image.new("RGB", (width, sum(block.height for block in blocks)), _PAPER)
    top = 0
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    return sheet


def save(sheet: Image.Image, path: str) -> None:
    """Saves the sheet as PNG, whatever the name's ending, in any place gfile knows.

    Raises:
      FileExistsError: a file is there that no command wrote, or was changed since.
    """
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    folder, name = os.path.split(path)
    if "://" in path:
        with tf.io.gfile.GFile(path, "wb") as file:
            file.write(buffer.getvalue())
        return
    if not os.path.isdir(folder or os.curdir):
        raise FileNotFoundError(errno.ENOENT, "there is no such folder", path)
    output = OutputFolder(folder or os.curdir)
    if output.foreign([name]):
        raise FileExistsError(errno.EEXIST, f"{path} is no sheet of this command", path)
    output.write(name, buffer.getvalue())


def colour(mask: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Colours of a mask's classes: [height, width, 3], uint8."""
    table = np.tile(np.uint8(_NO_CLASS), (256, 1))
    table[spec.ignore_label] = _IGNORED
    table[: spec.num_classes] = spec.palette
    return table[mask]


def _draw_row(row: Row, spec: DatasetSpec, width: int) -> Image.Image:
    blocks = [_draw_picture(picture, spec) for picture in row.pictures]
    lines: list[list[Image.Image]] = [[]]
    for block in blocks:
        if sum(b.width for b in [*lines[-1], block]) > width - _GAP:
            lines.append([])
        lines[-1].append(block)
    height = _CELL[1] + _LINE
    canvas = Image.new("RGB", (width, 2 * _LINE + len(lines) * height), _PAPER)
    _write(canvas, (_GAP, _LINE // 2), row.heading, width - 2 * _GAP)
    for i, line in enumerate(lines):
        left = _GAP
        for block in line:
            canvas.paste(block, (left, int(1.5 * _LINE) + i * height))
            left += block.width
    return canvas


def _draw_picture(picture: Picture, spec: DatasetSpec) -> Image.Image:
    """An image, beside it the same with its mask over it, and a caption below.

    Two images without mask take the room of one with.
    """
    image = Image.fromarray(picture.image)
    scale = min(_CELL[0] / image.width, _CELL[1] / image.height)
    size = (max(1, int(image.width * scale)), max(1, int(image.height * scale)))
    panels = [image.resize(size, Image.BICUBIC if scale < 1 else Image.NEAREST)]
    caption = picture.name
    if picture.mask is not None:
        # Colours of neighbouring classes must not mix to that of a third.
        colours = Image.fromarray(colour(picture.mask, spec)).resize(
            size, Image.NEAREST
        )
        # On grey, so that only the mask has colours.
        grey = panels[0].convert("L").convert("RGB")
        panels.append(Image.blend(grey, colours, _OPACITY))
        caption += f": {', '.join(_classes(picture.mask, spec))}"
    width = len(panels) * (_CELL[0] + _GAP // 2)
    block = Image.new("RGB", (width, _CELL[1] + _LINE), _PAPER)
    for i, panel in enumerate(panels):
        block.paste(panel, (i * (size[0] + _SEAM), 0))
    _write(block, (0, size[1]), caption, width - _GAP // 2)
    return block


def _classes(mask: np.ndarray, spec: DatasetSpec) -> list[str]:
    """What a mask shows, the largest first."""
    values, counts = np.unique(mask, return_counts=True)
    names = dict(enumerate(spec.class_names))
    names[spec.ignore_label] = "ignored"
    return [names.get(i, f"no class ({i})") for i in values[np.argsort(-counts)]]


def _draw_legend(spec: DatasetSpec, width: int) -> Image.Image:
    entries = [
        (f"{i} {name}", tuple(rgb.tolist()))
        for i, (name, rgb) in enumerate(zip(spec.class_names, spec.palette))
    ]
    entries.append((f"{spec.ignore_label} ignored", _IGNORED))
    entries.append(("no class: a mistake", _NO_CLASS))
    columns = width // 160
    lines = -(-len(entries) // columns)
    canvas = Image.new("RGB", (width, (lines + 1) * _LINE), _PAPER)
    pen = ImageDraw.Draw(canvas)
    for i, (text, rgb) in enumerate(entries):
        left = _GAP + i // lines * (width - _GAP) // columns
        top = _LINE // 2 + i % lines * _LINE
        pen.rectangle([left, top, left + 20, top + _LINE - 5], rgb, outline=_INK)
        _write(canvas, (left + 26, top), text, 160 - 30)
    return canvas


def _write(
    canvas: Image.Image, place: tuple[int, int], text: str, max_width: int
) -> None:
    """Writes a line of text, cut off where it would be too wide."""
    font = _font()
    pen = ImageDraw.Draw(canvas)
    # The font of old Pillows knows Latin letters only.
    text = text.encode("latin-1", errors="replace").decode("latin-1")
    shown = text
    while text and pen.textlength(shown, font) > max_width:
        text = text[:-1]
        shown = f"{text}..."
    pen.text(place, shown, _INK, font)


def _font() -> ImageFont.ImageFont:
    try:
        return ImageFont.load_default(_FONT_SIZE)
    except TypeError:  # Before Pillow 10.1 it had one size.
        return ImageFont.load_default()
