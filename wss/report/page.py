"""The report page: selects images, prepares their panels, and renders the HTML."""

import base64
import dataclasses
import difflib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import jinja2
import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_hex

from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.report.run_results import Evaluation, ImagePrediction, ImageScore, TrainedRun
from wss.training import versions
from wss.visualization import figures, label_colors
from wss.visualization.figures import Panel
from wss.visualization.label_colors import color_labels, error_map, heat_map

_PANEL_SIDE = 320  # Pixels of the longer side of a panel in the page.
_CURVE_POINTS = 200  # Longer curves are averaged.
_RECORDED = ("command", "seed", "precision", "steps")


@dataclasses.dataclass(frozen=True)
class Selection:
    """The requested images; all criteria apply, and each image is shown once.

    Attributes:
      names: names of images.
      first: number of images from the beginning of the split.
      best: number of images with the highest mean IoU, averaged over the runs.
      worst: number of images with the lowest mean IoU.
    """

    names: Sequence[str] = ()
    first: int = 0
    best: int = 0
    worst: int = 0

    @property
    def count(self) -> int:
        """The maximum number of images."""
        return len(self.names) + self.first + self.best + self.worst


@dataclasses.dataclass(frozen=True)
class ShownImage:
    """An image of the page.

    Attributes:
      name: name of the image.
      mean_iou: mean IoU of each run, None if no pixel is labeled.
      shared: panels that are the same for all runs, by title.
      own: for each run, by its name, its panels by title.
    """

    name: str
    mean_iou: Sequence[Optional[float]]
    shared: Mapping[str, Panel]
    own: Mapping[str, Mapping[str, Panel]]

    def rows(self) -> list[dict[str, Panel]]:
        """Rows of panels by title: image, truth and predictions first, then details."""
        if len(self.own) == 1:
            return [{**self.shared, **panels} for panels in self.own.values()]
        rows = [dict(self.shared)]
        for run, panels in self.own.items():
            details = {f"{run}: {title}": panel for title, panel in panels.items()}
            rows[0][f"{run}: prediction"] = details.pop(f"{run}: prediction")
            rows.append(details)
        return rows


def check_names(names: Sequence[str], known: Sequence[str], split: str) -> None:
    """Raises a UserError for the first unknown image name."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise UserError(
                f"There is no image '{name}' in {split}.{hint} The first image is "
                f"'{known[0]}'."
            )


def choose(
    selection: Selection, runs: Sequence[Sequence[ImageScore]]
) -> dict[str, list[int]]:
    """Selects the images to show.

    Args:
      selection: the requested images.
      runs: for each run, the scores of all images in the order of the split.

    Returns:
      Positions in the split, by the title of their group; empty groups are left out.
    """
    names = [score.name for score in runs[0]]
    means = {
        place: statistics.fmean(score.mean_iou for score in scores)
        for place, scores in enumerate(zip(*runs))
        if scores[0].mean_iou is not None
    }
    # Ties keep the order of the split.
    ranking = sorted(means, key=lambda place: -means[place])
    groups = {
        "Chosen images": [names.index(name) for name in selection.names],
        "First images": list(range(min(selection.first, len(names)))),
        "Best images": ranking[: selection.best],
        "Worst images": ranking[::-1][: selection.worst],
    }
    chosen: dict[str, list[int]] = {}
    seen = set()
    for title, places in groups.items():
        new = [place for place in dict.fromkeys(places) if place not in seen]
        seen.update(new)
        if new:
            chosen[title] = new
    return chosen


def shared_panels(result: ImagePrediction, spec: DatasetSpec) -> dict[str, Panel]:
    """The panels that are the same for all runs, by title: image and ground truth."""
    return {
        "image": Panel(result.image, is_flat=False),
        "truth": _label_panel(result.truth, spec),
    }


def own_panels(
    result: ImagePrediction, spec: DatasetSpec, classes: Sequence[int] = ()
) -> dict[str, Panel]:
    """The panels of one run for an image.

    Args:
      result: the predictions for the image.
      spec: the classes.
      classes: ids of the classes to show score maps for; these need the probabilities
        in `result`.

    Returns:
      Panels at the size of the image, by title: prediction, error and confidence; the
      best class of each of the method's scores; the score maps.
    """
    panels = {
        "prediction": _label_panel(result.prediction, spec),
        "error": Panel(error_map(result.truth, result.prediction, spec), is_flat=True),
        "confidence": Panel(heat_map(result.confidence), is_flat=False),
    }
    size = result.truth.shape[::-1]
    for title, scores in result.class_scores.items():
        panels[title] = _label_panel(np.argmax(scores, -1), spec).resized(*size)
    if not classes:
        return panels
    maps = {"prediction": result.probabilities, **result.class_scores}
    for number in classes:
        for title, scores in maps.items():
            heat = Panel(heat_map(scores[..., number]), is_flat=False)
            panels[f"{title}: {spec.class_names[number]}"] = heat.resized(*size)
    return panels


def _label_panel(labels: np.ndarray, spec: DatasetSpec) -> Panel:
    return Panel(color_labels(labels, spec.palette).numpy(), is_flat=True)


def render(
    runs: Sequence[TrainedRun],
    evaluations: Sequence[Evaluation],
    groups: Mapping[str, Sequence[ShownImage]],
) -> str:
    """Renders the page.

    Args:
      runs: the runs.
      evaluations: their evaluations.
      groups: the images to show, by the title of their group.

    Returns:
      Self-contained HTML.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("wss.report", ""),
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
    return environment.get_template("page.html.jinja").render(
        runs=list(zip(runs, evaluations)),
        spec=runs[0].spec,
        split=runs[0].split,
        groups=groups,
        charts=_charts(runs),
        facts=_facts(runs, evaluations),
        heat=heat_map(np.linspace(0, 1, 9)).tolist(),
        colors=label_colors,
        line_colors=["currentColor", *figures.LINE_COLORS[1:]],
        version=versions.code_version(),
    )


def _charts(runs: Sequence[TrainedRun]) -> list[dict[str, Any]]:
    """Title, names of the lines, and SVG of each chart."""
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
    title: str, lines: Mapping[str, Sequence[tuple[float, float]]], y_name: str
) -> dict[str, Any]:
    lines = {name: points for name, points in lines.items() if points}
    figure = figures.curves(lines, "step", y_name, legend=False)
    return {
        "title": title,
        "names": list(lines),
        "svg": Markup(figures.svg(figure, title)),
    }


def thinned(points: Sequence[tuple[int, float]]) -> list[tuple[float, float]]:
    """Reduces a curve to `_CURVE_POINTS` points by averaging neighbors."""
    count = min(_CURVE_POINTS, len(points))
    return [
        tuple(np.mean(part, axis=0).tolist())
        for part in np.array_split(np.array(points, np.float64), max(1, count))
    ]


def _facts(
    runs: Sequence[TrainedRun], evaluations: Sequence[Evaluation]
) -> dict[str, list[str]]:
    """The facts needed to reproduce the runs: by name, a value for each run."""
    columns = [_facts_of(run, one) for run, one in zip(runs, evaluations)]
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: [column.get(name, "") for column in columns] for name in names}


def _facts_of(run: TrainedRun, evaluation: Evaluation) -> dict[str, str]:
    protocol = run.protocol["text"]
    if evaluation.shrunk_images:
        protocol += f"; {evaluation.shrunk_images} larger images were shrunk to it"
    facts = {
        "evaluated on": f"{len(evaluation.images)} images of {run.split}",
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
        "batch": f"{batch['global']} (replicas: {batch['replicas']}, micro-batches: "
        f"{batch['portions']})",
        "devices": ", ".join(record["devices"]),
    }


def _data_uri(panel: Panel) -> str:
    encoded = base64.b64encode(figures.encode(panel, _PANEL_SIDE)).decode()
    return f"data:image/{'png' if panel.is_flat else 'jpeg'};base64,{encoded}"


def _percent(share: Optional[float]) -> str:
    return "–" if share is None or np.isnan(share) else f"{100 * share:.2f}"


def _highest(values: Sequence[float]) -> Optional[float]:
    """The best of several scores; None for a single score."""
    known = [value for value in values if not np.isnan(value)]
    return max(known, default=None) if len(values) > 1 else None
