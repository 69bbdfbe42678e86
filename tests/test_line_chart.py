"""Lines as SVG: the scale, and what stands in the picture."""

import xml.dom.minidom

import pytest

from wss import line_chart


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0, 1000, [0, 200, 400, 600, 800, 1000]),
        (41.3, 62.9, [40, 45, 50, 55, 60, 65]),
    ],
)
def test_ticks_are_round_and_hold_the_values(low, high, expected):
    assert line_chart.ticks(low, high) == expected


@pytest.mark.parametrize("value", [0.0, 1.0, 0.62, 1234.5, -3.0])
def test_a_single_value_has_a_scale(value):
    ticks = line_chart.ticks(value, value)
    assert ticks[0] <= value <= ticks[-1] and ticks[0] < ticks[-1]


def test_the_chart_is_valid_and_names_its_lines():
    picture = line_chart.draw({"a < b": [(0, 1), (10, 2)]}, "step", "mIoU (%)")
    document = xml.dom.minidom.parseString(picture)
    texts = [e.firstChild.data for e in document.getElementsByTagName("text")]
    assert {"a < b", "step", "mIoU (%)", "0", "10"} <= set(texts)
    assert not document.getElementsByTagName("circle")


def test_without_its_legend_the_picture_ends_with_the_lines():
    lines = {"one": [(0, 1), (10, 2)], "two": [(5, 1)]}
    whole, bare = (
        xml.dom.minidom.parseString(line_chart.draw(lines, "x", "y", legend=legend))
        for legend in (True, False)
    )
    texts = [e.firstChild.data for e in bare.getElementsByTagName("text")]
    assert "one" not in texts and {"x", "y"} <= set(texts)
    points = [e.getAttribute("points") for e in bare.getElementsByTagName("polyline")]
    all_points = [
        e.getAttribute("points") for e in whole.getElementsByTagName("polyline")
    ]
    assert set(points) < set(all_points)
    assert bare.documentElement.getAttribute("viewBox") == "0 0 466 360"


def test_a_single_point_is_seen():
    picture = line_chart.draw({"one": [(10, 50.0)]}, "step", "mIoU (%)")
    assert len(xml.dom.minidom.parseString(picture).getElementsByTagName("circle")) == 1


def test_a_long_name_has_room():
    def width(name):
        picture = line_chart.draw({name: [(0, 1), (10, 2)]}, "x", "y")
        svg = xml.dom.minidom.parseString(picture).documentElement
        return int(svg.getAttribute("viewBox").split()[2])

    assert width("a" * 40) == width("a" * 20) + 20 * 7
