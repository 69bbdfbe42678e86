"""Lines in one picture, as SVG."""

import math
from collections.abc import Callable, Mapping, Sequence
from xml.sax import saxutils

_HEIGHT = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 16, 44
_END = 450  # Of the axis of x.
_LETTER = 7  # Wide at most, on the average of a word.
# Okabe and Ito's colours, which colour-blind people tell apart.
_COLOURS = (
    "#000000",
    "#e69f00",
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#8a7f00",
)


def draw(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    x_name: str,
    y_name: str,
    legend: bool = True,
) -> str:
    """An SVG picture of lines.

    Args:
      lines: points (x, y) in the order of x, by the name of the line.
      x_name: what x is.
      y_name: what y is.
      legend: name the lines beside them; otherwise the picture ends there.
    """
    width = _END + _RIGHT
    if legend:
        width += 24 + _LETTER * max(map(len, lines)) + _RIGHT
    points = [point for line in lines.values() for point in line]
    x_ticks = ticks(0, max(x for x, _ in points))
    y_ticks = ticks(min(y for _, y in points), max(y for _, y in points))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_ticks[0]) / (x_ticks[-1] - x_ticks[0])
        up = (y - y_ticks[0]) / (y_ticks[-1] - y_ticks[0])
        return (
            _LEFT + across * (_END - _LEFT),
            _HEIGHT - _BOTTOM - up * (_HEIGHT - _TOP - _BOTTOM),
        )

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{width}" height="{_HEIGHT}" fill="white"/>',
    ]
    parts += _grid(x_ticks, y_ticks, place)
    middle = (_LEFT + _END) / 2
    parts += [_text(middle, _HEIGHT - 8, x_name, "middle")]
    turned = f'transform="rotate(-90 14 {_HEIGHT / 2})"'
    parts += [_text(14, _HEIGHT / 2, y_name, "middle", turned)]
    for number, (name, line) in enumerate(lines.items()):
        ink = colour(number)
        parts += [_path([place(x, y) for x, y in line], ink, 2)]
        if len(line) == 1:  # A path of one point is not seen.
            x, y = place(*line[0])
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{ink}"/>']
        if legend:
            x, y = _END + _RIGHT, _TOP + 10 + 20 * number
            parts += [_path([(x, y), (x + 18, y)], ink, 2)]
            parts += [_text(x + 24, y + 4, name, "start")]
    return "\n".join([*parts, "</svg>", ""])


def _grid(
    x_ticks: Sequence[float],
    y_ticks: Sequence[float],
    place: Callable[[float, float], tuple[float, float]],
) -> list[str]:
    """The numbers of both axes and the lines that lead there."""
    parts = []
    for tick in x_ticks:
        (x, bottom), (_, top) = place(tick, y_ticks[0]), place(tick, y_ticks[-1])
        parts += [_path([(x, bottom), (x, top)], "#e0e0e0", 1)]
        parts += [_text(x, bottom + 18, f"{tick:g}", "middle")]
    for tick in y_ticks:
        (left, y), (right, _) = place(x_ticks[0], tick), place(x_ticks[-1], tick)
        parts += [_path([(left, y), (right, y)], "#e0e0e0", 1)]
        parts += [_text(left - 6, y + 4, f"{tick:g}", "end")]
    return parts


def colour(number: int) -> str:
    """That of a line, the first being 0."""
    return _COLOURS[number % len(_COLOURS)]


def ticks(low: float, high: float) -> list[float]:
    """Two to nine round numbers that hold `low` and `high` between them."""
    # One value alone gets a scale of its own size around it.
    spread = max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-9)
    step = 10.0 ** math.floor(math.log10(spread))
    for factor in (0.2, 0.5, 1.0):
        first = math.floor(low / (step * factor))
        last = max(math.ceil(high / (step * factor)), first + 1)
        if last - first <= 8:
            break
    return [round(step * factor * number, 10) for number in range(first, last + 1)]


def _path(points: Sequence[tuple[float, float]], colour: str, width: int) -> str:
    where = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{where}" fill="none" stroke="{colour}" '
        f'stroke-width="{width}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, more: str = "") -> str:
    text = saxutils.escape(text)
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {more}>{text}</text>'
