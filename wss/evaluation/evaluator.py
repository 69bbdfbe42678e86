"""Evaluates networks on a split and reports to console, JSON and TensorBoard."""

import os
from collections.abc import Mapping
from typing import Any, Optional

import gin
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from wss.data import parsing, views
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.evaluation import curves
from wss.evaluation.boundary_f_score import BoundaryScore
from wss.evaluation.predictor import UNPADDED, Predictor
from wss.experiment import Experiment, evaluation_batches
from wss.models.backbone import mean_pixel
from wss.models.deeplab import DeepLabV3Plus
from wss.models.network import SegmentationNetwork
from wss.ops.metrics import ConfusionMatrix, Scores, multi_label_scores
from wss.run_folder import description, results
from wss.run_folder.event_files import forget_from


@gin.configurable(allowlist=["boundary", "image_labels"])
class Evaluator:
    """Evaluates one or more networks, repeatedly during training.

    As in the original, predictions are compared at the image's own resolution, ignored
    pixels are left out, and one confusion matrix covers all images. The predictor
    determines the network's input (default: whole images at one scale).

    Args:
      predictors: by the name of the network, such as "teacher" and "student". The first
        is the method's result: it provides the scores and selects the best checkpoint.
        The others are reported in addition.
      batches: from `input_pipeline.evaluation_batches`, read once per evaluation.
      spec: the classes of the data set.
      split: name of the split, for the reports.
      model_dir: folder for metrics.json and the TensorBoard events.
      trained_size: height and width of the training crops, for a warning.
      boundary: also report the boundary F-score, see `evaluation.boundary_f_score`.
      image_labels: also evaluate the network's classifier: accuracy, precision and
        recall of "the image shows class c". It costs another pass through the backbone.
    """

    def __init__(
        self,
        predictors: Mapping[str, Predictor],
        batches: tf.data.Dataset,
        spec: DatasetSpec,
        split: str,
        model_dir: str,
        trained_size: Optional[tuple[int, int]] = None,
        boundary: bool = False,
        image_labels: bool = False,
    ):
        self._predictors = dict(predictors)
        self._batches = batches
        self._spec = spec
        self._split = split
        self._model_dir = model_dir
        self._trained_size = trained_size
        self._boundary = boundary
        self.image_labels = image_labels
        first = next(iter(self._predictors.values()))
        self._protocol = first.protocol()
        self._confusions = {
            name: ConfusionMatrix(spec.num_classes, spec.ignore_label)
            for name in predictors
        }

    def evaluate(
        self, step: int, print_table: bool = True, checkpoint: Optional[str] = None
    ) -> Scores:
        """Evaluates the networks with their current weights, and reports the scores.

        Args:
          step: training step of the weights.
          print_table: also print the IoU of each class.
          checkpoint: path of the weights, for the report; None during training.

        Returns:
          The scores of the first network.

        Raises:
          UserError: an image is damaged.
        """
        measures = {
            name: _Measures(confusion, self._spec, self._boundary, self.image_labels)
            for name, confusion in self._confusions.items()
        }
        images = shrunk = 0
        with parsing.user_errors():
            # `disable=None`: no progress bar without a terminal.
            for batch in tqdm(
                self._batches, desc="evaluation", unit=" images", disable=None
            ):
                image, label = batch["image"][0], batch["label"][0]
                for name, predictor in self._predictors.items():
                    measures[name].add(predictor, image, label)
                images += 1
                shrunk += predictor.shrinks(image)
        scores = {name: one.scores() for name, one in measures.items()}
        summaries = {name: one.summary() for name, one in measures.items()}
        about = {
            "step": step,
            "split": self._split,
            "images": images,
            "network": next(iter(summaries)),
            "checkpoint": checkpoint,
            "protocol": {**self._protocol, "shrunk_images": shrunk},
        }
        # Printed first: the scores are not lost if they cannot be written.
        first = next(iter(scores.values()))
        if print_table:
            print(table(first, self._spec))
        self._print(about, summaries, details=print_table)
        self._warn(first)
        self._warn_of_size()
        self._write(about, scores, summaries)
        return first

    def has_evaluated(self, step: int) -> bool:
        """Whether this split was evaluated at this step with the same protocol."""
        return any(
            one["step"] == step and self._is_comparable(one)
            for one in results.read_evaluations(self._model_dir)
        )

    def best_step(self) -> int:
        """The step with the highest mean IoU so far; needs at least one evaluation."""
        text = self._protocol["text"]
        return results.best(self._model_dir, self._split, text)["step"]

    def forget_after(self, step: int) -> None:
        """Removes the evaluations that a run resumed at `step` repeats."""
        results.forget(
            self._model_dir,
            lambda one: one["step"] > step and self._is_comparable(one),
        )
        first = step + 1 if self.has_evaluated(step) else step
        forget_from(self._events_dir(), first)

    def _best_before(self, step: int) -> float:
        """The highest mean IoU of this split before a step, 0 without evaluations."""
        return max(
            (
                one["mean_iou"]
                for one in results.read_evaluations(self._model_dir)
                if one["step"] < step and self._is_comparable(one)
            ),
            default=0.0,
        )

    def _is_comparable(self, evaluated: Mapping[str, Any]) -> bool:
        mine = (self._split, self._protocol["text"])
        return (evaluated["split"], evaluated.get("protocol")) == mine

    def _print(
        self,
        about: Mapping[str, Any],
        summaries: Mapping[str, Mapping[str, Any]],
        details: bool,
    ) -> None:
        """Prints the scores and the protocol."""
        (_, metrics), *others = summaries.items()
        text = "".join(f", {name} {100 * one['mean_iou']:.2f}" for name, one in others)
        print(
            f"step {about['step']}: mIoU {100 * metrics['mean_iou']:.2f} on "
            f"{self._split} ({about['images']} images){text}",
            flush=True,
        )
        if details:
            print(f"  {_line(metrics)}")
        shrunk = about["protocol"]["shrunk_images"]
        note = f"; images shrunk to it: {shrunk}" if shrunk else ""
        if details or shrunk:
            print(f"  {about['protocol']['text']}{note}", flush=True)

    def _warn(self, scores: Scores) -> None:
        if not scores.confusion.any():
            print(
                f"warning: no pixel of {self._split} has the label of a class, so its "
                "mean IoU is meaningless. python -m data_prep.verify shows the labels "
                "in the masks.",
                flush=True,
            )
        if scores.invalid_pixels:
            print(
                f"warning: {scores.invalid_pixels} pixels of {self._split} are neither "
                f"a class (0..{self._spec.num_classes - 1}) nor the ignore label "
                f"{self._spec.ignore_label}; they were left out.",
                flush=True,
            )

    def _warn_of_size(self) -> None:
        """Warns if image pooling only knows images of the training crops' size."""
        predictor = next(iter(self._predictors.values()))
        network = predictor.network
        padded_size = None if predictor.window == UNPADDED else predictor.crop_size
        if self._trained_size in (None, padded_size):
            return
        if isinstance(network, DeepLabV3Plus) and network.pyramid_pooling.has_collapsed:
            crop = "{} x {}".format(*self._trained_size)
            print(
                "warning: the statistics of image_pooling's batch norm have collapsed: "
                f"crops of {crop} hardly differ there, and an image of another size or "
                "padding may get wrong classes. Train with "
                "DeepLabV3Plus.image_pooling = False, or evaluate with "
                "--sliding_window and EVAL_CROP_SIZE = CROP_SIZE.",
                flush=True,
            )

    def _write(
        self,
        about: Mapping[str, Any],
        scores: Mapping[str, Scores],
        summaries: Mapping[str, Mapping[str, Any]],
    ) -> None:
        (first, metrics), *others = summaries.items()
        results.write_metrics(self._model_dir, {**about, **metrics, **dict(others)})
        best = max(metrics["mean_iou"], self._best_before(about["step"]))
        events_dir = self._events_dir()
        curves.draw(
            events_dir, about["step"], self._spec, scores[first], summaries, best
        )
        remembered = {
            **{key: about[key] for key in ("step", "split", "network")},
            "protocol": about["protocol"]["text"],
            "mean_iou": metrics["mean_iou"],
            "pixel_accuracy": metrics["pixel_accuracy"],
            **{name: one["mean_iou"] for name, one in others},
        }
        # Last: an evaluation in the list is not repeated.
        results.remember(self._model_dir, remembered)

    def _events_dir(self) -> str:
        """Each protocol has its own curves."""
        first = next(iter(self._predictors.values()))
        return os.path.join(self._model_dir, "_".join(["eval", *first.variations]))


class _Measures:
    """The metrics of one network in one evaluation."""

    def __init__(
        self,
        confusion: ConfusionMatrix,
        spec: DatasetSpec,
        boundary: bool,
        image_labels: bool,
    ):
        confusion.reset()
        self._confusion = confusion
        self._spec = spec
        self._boundary = None
        if boundary:
            self._boundary = BoundaryScore(spec.num_classes, spec.ignore_label)
        self._image_labels = [] if image_labels else None

    def add(self, predictor: Predictor, image: tf.Tensor, label: tf.Tensor) -> None:
        """Adds an image [height, width, 3] with its label [height, width]."""
        predicted = predictor.labels(image)
        self._confusion.update(label, predicted)
        if self._boundary:
            self._boundary.update(label.numpy(), predicted.numpy())
        if self._image_labels is not None:
            shown = views.image_labels(
                label, self._spec.num_classes, self._spec.ignore_label
            )
            logits = predictor.image_logits(image)
            self._image_labels.append((shown.numpy(), logits.numpy()))

    def scores(self) -> Scores:
        """The scores of the confusion matrix."""
        return self._confusion.result()

    def summary(self) -> dict[str, Any]:
        """The network's entries of metrics.json; None for undefined values."""
        scores = self.scores()
        content = {
            "mean_iou": scores.mean_iou,
            "pixel_accuracy": scores.pixel_accuracy,
            "mean_class_accuracy": scores.mean_class_accuracy,
            "class_iou": self._by_class(scores.class_iou),
        }
        if self._boundary:
            values = self._boundary.result()
            known = values[~np.isnan(values)]
            content["boundary_f_score"] = float(known.mean()) if known.size else None
            content["class_boundary_f_score"] = self._by_class(values)
        if self._image_labels:
            truth, logits = map(np.stack, zip(*self._image_labels))
            names = ("accuracy", "precision", "recall")
            values = multi_label_scores(truth, logits)
            content["image_labels"] = dict(zip(names, values))
        return content

    def _by_class(self, values: np.ndarray) -> dict[str, Optional[float]]:
        return {
            name: None if np.isnan(value) else float(value)
            for name, value in zip(self._spec.class_names, values)
        }


def _line(metrics: Mapping[str, Any]) -> str:
    """The other scores as text, in percent."""
    values = {
        "pixel accuracy": metrics["pixel_accuracy"],
        "mean class accuracy": metrics["mean_class_accuracy"],
        "boundary F": metrics.get("boundary_f_score"),
    }
    for name, value in metrics.get("image_labels", {}).items():
        values[f"image labels' {name}"] = value
    return ", ".join(
        f"{name} {100 * value:.2f}"
        for name, value in values.items()
        if value is not None
    )


def table(scores: Scores, spec: DatasetSpec) -> str:
    """A table of IoU and share of the labeled pixels per class, in percent."""
    width = max(len(name) for name in spec.class_names)
    pixels = scores.confusion.sum(axis=1)
    lines = [f"{'class':<{width}}    IoU  pixels"]
    for name, iou, count in zip(spec.class_names, scores.class_iou, pixels):
        value = "     -" if np.isnan(iou) else f"{100 * iou:6.2f}"
        share = 100 * count / max(1, pixels.sum())
        lines.append(f"{name:<{width}} {value}  {share:5.1f}%")
    return "\n".join(lines)


def build_predictor(
    experiment: Experiment, network: Optional[SegmentationNetwork], **settings: Any
) -> Predictor:
    """Predictions of a network for images of any size, as evaluation sees them.

    Args:
      experiment: the run.
      network: its network; None: nothing is predicted.
      settings: of `Predictor`, instead of those of gin.

    Raises:
      UserError: the setting of `Predictor` is invalid, or the device cannot do it.
    """
    padding_value = mean_pixel(experiment.model_variant)
    size = experiment.eval_crop_size
    predictor = Predictor(network, size, padding_value, **settings)
    on_tpu = isinstance(experiment.strategy, tf.distribute.TPUStrategy)
    if on_tpu and predictor.window == UNPADDED:
        raise UserError(
            "Predictor.window = 'unpadded' gives the network images of many sizes, and "
            "a TPU needs one. Set Predictor.window = 'whole'; or train with "
            "--mode=train, and run python -m wss.eval on a machine with GPUs or CPUs."
        )
    return predictor


def build_evaluator(
    experiment: Experiment, networks: Mapping[str, Optional[SegmentationNetwork]]
) -> Evaluator:
    """The evaluator of an experiment's networks; it reads no image yet.

    Raises:
      UserError: a protocol that makes no sense, or that the method cannot be measured
        by.
    """
    evaluator = Evaluator(
        {
            name: build_predictor(experiment, network)
            for name, network in networks.items()
        },
        evaluation_batches(experiment),
        experiment.spec,
        experiment.eval_split,
        experiment.model_dir,
        experiment.crop_size,
    )
    if evaluator.image_labels and not experiment.method.trains_classifier:
        raise UserError(
            f"{experiment.method.__name__} trains no classifier of whole images: leave "
            "out --image_labels (Evaluator.image_labels)."
        )
    return evaluator


def check_evaluation(experiment: Experiment) -> None:
    """Finds what can be wrong with an evaluation, without building a network.

    Raises:
      UserError: missing shards, images without masks, a protocol that makes no sense
        or that the method cannot be measured by, other classes or images than the
        folder's checkpoints were trained and evaluated on.
    """
    experiment.check_evaluation()
    build_evaluator(experiment, {"model": None})
    description.check_evaluation(experiment)
