"""The page that shows trainings: one HTML file that needs nothing else."""

import dataclasses
from typing import Dict, List, Mapping, Sequence, Tuple

import numpy as np

from wss import line_chart
from wss.data.datasets.spec import DatasetSpec
from wss.report import pictures, style
from wss.report.markup import Html, element, join, picture, table
from wss.report.pictures import Panel
from wss.report.trained import Measured, TrainedRun
from wss.training import versions

# Pixels of the longer side of a picture in the page.
_PICTURE_SIDE = 320
# Points of a curve; more are averaged.
_CURVE_POINTS = 200


@dataclasses.dataclass(frozen=True)
class Shown:
    """An image of the page.

    Attributes:
      name: of the image.
      mean_iou: of each training, None where no pixel is labeled.
      shared: panels that are the same for all trainings, by title.
      own: panels of each training by title, by the training's name.
    """

    name: str
    mean_iou: Sequence[float]
    shared: Mapping[str, Panel]
    own: Mapping[str, Mapping[str, Panel]]


def render(
    runs: Sequence[TrainedRun],
    measured: Sequence[Measured],
    groups: Mapping[str, Sequence[Shown]],
) -> str:
    """The page.

    Args:
      runs: the trainings.
      measured: their evaluations.
      groups: the images to show by the title to show them under.

    Returns:
      HTML without a reference to anything outside of it.
    """
    spec, split = runs[0].spec, runs[0].split
    names = ", ".join(run.name for run in runs)
    sections = {
        "Training": _curves(runs),
        "Classes": _classes(runs, measured),
        **{title: _group(shown, spec) for title, shown in groups.items()},
        "Confusion": join(
            _note("A row is a labeled class: % of its pixels by what was predicted."),
            *map(_confusion, runs, measured),
        ),
        "Protocol and configuration": _protocol(runs, measured),
    }
    links = [element("a", title, href=f"#{_id(title)}") for title in sections]
    body = join(
        element("h1", f"What was learned: {names}"),
        _note(
            f"{spec.name}, {spec.num_classes} classes, {len(measured[0].images)} "
            f"images of {split}. All scores in percent."
        ),
        _overview(runs, measured),
        element("nav", *links),
        *(
            join(element("h2", title, id=_id(title)), content)
            for title, content in sections.items()
        ),
        element("footer", f"Drawn by wss {versions.code_version()}."),
    )
    head = join(
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"wss: {names}"),
        element("style", Html(style.sheet())),
    )
    page = element("html", element("head", head), element("body", body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def _overview(runs: Sequence[TrainedRun], measured: Sequence[Measured]) -> Html:
    head = ["training", "method", "network", "step", "mIoU", "pixel accuracy"]
    rows = [
        [
            run.name,
            run.method,
            run.model,
            _number(f"{run.step}"),
            _number(_percent(one.total.mean_iou)),
            _number(_percent(one.total.pixel_accuracy)),
            _number(_percent(one.total.mean_class_accuracy)),
        ]
        for run, one in zip(runs, measured)
    ]
    return table([*head, "mean class accuracy"], rows)


def _id(title: str) -> str:
    return title.lower().replace(" ", "-")


def _group(images: Sequence[Shown], spec: DatasetSpec) -> Html:
    return join(_legend(spec), *map(_image, images))


def _legend(spec: DatasetSpec) -> Html:
    classes = [
        join(_swatch(style.colour_name(colour)), name)
        for name, colour in zip(spec.class_names, spec.palette)
    ]
    states = [
        join(element("span", class_=f"swatch {state}"), text)
        for state, text in (
            ("ignored", "ignored"),
            ("right", "error: right"),
            ("wrong", "error: wrong"),
        )
    ]
    heat = join("0", element("span", class_="heat"), "1: confidence, scores")
    items = [element("li", item) for item in [*classes, *states, heat]]
    return element("ul", *items, class_="legend")


def _image(shown: Shown) -> Html:
    scores = [
        f"{name} {_percent(value)}" for name, value in zip(shown.own, shown.mean_iou)
    ]
    several = len(scores) > 1
    heading = element(
        "h3",
        shown.name,
        " ",
        element(
            "span", f"mIoU {', '.join(scores) if several else scores[0].split()[-1]}"
        ),
    )
    # As in papers: image, truth and all predictions; then what is behind each.
    rows: List[Dict[str, Panel]] = [dict(shown.shared)]
    for run, panels in shown.own.items():
        prefix = f"{run}: " if several else ""
        titled = {f"{prefix}{title}": panel for title, panel in panels.items()}
        prediction = f"{prefix}prediction"
        rows[0][prediction] = titled.pop(prediction)
        if several:
            rows.append(titled)
        else:
            rows[0].update(titled)
    return element("article", heading, *map(_panels, rows))


def _panels(panels: Mapping[str, Panel]) -> Html:
    figures = []
    for title, panel in panels.items():
        file = pictures.encode(panel, _PICTURE_SIDE)
        kind, class_ = ("png", "flat") if panel.is_flat else ("jpeg", None)
        image = picture(file, kind, title, class_)
        figures.append(element("figure", image, element("figcaption", title)))
    return element("div", *figures, class_="panels")


def _curves(runs: Sequence[TrainedRun]) -> Html:
    evaluations = {
        run.name: [(step, 100 * value) for step, value in run.mean_ious()]
        for run in runs
    }
    charts = [_chart(f"mIoU on {runs[0].split}", evaluations, "mIoU (%)")]
    for run in runs:
        losses = {name: thinned(points) for name, points in run.losses().items()}
        charts.append(_chart(f"Losses of {run.name}", losses, "loss"))
    return element("div", *charts, class_="charts")


def _chart(
    title: str, lines: Mapping[str, Sequence[Tuple[int, float]]], y_name: str
) -> Html:
    """A chart of the lines that have points."""
    lines = {
        name: [point for point in points if np.isfinite(point[1])]
        for name, points in lines.items()
    }
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return element("section", element("h3", title), _note("None was recorded."))
    svg = line_chart.draw(lines, "step", y_name, legend=False).encode()
    image = picture(svg, "svg+xml", f"{title}: {', '.join(lines)} by step", "chart")
    names = [
        element("li", _swatch(line_chart.colour(number)), name)
        for number, name in enumerate(lines)
    ]
    legend = element("ul", *names, class_="legend")
    return element("section", element("h3", title), legend, image)


def thinned(points: Sequence[Tuple[int, float]]) -> List[Tuple[float, float]]:
    """At most `_CURVE_POINTS` points, each the mean of its neighbours."""
    count = min(_CURVE_POINTS, len(points))
    return [
        tuple(np.mean(part, axis=0).tolist())
        for part in np.array_split(np.array(points, np.float64), max(1, count))
    ]


def _classes(runs: Sequence[TrainedRun], measured: Sequence[Measured]) -> Html:
    spec = runs[0].spec
    pixels = measured[0].total.confusion.sum(axis=1)
    rows = []
    for number, name in enumerate(spec.class_names):
        share = pixels[number] / max(1, pixels.sum())
        values = [one.total.class_iou[number] for one in measured]
        rows.append(
            [
                join(_swatch(style.colour_name(spec.palette[number])), name),
                _number(_percent(share)),
                *_compared(values),
            ]
        )
    rows.append(["mean", "", *_compared([one.total.mean_iou for one in measured])])
    head = ["class", "pixels", *(f"IoU {run.name}" for run in runs)]
    return table(head, rows)


def _compared(values: Sequence[float]) -> List[Html]:
    """Cells of percents; of several the highest stands out."""
    best = np.nanmax(values) if len(values) > 1 and not np.isnan(values).all() else None
    return [
        _number(_percent(value), "best" if value == best else "") for value in values
    ]


def _confusion(run: TrainedRun, measured: Measured) -> Html:
    names, confusion = run.spec.class_names, measured.total.confusion
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    rows = []
    for name, row in zip(names, shares):
        cells = [
            element(
                "td",
                f"{100 * share:.0f}" if share >= 0.005 else None,
                class_=f"s{round(style.SHADES * share)}",
            )
            for share in row
        ]
        rows.append(element("tr", element("th", name), *cells))
    return join(
        element("h3", run.name),
        table(["", *names], rows, "confusion"),
    )


def _protocol(runs: Sequence[TrainedRun], measured: Sequence[Measured]) -> Html:
    columns = [_facts(run, one) for run, one in zip(runs, measured)]
    facts = list(dict.fromkeys(name for column in columns for name in column))
    rows = [
        element(
            "tr",
            element("th", fact),
            *(element("td", column.get(fact, "")) for column in columns),
        )
        for fact in facts
    ]
    parts = [table(["", *(run.name for run in runs)], rows, "wide")]
    for run in runs:
        if not run.record:
            parts.append(
                _note(f"{run.name} has no run.json: its training has not ended.")
            )
            continue
        summary = element("summary", f"Configuration of {run.name}")
        text = element("pre", run.record.get("operative_config", ""))
        parts.append(element("details", summary, text))
    return join(*parts)


def _facts(run: TrainedRun, measured: Measured) -> Dict[str, str]:
    """What a reader needs to know to repeat it, by name."""
    protocol = run.protocol["text"]
    if measured.shrunk_images:
        protocol += f"; {measured.shrunk_images} larger images were shrunk to it"
    facts = {
        "evaluated on": f"{len(measured.images)} images of {run.split}",
        "protocol": protocol,
        "checkpoint": f"step {run.step}",
    }
    record = run.record
    if record:
        batch = record["batch"]
        facts.update(
            {
                "command": record["command"],
                "versions": ", ".join(
                    f"{k} {v}" for k, v in record["versions"].items()
                ),
                "seed": str(record["seed"]),
                "batch": f"{batch['global']} (replicas: {batch['replicas']}, portions: "
                f"{batch['portions']})",
                "precision": record["precision"],
                "devices": ", ".join(record["devices"]),
                "steps": str(record["steps"]),
            }
        )
    return facts


def _note(text: str) -> Html:
    return element("p", text, class_="note")


def _swatch(colour: str) -> Html:
    return element("span", class_="swatch", style=f"background: {colour}")


def _number(text: str, more: str = "") -> Html:
    return element("td", text, class_=f"n {more}".strip())


def _percent(share: float) -> str:
    return "–" if share is None or np.isnan(share) else f"{100 * share:.2f}"
