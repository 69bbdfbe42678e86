"""Charts and image grids, drawn with matplotlib; no display is needed.

The functions return a `matplotlib.figure.Figure`; `png`, `svg` and `pixels` render it.
The same figure gives the same bytes.
"""

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Patch, Rectangle
from PIL import Image
from PIL.Image import Resampling

from wss.data.datasets.spec import DatasetSpec
from wss.visualization.label_colors import IGNORED_COLOR

INK, _FAINT = "#1d2430", "#e1e1e1"
# Okabe and Ito's colors, which color-blind people can distinguish.
LINE_COLORS = (INK, *"#e69f00 #0072b2 #d55e00 #009e73 #cc79a7 #56b4e9 #8a7f00".split())
PAIRS_PER_ROW = 4  # Images with their masks, on the contact sheet.

_DPI = 100
_STYLE = {
    "figure.dpi": _DPI,
    "savefig.bbox": "tight",
    "savefig.pad_inches": 0.06,
    "font.size": 8.5,
    "font.sans-serif": ["DejaVu Sans"],  # Comes with matplotlib.
    "text.parse_math": False,  # A "$" in a name is a "$".
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.linewidth": 0.5,
    "axes.titlesize": "medium",
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "lines.linewidth": 1.5,
    "legend.frameon": False,
    "legend.handlelength": 1.5,
    "svg.fonttype": "none",  # Text stays text, in the font of the page.
}
_styled = matplotlib.rc_context(_STYLE)
_MAX_MARKED_POINTS = 20
_MAX_CLASSES_WITH_NUMBERS = 30
_LEGEND_ROWS = 24
# Layout of image grids, in pixels.
_GAP, _LINE, _MAX_SIDE = 8, 18, 60_000  # matplotlib draws less than 2 ** 16.
_PAIR_WIDTH, _PAIR_HEIGHT, _SEAM = 422, 158, 2
_SHEET_WIDTH = PAIRS_PER_ROW * (_PAIR_WIDTH + _GAP)
_OVERLAY_OPACITY = 0.6
_NO_CLASS_COLOR = (255, 0, 255)  # Stands out from any photo.
_Cell = tuple[str, Optional["Panel"], int]  # Caption, image, and cell width.


class Panel(NamedTuple):
    """An image to show.

    Attributes:
      pixels: [height, width, 3], uint8.
      is_flat: it consists of uniform areas, such as class colors, which resizing must
        not mix.
    """

    pixels: np.ndarray
    is_flat: bool

    def resized(self, width: int, height: int) -> "Panel":
        """The panel resized to this size in pixels."""
        sampling = Resampling.NEAREST if self.is_flat else Resampling.BICUBIC
        image = Image.fromarray(self.pixels).resize((width, height), sampling)
        return Panel(np.asarray(image), self.is_flat)

    def fitted(self, width: float, height: float, enlarge: bool = True) -> "Panel":
        """The panel resized to fit this size in pixels, keeping its aspect ratio."""
        rows, columns = self.pixels.shape[:2]
        scale = min(width / columns, height / rows)
        scale = scale if enlarge else min(1.0, scale)
        return self.resized(max(1, round(scale * columns)), max(1, round(scale * rows)))


class Example(NamedTuple):
    """An image of the contact sheet.

    Attributes:
      name: name of the image.
      image: [height, width, 3], uint8.
      mask: [height, width], uint8, or None.
    """

    name: str
    image: np.ndarray
    mask: Optional[np.ndarray]


class SplitExamples(NamedTuple):
    """The examples of a split under a heading."""

    heading: str
    examples: Sequence[Example]


@_styled
def curves(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    x_name: str,
    y_name: str,
    legend: bool = True,
) -> Figure:
    """Draws lines in one chart.

    Args:
      lines: points (x, y) sorted by x, by the name of the line; line i has color i of
        `LINE_COLORS`, which repeat.
      x_name: label of the x axis, which starts at 0.
      y_name: label of the y axis.
      legend: add a legend next to the chart.
    """
    figure = Figure(figsize=(7 if legend else 5, 3.4), layout="constrained")
    axes = figure.add_subplot()
    for number, points in enumerate(lines.values()):
        axes.plot(
            *np.transpose(points),
            color=LINE_COLORS[number % len(LINE_COLORS)],
            marker="." if len(points) <= _MAX_MARKED_POINTS else None,
        )
    axes.grid()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set(xlabel=x_name, ylabel=y_name)
    axes.set_xlim(left=0)
    if legend:
        _add_legend(figure, axes.lines, list(lines), loc="outside right upper")
    return figure


@_styled
def class_legend(class_names: Sequence[str], palette: np.ndarray) -> Figure:
    """Draws a legend of the class colors.

    Args:
      class_names: by class id.
      palette: [classes, 3], uint8.
    """
    names = [*class_names, "ignored"]
    figure = Figure()
    patches = _swatches([*palette, IGNORED_COLOR])
    _add_legend(figure, patches, names, ncols=-(-len(names) // _LEGEND_ROWS))
    return figure


@_styled
def confusion_matrix(confusion: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draws a confusion matrix, normalized by row.

    Args:
      confusion: [classes, classes], row = label, column = prediction, counts.
      class_names: by class id; names and percentages are shown if there is room.
    """
    shares, classes = row_shares(confusion), len(class_names)
    numbered = classes <= _MAX_CLASSES_WITH_NUMBERS
    side = max(2.5, classes * (0.3 if numbered else 0.08))
    figure = Figure(figsize=(side, side))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="prediction", ylabel="label", title="% of each label's pixels")
    ticks = range(classes) if numbered else ()
    axes.set_xticks(ticks, class_names if numbered else (), rotation=90)
    axes.set_yticks(ticks, class_names if numbered else ())
    for row, column in np.argwhere(shares >= 0.005) if numbered else ():
        share = shares[row, column]
        axes.text(
            column,
            row,
            f"{100 * share:.0f}",
            ha="center",
            va="center",
            color="white" if share > 0.5 else INK,
        )
    return figure


def row_shares(confusion: np.ndarray) -> np.ndarray:
    """Counts [classes, classes] -> shares of each row, 0 in empty rows."""
    return confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)


@_styled
def iou_bars(
    class_iou: np.ndarray,
    mean_iou: float,
    class_names: Sequence[str],
    palette: np.ndarray,
) -> Figure:
    """Draws a bar for the mean IoU, and one for each class in its color.

    Args:
      class_iou: [classes] in 0..1, NaN for a class without a labeled pixel.
      mean_iou: mean IoU, 0..1.
      class_names: by class id.
      palette: [classes, 3], uint8.
    """
    values = np.array([mean_iou, *class_iou])
    rows = range(len(values))
    figure = Figure(figsize=(3, 0.17 * len(values)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.barh(rows, 1, color=_FAINT)
    colors = [INK, *np.asarray(palette) / 255]
    axes.barh(rows, np.nan_to_num(values), color=colors, edgecolor=INK, linewidth=0.5)
    axes.set_yticks(rows, ["mean", *class_names])
    for row, value in zip(rows, values):
        text = "no label" if np.isnan(value) else f"{100 * value:.1f}"
        axes.text(1.02, row, text, va="center")
    axes.set(xlim=(0, 1), ylim=(len(values) - 0.5, -0.5), xticks=())
    axes.spines[:].set_visible(False)
    return figure


@_styled
def image_grid(
    rows: Sequence[Sequence[Panel]], titles: Sequence[str], width: int = 240
) -> Figure:
    """Draws images in rows and columns, as in papers.

    Args:
      rows: a panel for each column.
      titles: titles of the columns.
      width: width of a column, in pixels.
    """
    cells = [
        [("", panel.fitted(width, np.inf), width) for panel in row] for row in rows
    ]
    return _grid([[(title, None, width) for title in titles], *cells])


@_styled
def contact_sheet(splits: Sequence[SplitExamples], spec: DatasetSpec) -> Figure:
    """Draws images next to their masks, to make mistakes in the masks visible.

    The mask is drawn in class colors over a gray copy of the image. Images without a
    mask are shown alone. A legend below names the colors.

    Args:
      splits: the examples to show.
      spec: the names and colors of the classes.
    """
    rows: list[list[_Cell]] = []
    for split in splits:
        rows += [[(split.heading, None, _SHEET_WIDTH)], []]
        for example in split.examples:
            cell = _sheet_cell(example, spec)
            if sum(room + _GAP for *_, room in [*rows[-1], cell]) > _SHEET_WIDTH:
                rows.append([])
            rows[-1].append(cell)
    figure = _grid(rows)
    names = [f"{number} {name}" for number, name in enumerate(spec.class_names)]
    names += [f"{spec.ignore_label} ignored", "no class: a mistake"]
    patches = _swatches([*spec.palette, IGNORED_COLOR, _NO_CLASS_COLOR])
    place = {"loc": "upper left", "bbox_to_anchor": (0, 0), "borderaxespad": 0}
    _add_legend(figure, patches, names, ncols=min(len(names), 10), **place)
    return figure


def color_mask(mask: np.ndarray, spec: DatasetSpec) -> np.ndarray:
    """Class ids [height, width], uint8 -> colors [height, width, 3].

    Values that are neither a class nor the ignore label get a conspicuous color.
    """
    table = np.tile(np.uint8(_NO_CLASS_COLOR), (256, 1))
    table[spec.ignore_label] = IGNORED_COLOR
    table[: spec.num_classes] = spec.palette
    return table[mask]


@_styled
def png(figure: Figure) -> bytes:
    """Renders a figure as a PNG file, cropped to its content."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        # Characters missing in matplotlib's font become boxes.
        warnings.filterwarnings("ignore", "Glyph|Matplotlib currently does not support")
        figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def pixels(figure: Figure) -> np.ndarray:
    """Renders a figure as an image summary: [1, height, width, 3], uint8."""
    with Image.open(io.BytesIO(png(figure))) as image:
        return np.asarray(image.convert("RGB"))[np.newaxis]


def svg(figure: Figure, name: str, background: str = "none") -> str:
    """Renders a figure as an SVG element for a page.

    Args:
      figure: the figure. Its ink takes the color of the surrounding text, so that it is
        readable on light and dark pages.
      name: makes the ids of the figure unique within the page.
      background: a color, or "none".
    """
    file = io.StringIO()
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure.savefig(
            file,
            format="svg",
            facecolor=background,
            metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")),
        )
    text = file.getvalue()
    # Group ids would clash between figures, and nothing refers to them.
    text = re.sub(r'<g id="[^"]*"', "<g", text[text.index("<svg") :])
    return text.replace(INK, "currentColor")


def encode(panel: Panel, max_side: int) -> bytes:
    """Encodes a panel, shrunk to `max_side` pixels: PNG if flat, otherwise JPEG."""
    file = io.BytesIO()
    image = Image.fromarray(panel.fitted(max_side, max_side, enlarge=False).pixels)
    image.save(file, "PNG" if panel.is_flat else "JPEG", optimize=True, quality=88)
    return file.getvalue()


def _swatches(colors: Sequence[Sequence[int]]) -> list[Patch]:
    return [
        Patch(facecolor=np.array(color) / 255, edgecolor=INK, linewidth=0.5)
        for color in colors
    ]


def _add_legend(
    figure: Figure, handles: Sequence[Artist], names: Sequence[str], **options
) -> Legend:
    # matplotlib omits labels that start with "_", unless they are set afterwards.
    legend = figure.legend(handles, [""] * len(names), **options)
    for text, name in zip(legend.get_texts(), names):
        text.set_text(name)
    return legend


def _grid(rows: Sequence[Sequence[_Cell]]) -> Figure:
    """Draws rows of images with captions above them, clipped to the cell width."""
    figure = Figure()
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    width, top = 1, 0
    for row in rows:
        left, line = 0, _LINE if any(caption for caption, *_ in row) else 0
        bottom = top + line
        for caption, panel, room in row:
            text = axes.text(left, top + line / 2, caption.replace("\n", " "))
            end = Rectangle((left, top), room, line, transform=axes.transData)
            text.set(va="center", clip_on=True, clip_path=end)
            text.set_weight("normal" if panel else "bold")
            if panel:
                high, wide, _ = panel.pixels.shape
                place = (left, left + wide, top + line + high, top + line)
                options = {"aspect": "auto", "interpolation": "nearest"}
                axes.imshow(panel.pixels, extent=place, **options)
                bottom = max(bottom, top + line + high)
            left += room + _GAP
        width, top = max(width, left), bottom + _GAP
    axes.set(xlim=(0, width), ylim=(max(top, 1), 0))
    figure.set_size_inches(width / _DPI, max(top, 1) / _DPI)
    figure.set_dpi(_DPI * min(1, _MAX_SIDE / max(width, top)))
    return figure


def _sheet_cell(example: Example, spec: DatasetSpec) -> _Cell:
    """An image, next to a gray copy with its mask drawn over it."""
    width = (_PAIR_WIDTH - _SEAM) // 2
    image = Panel(example.image, is_flat=False).fitted(width, _PAIR_HEIGHT)
    if example.mask is None:
        return example.name, image, (_PAIR_WIDTH - _GAP) // 2
    height, width, _ = image.pixels.shape
    colors = Panel(color_mask(example.mask, spec), is_flat=True).resized(width, height)
    # Gray, so that only the mask has colors.
    gray = Image.fromarray(image.pixels).convert("L").convert("RGB")
    over = Image.blend(gray, Image.fromarray(colors.pixels), _OVERLAY_OPACITY)
    seam = np.full((height, _SEAM, 3), 255, np.uint8)
    pair = np.concatenate([image.pixels, seam, np.asarray(over)], axis=1)
    caption = f"{example.name}: {', '.join(_classes_of(example.mask, spec))}"
    return caption, Panel(pair, is_flat=False), _PAIR_WIDTH


def _classes_of(mask: np.ndarray, spec: DatasetSpec) -> list[str]:
    """Names of the classes in a mask, the largest first."""
    values, counts = np.unique(mask, return_counts=True)
    names = {**dict(enumerate(spec.class_names)), spec.ignore_label: "ignored"}
    return [names.get(i, f"no class ({i})") for i in values[np.argsort(-counts)]]
