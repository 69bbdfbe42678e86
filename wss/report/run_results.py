"""Results of a run: scores per image, curves, and predictions of single images."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from wss import runs
from wss.data import parsing, views
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.evaluation.evaluator import build_predictor
from wss.evaluation.restoring import restored_method
from wss.experiment import Experiment, evaluation_batches
from wss.ops.metrics import ConfusionMatrix, Scores, scores
from wss.run_folder import event_files, results
from wss.run_folder.description import RUN_FILE


@dataclasses.dataclass(frozen=True)
class ImageScore:
    """The score of one image.

    Attributes:
      name: name of the image.
      mean_iou: mean over the classes of its label and its prediction, 0..1; None if no
        pixel is labeled.
    """

    name: str
    mean_iou: Optional[float]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """An evaluation with the scores of all images.

    Attributes:
      images: scores in the order of the split.
      total: scores over all pixels.
      shrunk_images: number of images that were shrunk for the network.
    """

    images: Sequence[ImageScore]
    total: Scores
    shrunk_images: int


@dataclasses.dataclass(frozen=True)
class ImagePrediction:
    """An image with the predictions of a run.

    Attributes:
      image: [height, width, 3], uint8.
      truth: [height, width], int32, class ids and the ignore label.
      prediction: [height, width], int32.
      confidence: [height, width], float32, the probability of the prediction.
      probabilities: [height, width, classes], float32; None if not requested.
      class_scores: scores of the method by name, [rows, columns, classes] in 0..1;
        smaller than the image if that is larger than the crop.
    """

    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
    confidence: np.ndarray
    probabilities: Optional[np.ndarray]
    class_scores: Mapping[str, np.ndarray]


class TrainedRun:
    """One run, opened from its folder.

    Several runs can be open at the same time: everything that depends on the gin
    configuration is built in the constructor.

    Attributes:
      name: display name.
      spec: the classes.
      split: name of the evaluation split.
      protocol: the evaluation protocol, as in metrics.json.
      step: training step of the checkpoint.
      record: content of run.json; empty before the end of the run.
    """

    def __init__(self, name: str, experiment: Experiment, checkpoint: str):
        """Restores a checkpoint: "latest", "best" or a path.

        Raises:
          UserError: it is missing or damaged, or belongs to another network or method.
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
        # Traced now, while gin has the configuration of this run.
        crop = self._predictor.crop_size
        self._class_scores = tf.function(
            method.class_scores, autograph=False
        ).get_concrete_function(
            tf.TensorSpec([1, *crop, 3]),
            tf.TensorSpec([1, *crop]),
            tf.TensorSpec([1, self.spec.num_classes - 1]),
        )
        path = os.path.join(self.model_dir, RUN_FILE)
        self.record = results.read_json(path, _is_record) or {}

    def names(self) -> list[str]:
        """The names of the images, in the order of the split."""
        with parsing.user_errors():
            return [batch["name"][0].numpy().decode() for batch in self._batches]

    def evaluate(self) -> Evaluation:
        """Evaluates like `wss.eval`, and keeps the score of each image.

        Raises:
          UserError: an image is damaged.
        """
        confusion = ConfusionMatrix(self.spec.num_classes, self.spec.ignore_label)
        images, sums, shrunk = [], 0, 0
        with parsing.user_errors():
            # `disable=None`: no progress bar without a terminal.
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
        return Evaluation(images, scores(sums), shrunk)

    def predict(
        self, places: Sequence[int], probabilities: bool = False
    ) -> Iterator[tuple[int, ImagePrediction]]:
        """Predicts images of the split; yields positions and predictions.

        Args:
          places: positions in the split, from 0.
          probabilities: include the probabilities of all classes.
        """
        wanted = set(places)
        with parsing.user_errors():
            for place, batch in enumerate(self._batches.take(max(wanted) + 1)):
                if place in wanted:
                    yield place, self._predict(batch, probabilities)

    def _predict(
        self, batch: Mapping[str, tf.Tensor], probabilities: bool
    ) -> ImagePrediction:
        image, truth = batch["image"][0], batch["label"][0]
        shown = views.image_labels(truth, self.spec.num_classes, self.spec.ignore_label)
        class_scores = self._predictor.of_whole(
            image, lambda images, valid: self._class_scores(images, valid, shown[None])
        )
        prediction, confidence = self._predictor.labels_and_confidence(image)
        return ImagePrediction(
            image=np.clip(np.rint(image.numpy()), 0, 255).astype(np.uint8),
            truth=truth.numpy(),
            prediction=prediction.numpy(),
            confidence=confidence.numpy(),
            probabilities=(
                self._predictor.probabilities(image).numpy() if probabilities else None
            ),
            class_scores={name: one.numpy() for name, one in class_scores.items()},
        )

    def losses(self) -> dict[str, list[tuple[int, float]]]:
        """The training losses: points (step, value) by name."""
        folder = os.path.join(self.model_dir, "train")
        return event_files.read_curves(folder, event_files.LOSSES)

    def mean_ious(self) -> list[tuple[int, float]]:
        """Step and mean IoU of the evaluations of this split with this protocol."""
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
) -> list[TrainedRun]:
    """Opens runs, and checks that they can be compared.

    Args:
      model_dirs: folders of the runs, by display name.
      checkpoint: "latest", "best" or a path.
      bindings: gin bindings that override those of the runs.
      tpu: name of a TPU.

    Raises:
      UserError: a folder does not belong to a run, classes or splits differ, or a
        checkpoint cannot be read.
    """
    # Check all runs before the first network is built.
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


def _check_comparable(first: tuple, other: tuple) -> None:
    if first[1] != other[1]:
        different = sorted(set(first[1]) ^ set(other[1])) or ["their order"]
        raise UserError(
            f"{first[0]} has {len(first[1])} classes and {other[0]} {len(other[1])}; "
            f"they differ in {different[0]}. Only runs on the same classes can be "
            "compared."
        )
    if first[2] != other[2]:
        raise UserError(
            f"{first[0]} is evaluated on {first[2]} and {other[0]} on {other[2]}. Name "
            "one split for all: --gin_bindings=\"EVAL_SPLIT = 'val'\""
        )


def _is_record(read: Any) -> bool:
    """Whether the content has all values that the page shows."""
    shown = {"command", "versions", "seed", "batch", "precision", "devices", "steps"}
    return isinstance(read, dict) and shown <= set(read)
