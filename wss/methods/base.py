"""The interface of a learning method.

A method is one file with a class that computes named losses from a batch. A new one
needs no changes elsewhere; `docs/add_a_method.md` has an example.
"""

import abc
import dataclasses
import inspect
from collections.abc import Iterator, Mapping
from typing import Callable, Union

import gin
import numpy as np
import tensorflow as tf

from wss.models.layers import EndPoints
from wss.models.network import SegmentationNetwork
from wss.models.tf1_checkpoint import named_variables
from wss.ops import losses
from wss.ops.distributed import Ratio
from wss.visualization.label_colors import color_labels

Batch = Mapping[str, Mapping[str, tf.Tensor]]

# Number of images of a batch in the summaries.
SHOWN_IMAGES = 2
# The original's name of the end point before the last block.
AUXILIARY_STRIDE = 15


@dataclasses.dataclass(frozen=True)
class ImageSummary:
    """Images for TensorBoard.

    Attributes:
      kind: "rgb" for [images, height, width, 3] in 0..255, "label" for class ids
        [images, height, width], "mask" for [images, height, width] in 0..1.
      tensor: the images.
    """

    kind: str
    tensor: tf.Tensor

    def to_rgb(self, palette: np.ndarray) -> tf.Tensor:
        """The images in the colors of the classes.

        Args:
          palette: [classes, 3], uint8.

        Returns:
          [images, height, width, 3], uint8.

        Raises:
          ValueError: the kind is unknown.
        """
        if self.kind == "label":
            return color_labels(self.tensor, palette)
        if self.kind == "mask":
            gray = tf.cast(tf.round(255.0 * self.tensor), tf.uint8)
            return tf.tile(gray[..., tf.newaxis], [1, 1, 1, 3])
        if self.kind == "rgb":
            return tf.cast(tf.clip_by_value(tf.round(self.tensor), 0, 255), tf.uint8)
        raise ValueError(f"Unknown kind of image summary {self.kind!r}")


@dataclasses.dataclass
class StepOutput:
    """What a method returns for one part of the batch.

    Attributes:
      losses: scalars by name, float32. Training minimizes their sum plus the weight
        decay, averaged over the parts.
      monitors: scalars by name, for curves. They are averaged over the parts; the sums
        of a `Ratio` are added first.
      histograms: tensors by name.
      images: image summaries by name.
      aux: tensors by name, with static shapes, for `Method.on_update_end`.
    """

    losses: dict[str, tf.Tensor]
    monitors: dict[str, Union[tf.Tensor, Ratio]] = dataclasses.field(
        default_factory=dict
    )
    histograms: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    images: dict[str, ImageSummary] = dataclasses.field(default_factory=dict)
    aux: dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)

    def show(self, name: str, kind: str, images: tf.Tensor) -> None:
        """Adds an image summary of the first `SHOWN_IMAGES` images.

        Args:
          name: of the summary.
          kind: see `ImageSummary`; or "scores" for [images, height, width, classes],
            shown as the most probable class.
          images: one image per example of the batch.
        """
        images = images[:SHOWN_IMAGES]
        if kind == "scores":
            kind, images = "label", tf.argmax(images, -1, tf.int32)
        self.images[name] = ImageSummary(kind, images)

    def add(self, other: "StepOutput") -> None:
        """Adds everything of another output to this one.

        Raises:
          ValueError: both have a loss of the same name.
        """
        for name in self.losses.keys() & other.losses.keys():
            raise ValueError(f"A step has two losses called '{name}'.")
        for field in dataclasses.fields(self):
            getattr(self, field.name).update(getattr(other, field.name))


Outputs = Union[StepOutput, Iterator[StepOutput]]


def outputs(returned: Outputs) -> Iterator[StepOutput]:
    """Iterates over what `Method.compute_losses` returned."""
    return returned if inspect.isgenerator(returned) else iter([returned])


@gin.configurable(allowlist=["supervised_loss"])
class Method(tf.Module):
    """A way to train a model on a batch of labeled (and unlabeled) images."""

    # Whether batches have "unlabeled" images too.
    uses_unlabeled = False
    # Number of strong views of each unlabeled image: "strong", "strong_2", ...
    strong_views = 1
    # Whether it mixes unlabeled images of a replica (CutMix, ClassMix).
    mixes_images = False
    # Whether it has a moving average of the network, `self.teacher.model`.
    has_teacher = False
    # Whether it trains the image classifier.
    trains_classifier = False

    def __init__(
        self,
        model: SegmentationNetwork,
        ignore_label: int,
        supervised_loss: Callable[..., tf.Tensor] = losses.softmax_cross_entropy,
    ):
        """Creates the method.

        Args:
          model: the network to train, with its variables.
          ignore_label: label of pixels without ground truth.
          supervised_loss: loss of the labeled images, in every method. Called as
            `supervised_loss(logits, labels, ignore_label=..., step=..., count=...)`;
            `softmax_cross_entropy` (which takes class weights) or
            `ohem_cross_entropy`.
        """
        super().__init__()
        self.model = model
        self.ignore_label = ignore_label
        self.supervised_loss = supervised_loss
        self.auxiliary = None

    def build(self) -> None:
        """Creates the method's variables; called in the strategy's scope."""

    def on_start(self) -> None:
        """Called before the first step, when the network has its initial weights."""

    def loss_normalizers(self, batch: Batch) -> dict[str, tf.Tensor]:
        """The divisors of losses that depend only on the batch.

        Args:
          batch: see `compute_losses`.

        Returns:
          Scalars by name, float32. `compute_losses` gets their mean over all parts of
          the global batch, so that the mean of the parts' losses is the loss of the
          global batch.
        """
        labels = batch["labeled"]["label"]
        return {"labeled": losses.count_labeled(labels, self.ignore_label)}

    @abc.abstractmethod
    def compute_losses(
        self,
        batch: Batch,
        global_step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        loss_normalizers: Mapping[str, tf.Tensor],
    ) -> Outputs:
        """Computes the losses of one part of the batch.

        A method with several passes may be a generator that yields an output after each
        pass. Its losses are differentiated immediately, which frees the activations of
        a pass before the next pass. Gradients of later losses do not reach earlier
        passes.

        Args:
          batch: {"labeled": {...}, "unlabeled": {...}}, see `data.input_pipeline`.
          global_step: the training step, int64 scalar.
          progress: finished share of the run, 0..1, float32 scalar.
          seed: the run's seed. Each random number depends only on the seed, the
            example's position in the stream, and the random stream.
          loss_normalizers: the mean of `loss_normalizers` over the parts. A loss
            without an entry divides by its own `distributed.mean_count`.
        """

    def on_update_end(
        self, global_step: tf.Tensor, aux: Mapping[str, tf.Tensor]
    ) -> None:
        """Called after the optimizer update (EMA, memory bank), on every replica.

        Args:
          global_step: see `compute_losses`.
          aux: `StepOutput.aux` of all micro-batches of this replica, stacked: each
            tensor is [micro-batches, ...].
        """
        del global_step, aux  # Most methods do nothing here.

    def class_scores(
        self, images: tf.Tensor, valid: tf.Tensor, image_labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Further class scores, for visualization.

        Computed in inference mode, so that an image's scores do not depend on the other
        images of the batch.

        Args:
          images: [batch, height, width, 3], float32, in 0..255.
          valid: [batch, height, width], float32, 0 in the padding.
          image_labels: [batch, classes - 1], float32, 1 for the classes in the image;
            for methods that use image-level labels in training.

        Returns:
          Scores in 0..1 by title, each [batch, h, w, classes], float32; none by
          default.
        """
        del images, valid, image_labels
        return {}

    def labeled_loss(
        self,
        logits: tf.Tensor,
        labeled: Mapping[str, tf.Tensor],
        global_step: tf.Tensor,
        loss_normalizers: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        """The supervised loss, scalar float32.

        Args:
          logits: [batch, h, w, classes], float32.
          labeled: the labeled part of the batch.
          global_step: see `compute_losses`.
          loss_normalizers: see `compute_losses`.
        """
        return self.supervised_loss(
            logits,
            labeled["label"],
            ignore_label=self.ignore_label,
            step=global_step,
            count=loss_normalizers.get("labeled"),
        )

    def build_auxiliary_head(self) -> None:
        """Creates a second head on an earlier end point of the backbone."""
        self.auxiliary = self.model.create_auxiliary_head("auxiliary", AUXILIARY_STRIDE)

    def auxiliary_loss(
        self,
        end_points: EndPoints,
        dropout_seeds: tf.Tensor,
        labeled: Mapping[str, tf.Tensor],
        global_step: tf.Tensor,
        loss_normalizers: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        """The supervised loss of the second head, scalar float32.

        Args:
          end_points: of the backbone, the labeled images first. The head's batch norm
            sees all images, the loss only the labeled ones.
          dropout_seeds: [images, 2], int32.
          labeled, global_step, loss_normalizers: see `labeled_loss`.
        """
        end_point = self.model.end_point(end_points, AUXILIARY_STRIDE)
        logits = self.auxiliary(end_point, dropout_seeds)
        return self.labeled_loss(
            logits[: labeled["image"].shape[0]], labeled, global_step, loss_normalizers
        )

    @property
    def regularized_variables(self) -> list[tf.Variable]:
        """The variables with weight decay: all kernels but depthwise ones."""
        auxiliary = [] if self.auxiliary is None else kernels(self.auxiliary)
        return self.model.regularized_variables + auxiliary

    @property
    def other_variables(self) -> list[tf.Variable]:
        """State of the training that is in no layer of the model."""
        return []

    @property
    def evaluated_networks(self) -> dict[str, SegmentationNetwork]:
        """The networks to evaluate, by name; the first is the method's result."""
        if self.has_teacher:
            return {"teacher": self.teacher.model, "student": self.model}
        return {"model": self.model}


def kernels(module: tf.Module) -> list[tf.Variable]:
    """The kernels of a module's convolutions, without the depthwise ones."""
    named = named_variables(module)
    return [named[name] for name in sorted(named) if name.endswith("/weights")]


def draw_seeds(seed: int, images: Mapping[str, tf.Tensor], stream: int) -> tf.Tensor:
    """One seed per image, which does not depend on the image's replica.

    Args:
      seed: the run's.
      images: a part of the batch; "position", [batch], is each image's position in the
        stream of examples.
      stream: number of the random stream; each use in a step has its own.

    Returns:
      [batch, 2], int32.
    """
    # The default generator depends on the device, and on whether XLA compiles.
    key = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, stream], tf.int32), 0, alg="philox"
    )
    positions = tf.cast(images["position"], tf.int32)
    return tf.stack([tf.fill(tf.shape(positions), key[0]), positions], axis=1)


def supervised_output(
    loss: tf.Tensor, labeled: Mapping[str, tf.Tensor], logits: tf.Tensor
) -> StepOutput:
    """An output with the supervised loss and images, labels and predictions.

    Args:
      loss: scalar, float32.
      labeled: the labeled part of the batch.
      logits: [batch, h, w, classes], float32.
    """
    output = StepOutput(losses={"supervised": loss})
    output.show("labeled/image", "rgb", labeled["image"])
    output.show("labeled/label", "label", labeled["label"])
    output.show("labeled/prediction", "scores", logits)
    return output
