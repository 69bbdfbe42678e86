"""A training that is over: its scores image by image, and what it sees in an image."""

import dataclasses
import os
from typing import Any, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from wss import runs
from wss.data import parsing, views
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.evaluation import results
from wss.evaluation.evaluator import build_predictor
from wss.evaluation.restoring import restored_method
from wss.experiment import Experiment, evaluation_batches
from wss.ops.metrics import ConfusionMatrix, Scores, scores
from wss.report.choice import ImageScore
from wss.training import run_card, summaries


@dataclasses.dataclass(frozen=True)
class Measured:
    """An evaluation, image by image.

    Attributes:
      images: the scores of each, in the split's order.
      total: of all pixels together.
      shrunk_images: how many the network saw as a smaller copy.
    """

    images: Sequence[ImageScore]
    total: Scores
    shrunk_images: int


@dataclasses.dataclass(frozen=True)
class Sight:
    """What a training sees in an image.

    Attributes:
      image: [height, width, 3], uint8.
      truth: [height, width], int32, of class ids and the ignore label.
      prediction: [height, width], int32.
      confidence: [height, width], float32, the probability of the prediction.
      probabilities: [height, width, classes], float32; None unless asked for.
      class_scores: of the method, [rows, columns, classes] in 0..1, by name; smaller
        than the image where that is larger than the crop.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    confidence: np.ndarray
    probabilities: Optional[np.ndarray]
    class_scores: Mapping[str, np.ndarray]


class TrainedRun:
    """One training, opened by what it left in its folder.

    Several may be open at a time: what its configuration decides is built at once.

    Attributes:
      name: to show.
      spec: the classes.
      split: the images that it is measured on.
      protocol: how the network sees them, as in metrics.json.
      step: of the checkpoint.
      record: what run.json says; empty before the end of the training.
    """

    def __init__(self, name: str, experiment: Experiment, checkpoint: str):
        """Restores a checkpoint: "latest", "best" or a path.

        Raises:
          UserError: there is none, it is damaged, or of another network or method.
        """
        self.name = name
        self.model_dir = experiment.model_dir
        self.spec: DatasetSpec = experiment.spec
        self.split = experiment.eval_split
        self.method = experiment.method.__name__
        self.model = experiment.model_variant
        method, self.step = restored_method(experiment, checkpoint)
        self._predictor = build_predictor(experiment, method.model)
        self.protocol = self._predictor.protocol()
        self._batches = evaluation_batches(experiment)
        # Traced now, while gin holds this training's configuration.
        crop = self._predictor.crop_size
        self._class_scores = tf.function(method.class_scores).get_concrete_function(
            tf.TensorSpec([1, *crop, 3]),
            tf.TensorSpec([1, *crop]),
            tf.TensorSpec([1, self.spec.num_classes - 1]),
        )
        path = os.path.join(self.model_dir, run_card.RUN_FILE)
        self.record = results.read_json(path, _is_record) or {}

    def names(self) -> List[str]:
        """The names of the split's images, in their order."""
        with parsing.user_errors():
            return [batch["name"][0].numpy().decode() for batch in self._batches]

    def measure(self) -> Measured:
        """Evaluates, as `wss.eval` does, and keeps each image's score.

        Raises:
          UserError: an image is broken.
        """
        confusion = ConfusionMatrix(self.spec.num_classes, self.spec.ignore_label)
        images, sums, shrunk = [], 0, 0
        with parsing.user_errors():
            # Without a terminal there is nobody to watch a bar.
            for batch in tqdm(
                self._batches, desc=self.name, unit=" images", disable=None
            ):
                image = batch["image"][0]
                confusion.reset()
                confusion.update(batch["label"][0], self._predictor.labels(image))
                of_image = confusion.result()
                is_labeled = of_image.confusion.any()
                images.append(
                    ImageScore(
                        batch["name"][0].numpy().decode(),
                        of_image.mean_iou if is_labeled else None,
                    )
                )
                sums = sums + of_image.confusion
                shrunk += self._predictor.shrinks(image)
        return Measured(images, scores(sums), shrunk)

    def look(
        self, places: Sequence[int], probabilities: bool = False
    ) -> Iterator[Tuple[int, Sight]]:
        """What it sees in the images at these places of the split.

        Args:
          places: in the split.
          probabilities: give those of all classes, too.
        """
        wanted = set(places)
        with parsing.user_errors():
            for place, batch in enumerate(self._batches.take(max(wanted) + 1)):
                if place in wanted:
                    yield place, self._sight(batch, probabilities)

    def _sight(self, batch: Mapping[str, tf.Tensor], probabilities: bool) -> Sight:
        image, truth = batch["image"][0], batch["label"][0]
        shown = views.image_labels(truth, self.spec.num_classes, self.spec.ignore_label)
        class_scores = self._predictor.of_whole(
            image, lambda images, valid: self._class_scores(images, valid, shown[None])
        )
        prediction, confidence = self._predictor.labels_and_confidence(image)
        return Sight(
            image=np.clip(np.rint(image.numpy()), 0, 255).astype(np.uint8),
            truth=truth.numpy(),
            prediction=prediction.numpy(),
            confidence=confidence.numpy(),
            probabilities=(
                self._predictor.probabilities(image).numpy() if probabilities else None
            ),
            class_scores={name: one.numpy() for name, one in class_scores.items()},
        )

    def losses(self) -> Dict[str, List[Tuple[int, float]]]:
        """The training's losses by step."""
        return summaries.read_curves(os.path.join(self.model_dir, "train"), "losses")

    def mean_ious(self) -> List[Tuple[int, float]]:
        """The evaluations of this split by this protocol: step and mean IoU."""
        return [
            (one["step"], one["mean_iou"])
            for one in results.read_evaluations(self.model_dir)
            if one["split"] == self.split
            and one.get("protocol") == self.protocol["text"]
        ]


def open_all(
    model_dirs: Mapping[str, str],
    checkpoint: str,
    bindings: Sequence[str] = (),
    tpu: Optional[str] = None,
) -> List[TrainedRun]:
    """Opens trainings that can stand side by side.

    Args:
      model_dirs: their folders by the name to show.
      checkpoint: "latest", "best" or a path.
      bindings: gin statements that win over the trainings'.
      tpu: name of a TPU.

    Raises:
      UserError: a folder is none of a training, classes or splits differ, or a
        checkpoint can not be read.
    """
    # All are looked at before the first network is built.
    first = None
    for name, model_dir in model_dirs.items():
        experiment = runs.open_trained(model_dir, bindings, tpu)
        about = (name, experiment.spec.class_names, experiment.eval_split)
        first = first or about
        _check_comparable(first, about)
    return [
        TrainedRun(name, runs.open_trained(model_dir, bindings, tpu), checkpoint)
        for name, model_dir in model_dirs.items()
    ]


def _check_comparable(first: Tuple, other: Tuple) -> None:
    if first[1] != other[1]:
        different = sorted(set(first[1]) ^ set(other[1])) or ["their order"]
        raise UserError(
            f"{first[0]} has {len(first[1])} classes and {other[0]} {len(other[1])}; "
            f"they differ in {different[0]}. Only trainings on the same classes can "
            "stand side by side."
        )
    if first[2] != other[2]:
        raise UserError(
            f"{first[0]} is evaluated on {first[2]} and {other[0]} on {other[2]}. Name "
            "one split for all: --gin_bindings=\"EVAL_SPLIT = 'val'\""
        )


def _is_record(read: Any) -> bool:
    """Whether it says what the page shows."""
    shown = {"command", "versions", "seed", "batch", "precision", "devices", "steps"}
    return isinstance(read, dict) and shown <= set(read)
