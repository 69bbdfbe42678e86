"""The page that shows runs: which images, what is seen in them, and the HTML."""

import base64
import dataclasses
import difflib
import statistics
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_hex

from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.training import versions
from wss.visualization import figures, label_colors
from wss.visualization.figures import Panel
from wss.visualization.label_colors import color_labels, error_map, heat_map
from wss.visualization.run_results import ImageScore, Measured, Sight, TrainedRun

_PANEL_SIDE = 320  # Pixels of the longer side of a panel in the page.
_CURVE_POINTS = 200  # Of a curve; more are averaged.
_RECORDED = ("command", "seed", "precision", "steps")


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the user asks to see; the kinds add up, and an image is shown once.

    Attributes:
      names: these images.
      first: how many from the beginning of the split.
      best: how many of the highest mean IoU, averaged over the runs.
      worst: how many of the lowest.
    """

    names: Sequence[str] = ()
    first: int = 0
    best: int = 0
    worst: int = 0

    @property
    def count(self) -> int:
        """How many images these are, at most."""
        return len(self.names) + self.first + self.best + self.worst


@dataclasses.dataclass(frozen=True)
class Shown:
    """An image of the page.

    Attributes:
      name: of the image.
      mean_iou: of each run, None where no pixel is labeled.
      shared: panels that are the same for all runs, by title.
      own: panels of each run by title, by the name of the run.
    """

    name: str
    mean_iou: Sequence[Optional[float]]
    shared: Mapping[str, Panel]
    own: Mapping[str, Mapping[str, Panel]]

    def rows(self) -> List[Dict[str, Panel]]:
        """Panels by title, as in papers: image, truth and predictions, then details."""
        if len(self.own) == 1:
            return [{**self.shared, **panels} for panels in self.own.values()]
        first, *others = [dict(self.shared)], *self.own.items()
        for run, panels in others:
            details = {f"{run}: {title}": panel for title, panel in panels.items()}
            first[0][f"{run}: prediction"] = details.pop(f"{run}: prediction")
            first.append(details)
        return first


def check_names(names: Sequence[str], known: Sequence[str], split: str) -> None:
    """Raises a UserError for the first name that no image has."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise UserError(
                f"There is no image '{name}' in {split}.{hint} Its first is called "
                f"'{known[0]}'."
            )


def choose(
    wanted: Wanted, runs: Sequence[Sequence[ImageScore]]
) -> Dict[str, List[int]]:
    """Chooses images.

    Args:
      wanted: what to show.
      runs: of each run, the scores of the images of the split in their order.

    Returns:
      Places in the split, by the title to show them under; no empty ones.
    """
    names = [score.name for score in runs[0]]
    means = {
        place: statistics.fmean(score.mean_iou for score in scores)
        for place, scores in enumerate(zip(*runs))
        if scores[0].mean_iou is not None
    }
    ranking = sorted(means, key=lambda place: -means[place])  # Equals in their order.
    groups = {
        "Chosen images": [names.index(name) for name in wanted.names],
        "First images": list(range(min(wanted.first, len(names)))),
        "Best images": ranking[: wanted.best],
        "Worst images": ranking[::-1][: wanted.worst],
    }
    chosen: Dict[str, List[int]] = {}
    seen = set()
    for title, places in groups.items():
        new = [place for place in dict.fromkeys(places) if place not in seen]
        seen.update(new)
        if new:
            chosen[title] = new
    return chosen


def shared_panels(sight: Sight, spec: DatasetSpec) -> Dict[str, Panel]:
    """What is the same for every run, by title: the image and its truth."""
    return {
        "image": Panel(sight.image, is_flat=False),
        "truth": _label_panel(sight.truth, spec),
    }


def own_panels(
    sight: Sight, spec: DatasetSpec, classes: Sequence[int] = ()
) -> Dict[str, Panel]:
    """What one run makes of an image.

    Args:
      sight: what it sees.
      spec: the classes.
      classes: ids of those to show a map of each score of; `sight` then has the
        probabilities.

    Returns:
      By title, panels of the size of the image: prediction, error and confidence; of
      each of the method's scores the best class; then the maps.
    """
    panels = {
        "prediction": _label_panel(sight.prediction, spec),
        "error": Panel(error_map(sight.truth, sight.prediction, spec), is_flat=True),
        "confidence": Panel(heat_map(sight.confidence), is_flat=False),
    }
    size = sight.truth.shape[::-1]
    for title, scores in sight.class_scores.items():
        panels[title] = _label_panel(np.argmax(scores, -1), spec).resized(*size)
    if not classes:
        return panels
    maps = {"prediction": sight.probabilities, **sight.class_scores}
    for number in classes:
        for title, scores in maps.items():
            heat = Panel(heat_map(scores[..., number]), is_flat=False)
            panels[f"{title}: {spec.class_names[number]}"] = heat.resized(*size)
    return panels


def _label_panel(labels: np.ndarray, spec: DatasetSpec) -> Panel:
    return Panel(color_labels(labels, spec.palette).numpy(), is_flat=True)


def render(
    runs: Sequence[TrainedRun],
    measured: Sequence[Measured],
    groups: Mapping[str, Sequence[Shown]],
) -> str:
    """The page.

    Args:
      runs: what to show.
      measured: their evaluations.
      groups: the images to show by the title to show them under.

    Returns:
      HTML without a reference to anything outside of it.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("wss.visualization", ""),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        css=lambda color: to_hex(np.array(color) / 255),
        data_uri=_data_uri,
        highest=_highest,
        percent=_percent,
        shares=lambda scores: figures.row_shares(scores.confusion).tolist(),
    )
    return environment.get_template("report.html.jinja").render(
        runs=list(zip(runs, measured)),
        spec=runs[0].spec,
        split=runs[0].split,
        groups=groups,
        charts=_charts(runs),
        facts=_facts(runs, measured),
        heat=heat_map(np.linspace(0, 1, 9)).tolist(),
        colors=label_colors,
        line_colors=["currentColor", *figures.LINE_COLORS[1:]],
        version=versions.code_version(),
    )


def _charts(runs: Sequence[TrainedRun]) -> List[Dict[str, Any]]:
    """Title, names of the lines and SVG of each chart."""
    evaluations = {
        run.name: [(step, 100 * value) for step, value in run.mean_ious()]
        for run in runs
    }
    charts = [_chart(f"mIoU on {runs[0].split}", evaluations, "mIoU (%)")]
    for run in runs:
        losses = {name: thinned(points) for name, points in run.losses().items()}
        charts.append(_chart(f"Losses of {run.name}", losses, "loss"))
    return charts


def _chart(
    title: str, lines: Mapping[str, Sequence[Tuple[float, float]]], y_name: str
) -> Dict[str, Any]:
    lines = {name: points for name, points in lines.items() if points}
    figure = figures.curves(lines, "step", y_name, legend=False)
    return {
        "title": title,
        "names": list(lines),
        "svg": Markup(figures.svg(figure, title)),
    }


def thinned(points: Sequence[Tuple[int, float]]) -> List[Tuple[float, float]]:
    """At most `_CURVE_POINTS` points, each the mean of its neighbors."""
    count = min(_CURVE_POINTS, len(points))
    return [
        tuple(np.mean(part, axis=0).tolist())
        for part in np.array_split(np.array(points, np.float64), max(1, count))
    ]


def _facts(
    runs: Sequence[TrainedRun], measured: Sequence[Measured]
) -> Dict[str, List[str]]:
    """What a reader needs to know to repeat the runs: of each run, by name."""
    columns = [_facts_of(run, one) for run, one in zip(runs, measured)]
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name, "") for column in columns] for name in names}


def _facts_of(run: TrainedRun, measured: Measured) -> Dict[str, str]:
    protocol = run.protocol["text"]
    if measured.shrunk_images:
        protocol += f"; {measured.shrunk_images} larger images were shrunk to it"
    facts = {
        "evaluated on": f"{len(measured.images)} images of {run.split}",
        "protocol": protocol,
        "checkpoint": f"step {run.step}",
    }
    record = run.record
    if not record:
        return facts
    batch = record["batch"]
    return {
        **facts,
        **{name: str(record[name]) for name in _RECORDED},
        "versions": ", ".join(f"{k} {v}" for k, v in record["versions"].items()),
        "batch": f"{batch['global']} (replicas: {batch['replicas']}, portions: "
        f"{batch['portions']})",
        "devices": ", ".join(record["devices"]),
    }


def _data_uri(panel: Panel) -> str:
    encoded = base64.b64encode(figures.encode(panel, _PANEL_SIDE)).decode()
    return f"data:image/{'png' if panel.is_flat else 'jpeg'};base64,{encoded}"


def _percent(share: Optional[float]) -> str:
    return "–" if share is None or np.isnan(share) else f"{100 * share:.2f}"


def _highest(values: Sequence[float]) -> Optional[float]:
    """The best of several scores; None for one alone."""
    known = [value for value in values if not np.isnan(value)]
    return max(known, default=None) if len(values) > 1 else None
