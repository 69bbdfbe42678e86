"""Mean IoU of networks on a split: on the screen, in metrics.json, in TensorBoard."""

import json
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from wss import charts, files
from wss.data import parsing
from wss.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.metrics import ConfusionMatrix, Scores
from wss.models import tf1_checkpoint
from wss.models.deeplab import DeepLabV3Plus
from wss.resize import resize_bilinear
from wss.training import checkpoints, curves
from wss.training.summaries import Summaries

METRICS_FILE = "metrics.json"
EVALUATIONS_FILE = "evaluations.json"


class Evaluator:
    """Evaluates a network and its average, any number of times while they train.

    As the original: every image whole, padded to one size, logits enlarged to that size
    before the best class is taken, ignored pixels left out, one confusion matrix over
    all images.

    Args:
      networks: by name, such as "teacher" and "student"; each gives logits [1, h, w,
        classes] of images [1, height, width, 3]. The first is the method's result: its
        are the scores, and its best checkpoint is kept. The others stand beside it.
      batches: of `wss.data.pipeline.evaluation_batches`, walked once per evaluation.
      spec: the data set's classes.
      split: name of the split, for the reports.
      model_dir: where metrics.json and the TensorBoard events go.
    """

    def __init__(
        self,
        networks: Mapping[str, tf.keras.Model],
        batches: tf.data.Dataset,
        spec: DatasetSpec,
        split: str,
        model_dir: str,
    ):
        self._networks = dict(networks)
        self._batches = batches
        self._spec = spec
        self._split = split
        self._model_dir = model_dir
        self._confusions = {
            name: ConfusionMatrix(spec.num_classes, spec.ignore_label)
            for name in networks
        }

    def evaluate(self, step: int, print_table: bool = True) -> Scores:
        """Evaluates the networks as they are, and reports.

        Args:
          step: the training step that they are of.
          print_table: print the classes' IoU too.

        Returns:
          The scores of the first.

        Raises:
          UserError: an image is larger than the evaluation's size, or broken.
        """
        for confusion in self._confusions.values():
            confusion.reset()
        images = 0
        with parsing.user_errors():
            # Without a terminal there is nobody to watch a bar.
            for batch in tqdm(
                self._batches, desc="evaluation", unit=" images", disable=None
            ):
                self._count(batch["image"], batch["label"])
                images += int(batch["image"].shape[0])
        results = {name: matrix.result() for name, matrix in self._confusions.items()}
        self._write(results, step, images)
        scores = next(iter(results.values()))
        if print_table:
            print(table(scores, self._spec))
        others = [
            f", {name} {100 * of_other.mean_iou:.2f}"
            for name, of_other in list(results.items())[1:]
        ]
        print(
            f"step {step}: mIoU {100 * scores.mean_iou:.2f} on {self._split} "
            f"({images} images){''.join(others)}",
            flush=True,
        )
        if not scores.confusion.any():
            print(
                f"warning: not one pixel of {self._split} has the label of a class, so "
                "its mean IoU says nothing. python -m data_prep.verify shows what the "
                "masks hold.",
                flush=True,
            )
        if scores.invalid_pixels:
            print(
                f"warning: {scores.invalid_pixels} pixels of {self._split} are neither "
                f"a class (0..{self._spec.num_classes - 1}) nor the ignore label "
                f"{self._spec.ignore_label}; they were left out.",
                flush=True,
            )
        return scores

    def has_evaluated(self, step: int) -> bool:
        """Whether the model of this step has been evaluated on this split."""
        return any(
            one["step"] == step and one["split"] == self._split
            for one in read_evaluations(self._model_dir)
        )

    def best_step(self) -> int:
        """The step of the highest mean IoU so far; something has been evaluated."""
        return best(self._model_dir, self._split)["step"]

    def forget_after(self, step: int) -> None:
        """Forgets the evaluations that a run which goes on from a step makes again."""
        evaluations = read_evaluations(self._model_dir)
        kept = [
            e for e in evaluations if e["step"] <= step or e["split"] != self._split
        ]
        if len(kept) < len(evaluations):
            _write_evaluations(self._model_dir, kept)
        first = step + 1 if self.has_evaluated(step) else step
        curves.forget_from(os.path.join(self._model_dir, "eval"), first)

    @tf.function
    def _count(self, image: tf.Tensor, label: tf.Tensor) -> None:
        for name, network in self._networks.items():
            logits = network(image, training=False)
            logits = resize_bilinear(logits, tuple(image.shape[1:3]))
            self._confusions[name].update(label, tf.argmax(logits, -1))

    def _write(self, results: Mapping[str, Scores], step: int, images: int) -> None:
        summaries = {name: summary(one, self._spec) for name, one in results.items()}
        (first, metrics), *others = summaries.items()
        content = {"step": step, "split": self._split, "images": images, **metrics}
        remembered = {
            "step": step,
            "split": self._split,
            "mean_iou": metrics["mean_iou"],
            "pixel_accuracy": metrics["pixel_accuracy"],
        }
        if others:
            content.update(network=first, **dict(others))
            remembered.update(
                network=first, **{name: one["mean_iou"] for name, one in others}
            )
        text = json.dumps(content, indent=2)
        files.write_text(os.path.join(self._model_dir, METRICS_FILE), text + "\n")
        self._draw(results[first], dict(others), step)
        # At last: what stands there is not evaluated again.
        self._remember(remembered)

    def _draw(
        self, scores: Scores, others: Mapping[str, Mapping[str, Any]], step: int
    ) -> None:
        """Curves and pictures in TensorBoard."""
        values = {
            "evaluation/iou/mIoU": scores.mean_iou,
            "evaluation/pixel_accuracy": scores.pixel_accuracy,
        }
        for name, iou in summary(scores, self._spec)["class_iou"].items():
            if iou is not None:
                values[f"evaluation/iou/{name}"] = iou
        for name, metrics in others.items():
            values[f"evaluation/{name}/mIoU"] = metrics["mean_iou"]
        events = Summaries(os.path.join(self._model_dir, "eval"))
        events.scalars(values, step)
        names = self._spec.class_names
        bars = charts.iou_bars(
            scores.class_iou, scores.mean_iou, names, self._spec.palette
        )
        events.images(
            {
                "evaluation/confusion": charts.confusion_matrix(
                    scores.confusion, names
                ),
                "evaluation/iou_bars": bars,
            },
            step,
        )
        events.flush()

    def _remember(self, evaluated: Dict[str, Any]) -> None:
        """Adds an evaluation to the list; a repeated one replaces the earlier."""
        same = ("step", "split")
        others = [
            other
            for other in read_evaluations(self._model_dir)
            if any(other[key] != evaluated[key] for key in same)
        ]
        ordered = sorted([*others, evaluated], key=lambda one: one["step"])
        _write_evaluations(self._model_dir, ordered)


def read_metrics(model_dir: str) -> Optional[Dict[str, Any]]:
    """The last evaluation's metrics.json, None before the first."""
    path = os.path.join(model_dir, METRICS_FILE)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        return json.load(file)


def read_evaluations(model_dir: str) -> List[Dict[str, Any]]:
    """Step, split and scores of all evaluations so far, in the order of the steps."""
    path = os.path.join(model_dir, EVALUATIONS_FILE)
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path) as file:
        return json.load(file)


def _write_evaluations(model_dir: str, evaluations: Sequence[Dict[str, Any]]) -> None:
    path = os.path.join(model_dir, EVALUATIONS_FILE)
    files.write_text(path, json.dumps(evaluations, indent=2) + "\n")


def best(model_dir: str, split: str) -> Optional[Dict[str, Any]]:
    """The evaluation on `split` of the highest mean IoU, the earliest of several."""
    evaluations = [e for e in read_evaluations(model_dir) if e["split"] == split]
    return max(evaluations, key=lambda one: one["mean_iou"], default=None)


def summary(scores: Scores, spec: DatasetSpec) -> Dict[str, Any]:
    """What metrics.json says; None for a class without a labeled pixel."""
    return {
        "mean_iou": scores.mean_iou,
        "pixel_accuracy": scores.pixel_accuracy,
        "class_iou": {
            name: None if np.isnan(iou) else float(iou)
            for name, iou in zip(spec.class_names, scores.class_iou)
        },
    }


def table(scores: Scores, spec: DatasetSpec) -> str:
    """A table of the classes: IoU, and the share of the labeled pixels, in percent."""
    width = max(len(name) for name in spec.class_names)
    pixels = scores.confusion.sum(axis=1)
    lines = [f"{'class':<{width}}    IoU  pixels"]
    for name, iou, count in zip(spec.class_names, scores.class_iou, pixels):
        value = "     -" if np.isnan(iou) else f"{100 * iou:6.2f}"
        share = 100 * count / max(1, pixels.sum())
        lines.append(f"{name:<{width}} {value}  {share:5.1f}%")
    return "\n".join(lines)


def restore_model(model: DeepLabV3Plus, checkpoint: str, average: bool = True) -> int:
    """Gives the model the weights of a checkpoint; returns its training step.

    Args:
      model: the network.
      checkpoint: one of ours or of TF1, e.g. of the original code, or its folder.
      average: take the moving average of the network, where the checkpoint has one.

    Raises:
      UserError: there is no such checkpoint, it is damaged, or of another network.
    """
    reason = checkpoints.problem(tf1_checkpoint.find(checkpoint))
    if reason is not None:
        raise UserError(
            f"The checkpoint {checkpoint} can not be read ({reason}). Choose another: "
            "--checkpoint=latest, best or a path."
        )
    report = tf1_checkpoint.restore(checkpoint, model, average=average)
    classifier = f"{model.backbone.scope}/logits/"  # No part of a segmentation.
    absent = [
        name
        for name in (*report.skipped, *report.missing)
        if not name.startswith(classifier)
    ]
    if absent:
        raise UserError(
            f"{checkpoint} is no checkpoint of this network: {len(absent)} variables "
            f"are not in it or of another shape, such as {absent[0]}. Evaluate with "
            "the configuration that it was trained with."
        )
    reader = tf.train.load_checkpoint(tf1_checkpoint.find(checkpoint))
    for key in ("step/.ATTRIBUTES/VARIABLE_VALUE", "global_step"):
        if reader.has_tensor(key):
            return int(reader.get_tensor(key))
    return 0
