"""Curves and figures of an evaluation, for TensorBoard."""

from collections.abc import Mapping
from typing import Any

from wss.data.datasets.spec import DatasetSpec
from wss.ops.metrics import Scores
from wss.run_folder.event_files import (
    EVALUATION,
    OTHER_SCORES,
    SINGLE_CLASSES,
    Summaries,
    tagged,
)

_OTHER_SCORES = ("pixel_accuracy", "mean_class_accuracy", "boundary_f_score")


def draw(
    directory: str,
    step: int,
    spec: DatasetSpec,
    scores: Scores,
    summaries: Mapping[str, Mapping[str, Any]],
    best: float,
) -> None:
    """Adds a point to each curve, and the figures of a step.

    Args:
      directory: folder of the events.
      step: training step of the weights.
      spec: the classes.
      scores: of the first network.
      summaries: entries of metrics.json by network.
      best: the highest mean IoU up to this step, 0..1.
    """
    from wss.visualization import figures  # Takes half a second.

    (_, metrics), *others = summaries.items()
    events = Summaries(directory)
    for group, values in (
        (
            EVALUATION,
            {
                "mIoU": metrics["mean_iou"],
                "mIoU_best": best,
                **{f"mIoU_{name}": one["mean_iou"] for name, one in others},
            },
        ),
        (OTHER_SCORES, {name: metrics.get(name) for name in _OTHER_SCORES}),
        (OTHER_SCORES, tagged("image_labels", metrics.get("image_labels", {}))),
        (SINGLE_CLASSES, tagged("iou", metrics["class_iou"])),
    ):
        defined = {name: one for name, one in values.items() if one is not None}
        events.scalars(tagged(group, defined), step)
    names = spec.class_names
    charts = {
        "confusion": figures.confusion_matrix(scores.confusion, names),
        "iou_bars": figures.iou_bars(
            scores.class_iou, scores.mean_iou, names, spec.palette
        ),
    }
    pixels = {name: figures.pixels(chart) for name, chart in charts.items()}
    events.images(tagged(SINGLE_CLASSES, pixels), step)
    events.flush()
