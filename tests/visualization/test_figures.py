"""What stands in figures, and their files."""

import io
import warnings
import xml.dom.minidom

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from wss.data.datasets.spec import DatasetSpec, pascal_palette
from wss.visualization import figures
from wss.visualization.figures import Example, Panel, SplitExamples
from wss.visualization.label_colors import IGNORED_COLOR

NAMES = ("_ground", "cat", "très long $name_ of a class")
PALETTE = np.array([[10, 0, 0], [200, 0, 0], [0, 0, 250]], np.uint8)
SPEC = DatasetSpec("toy", NAMES, PALETTE)
GREEN = np.full((40, 60, 3), (0, 200, 0), np.uint8)


def halves(left, right):
    mask = np.full((40, 60), left, np.uint8)
    mask[:, 30:] = right
    return mask


def draw(figure):
    """[height, width, 3]; any warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return figures.pixels(figure)[0]


def legend_of(figure):
    """Colors by name."""
    (legend,) = figure.legends
    colors = [
        tuple(round(255 * channel) for channel in patch.get_facecolor()[:3])
        for patch in legend.get_patches()
    ]
    return dict(zip((text.get_text() for text in legend.get_texts()), colors))


def texts_of(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def test_curves_go_through_their_points():
    lines = {"_a < $b$": [(5, 1.0), (10, 2.0)], "one": [(7, 50.0)]}
    figure = figures.curves(lines, "step", "mIoU (%)")
    axes = figure.axes[0]
    for line, points in zip(axes.lines, lines.values()):
        np.testing.assert_array_equal(line.get_xydata(), points)
        assert line.get_marker() == "."  # A line of one point would be invisible.
    assert [line.get_color() for line in axes.lines] == [*figures.LINE_COLORS[:2]]
    assert axes.get_xlim()[0] == 0
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [*lines]
    assert not figures.curves(lines, "x", "y", legend=False).legends
    assert draw(figure).shape[1] > 600


def test_a_value_that_is_no_number_is_a_gap():
    line = [(1, 3.0), (2, float("nan")), (3, float("inf")), (4, 1.0)]
    figure = figures.curves({"loss": line, "none": [(1, float("nan"))]}, "x", "y")
    assert figure.axes[0].get_ylim() == pytest.approx((0.9, 3.1))
    draw(figure)


def test_an_svg_is_valid_and_can_stand_beside_another():
    figure = figures.curves({"a < b": [(0, 1), (10, 2)]}, "step", "mIoU (%)")
    one, other = (
        xml.dom.minidom.parseString(figures.svg(figure, name)) for name in ("one", "b")
    )
    texts = [e.firstChild.data for e in one.getElementsByTagName("text")]
    assert {"a < b", "step", "mIoU (%)", "0", "10"} <= set(texts)
    first, second = (
        {e.getAttribute("id") for e in svg.getElementsByTagName("*")} - {""}
        for svg in (one, other)
    )
    assert first and second and not first & second
    text = figures.svg(figure, "one")
    assert "currentColor" in text and figures.INK not in text
    assert "fill: #ffffff" not in text
    assert "fill: #ffffff" in figures.svg(figure, "one", background="white")


def test_the_same_figure_gives_the_same_bytes():
    def files():
        chart = figures.curves({"one": [(0, 1), (10, 2)]}, "x", "y")
        return figures.png(chart), figures.svg(chart, "chart")

    first = files()
    assert first == files() and b"Software" not in first[0] and "date" not in first[1]


def test_the_legend_names_every_class_in_its_color():
    figure = figures.class_legend(NAMES, PALETTE)
    expected = [*map(tuple, PALETTE.tolist()), IGNORED_COLOR]
    assert legend_of(figure) == dict(zip([*NAMES, "ignored"], expected))
    image = draw(figure)
    for color in expected:
        assert (image == color).all(-1).sum() > 50


def test_bars_are_as_long_as_the_iou():
    iou = np.array([1.0, 0.5, np.nan])
    figure = figures.iou_bars(iou, 0.75, NAMES, PALETTE)
    _, bars = figure.axes[0].containers
    assert [bar.get_width() for bar in bars] == [0.75, 1.0, 0.5, 0.0]
    colors = [to_rgb(figures.INK), *map(tuple, PALETTE / 255)]
    assert [bar.get_facecolor()[:3] for bar in bars] == colors
    assert texts_of(figure) == ["75.0", "100.0", "50.0", "no label"]
    labels = [text.get_text() for text in figure.axes[0].get_yticklabels()]
    assert labels == ["mean", *NAMES]
    whole, half = ((draw(figure) == color).all(-1).sum() for color in PALETTE[:2])
    assert half / whole == pytest.approx(0.5, abs=0.05)


def test_confusion_shows_the_share_of_the_row():
    confusion = np.array([[4, 0, 0], [1, 5, 4], [0, 0, 0]])
    figure = figures.confusion_matrix(confusion, NAMES)
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown, [[1, 0, 0], [0.1, 0.5, 0.4], [0, 0, 0]])
    assert texts_of(figure) == ["100", "10", "50", "40"]
    draw(figure)


@pytest.mark.parametrize("classes", [1, 2, 150])
def test_any_number_of_classes(classes):
    names = [f"class {number}" for number in range(classes)]
    palette = pascal_palette(classes)
    for figure in (
        figures.confusion_matrix(np.eye(classes, dtype=int), names),
        figures.class_legend(names, palette),
        figures.iou_bars(np.ones(classes), 1.0, names, palette),
    ):
        image = figures.pixels(figure)
        assert image.dtype == np.uint8 and image.shape[0] == 1 and image.ndim == 4
        assert max(image.shape) < 3000


def test_a_grid_has_a_row_for_each_image():
    rows = [
        [Panel(np.full([10, 20, 3], grey, np.uint8), True) for grey in greys]
        for greys in ((10, 20), (30, 40))
    ]
    figure = figures.image_grid(rows, ["image", "très long title 写真" * 5], width=40)
    assert texts_of(figure)[0] == "image"
    image = draw(figure)
    for grey in (10, 20, 30, 40):
        place = np.argwhere((image == grey).all(-1))
        assert np.ptp(place, axis=0) == pytest.approx([19, 39], abs=1)
    # Texts end with their columns.
    assert image.shape[1] == pytest.approx(2 * 48 + 12, abs=9)


def test_a_grid_of_very_many_images_can_be_drawn():
    panel = Panel(np.zeros([900, 9, 3], np.uint8), True)
    figure = figures.image_grid([[panel]] * 20, ["a"], width=40)
    assert 59_000 < 20 * 4008 * figure.dpi / 100 < 61_000


def test_masks_lie_over_the_image_in_grey():
    example = Example("a", GREEN, halves(1, 2))
    sheet = draw(figures.contact_sheet([SplitExamples("x", [example])], SPEC))
    found = np.argwhere((sheet == (0, 200, 0)).all(axis=-1))
    top, left = found.min(axis=0)
    bottom, right = found.max(axis=0) + 1
    width, height = right - left, bottom - top
    assert width / height == pytest.approx(60 / 40, abs=0.02)
    assert len(found) == width * height
    beside = sheet[top + 1 : bottom - 1, right + 4 : right + width]
    # 0.6 of the class's color, 0.4 of a gray as light as green: 117.
    for half, color in (
        (beside[:, :90], (167, 47, 47)),
        (beside[:, -90:], (47, 47, 197)),
    ):
        np.testing.assert_allclose(half, np.broadcast_to(color, half.shape), atol=1)


def test_colors_of_classes_ignored_pixels_and_mistakes():
    mask = np.array([[0, 1, 2, 255, 3]], np.uint8)
    assert figures.color_mask(mask, SPEC).tolist() == [
        [*PALETTE.tolist(), [224, 224, 192], [255, 0, 255]]
    ]
    example = Example("street", np.zeros([1, 5, 3], np.uint8), mask)
    figure = figures.contact_sheet([SplitExamples("val: 1 image", [example])], SPEC)
    assert texts_of(figure) == [
        "val: 1 image",
        f"street: {NAMES[0]}, cat, {NAMES[2]}, no class (3), ignored",
    ]
    assert legend_of(figure) == {
        "0 _ground": (10, 0, 0),
        "1 cat": (200, 0, 0),
        f"2 {NAMES[2]}": (0, 0, 250),
        "255 ignored": IGNORED_COLOR,
        "no class: a mistake": (255, 0, 255),
    }


def test_images_without_mask_stand_alone():
    plain, both = Example("a", GREEN, None), Example("a", GREEN, halves(0, 1))
    rows = [
        {image.get_extent()[3] for image in figure.axes[0].images}
        for figure in (
            figures.contact_sheet([SplitExamples("x", [example] * 8)], SPEC)
            for example in (plain, both)
        )
    ]
    assert [len(tops) for tops in rows] == [1, 2]  # Rows of 8, or of 4 pairs.


@pytest.mark.parametrize("height, width", [(1, 1), (5, 900), (900, 5), (400, 400)])
def test_any_size_of_images_and_names_in_any_script(height, width):
    image = np.zeros((height, width, 3), np.uint8)
    example = Example("写" * 300, image, image[..., 0])
    split = SplitExamples("h" * 900, [example])
    sheet = draw(figures.contact_sheet([split], DatasetSpec("toy", ("фон", "路", "é"))))
    assert sheet.shape[1] < 1760  # Texts are cut off.


@pytest.mark.parametrize("is_flat, kind", [(True, "PNG"), (False, "JPEG")])
def test_encoded_panels_are_bounded(is_flat, kind):
    labels = np.zeros([500, 1000, 3], np.uint8)
    labels[:, 500:] = 200
    encoded = figures.encode(Panel(labels, is_flat), 320)
    with Image.open(io.BytesIO(encoded)) as image:
        assert (image.format, image.size) == (kind, (320, 160))
        if is_flat:
            colors = {color for _, color in image.getcolors()}
            assert colors == {(0, 0, 0), (200, 200, 200)}
    small = figures.encode(Panel(labels[:20, :30], is_flat), 320)
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (30, 20)
