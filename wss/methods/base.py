"""What the training loop asks of a learning method.

A method is one file: a class that turns a batch into named losses. Nothing else has to
be edited to add one; `docs/add_a_method.md` walks through an example.
"""

import abc
from typing import Callable, Dict, List, Mapping

import gin
import tensorflow as tf

from wss.methods.step_output import Outputs, Panel, StepOutput
from wss.models.deeplab import DeepLabV3Plus
from wss.models.layers import EndPoints
from wss.models.tf1_checkpoint import named_variables
from wss.ops import losses

Batch = Mapping[str, Mapping[str, tf.Tensor]]

# How many images of a batch the summaries show.
SHOWN_IMAGES = 2
# What the original calls the end point of the block before the last.
AUXILIARY_STRIDE = 15

__all__ = [
    "SHOWN_IMAGES",
    "Batch",
    "Method",
    "Panel",
    "StepOutput",
    "draw_seeds",
    "segmentation_panels",
]


@gin.configurable(allowlist=["supervised_loss"])
class Method(tf.Module):
    """A way to learn a model from a batch of labeled (and unlabeled) images."""

    # Whether batches carry "unlabeled" images beside the "labeled" ones.
    uses_unlabeled = False
    # How many strong views of them: "strong", "strong_2" and so on.
    strong_views = 1
    # Whether it mixes the unlabeled images of a replica with one another.
    mixes_images = False
    # Whether it keeps a moving average of the network, `self.teacher.model`.
    has_teacher = False
    # Whether the network's classifier of whole images learns something.
    trains_classifier = False

    def __init__(
        self,
        model: DeepLabV3Plus,
        ignore_label: int,
        supervised_loss: Callable[..., tf.Tensor] = losses.softmax_cross_entropy,
    ):
        """Takes the model to train.

        Args:
          model: the network, with its variables.
          ignore_label: label of pixels without truth.
          supervised_loss: of the labeled images, for every method. Called as
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
        """Creates the method's own variables; called under the strategy's scope."""

    def counts(self, batch: Batch) -> Dict[str, tf.Tensor]:
        """What the losses divide by, as far as the batch alone decides it.

        Args:
          batch: as for `step`.

        Returns:
          Scalars by name, float32. `step` gets their mean over all parts of the global
          batch: divided by it, the mean of the parts' losses is the loss of the whole.
        """
        labels = batch["labeled"]["label"]
        return {"labeled": losses.count_labeled(labels, self.ignore_label)}

    @abc.abstractmethod
    def step(
        self,
        batch: Batch,
        step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        counts: Mapping[str, tf.Tensor],
    ) -> Outputs:
        """Computes the losses of one part of the batch.

        A method whose losses come from several passes may be a generator that yields an
        output with the losses of each. They are differentiated at once, so that what a
        pass keeps for its way back is gone when the next pass begins. No gradient of
        later losses reaches the tensors of earlier passes.

        Args:
          batch: {"labeled": {...}, "unlabeled": {...}}, see `data.input_pipeline`.
          step: the training step, int64 scalar.
          progress: share of the training that is done, 0..1, float32 scalar.
          seed: the run's seed; every draw is a function of seed, the example's place in
            the stream, and purpose.
          counts: the mean of `counts` over the parts. A loss without an entry divides
            by `distributed.mean_count`.
        """

    def after_update(self, step: tf.Tensor, kept: Mapping[str, tf.Tensor]) -> None:
        """Changes what the method has beside the weights, behind their update.

        Called on every replica, once a step.

        Args:
          step: as for `step`.
          kept: what `step` kept, of all portions of this replica's images: each tensor
            has the portions in front, [portions, ...].
        """
        del step, kept  # Nothing is to be done, in most methods.

    def class_scores(
        self, images: tf.Tensor, valid: tf.Tensor, image_labels: tf.Tensor
    ) -> Dict[str, tf.Tensor]:
        """What else than its prediction the method sees in images, to be looked at.

        In inference mode, so that what an image gives does not depend on others.

        Args:
          images: [batch, height, width, 3], float32, in 0..255.
          valid: [batch, height, width], float32, 0 in the padding.
          image_labels: [batch, classes - 1], float32, 1 for what the images show. A
            method that has them in training may use them.

        Returns:
          By the name to show, scores of the classes in 0..1, [batch, h, w, classes],
          float32. Most methods have none.
        """
        del images, valid, image_labels
        return {}

    def labeled_loss(
        self,
        logits: tf.Tensor,
        labeled: Mapping[str, tf.Tensor],
        step: tf.Tensor,
        counts: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        """The loss of the labeled images, scalar float32.

        Args:
          logits: [batch, h, w, classes], float32.
          labeled: that part of the batch.
          step: as for `step`.
          counts: as for `step`.
        """
        return self.supervised_loss(
            logits,
            labeled["label"],
            ignore_label=self.ignore_label,
            step=step,
            count=counts.get("labeled"),
        )

    def build_auxiliary_head(self) -> None:
        """Creates a second head, which sees an earlier end point of the backbone."""
        self.auxiliary = self.model.create_auxiliary_head("auxiliary", AUXILIARY_STRIDE)

    def auxiliary_loss(
        self,
        end_points: EndPoints,
        dropout_seeds: tf.Tensor,
        labeled: Mapping[str, tf.Tensor],
        step: tf.Tensor,
        counts: Mapping[str, tf.Tensor],
    ) -> tf.Tensor:
        """The labeled images' loss of the second head, scalar float32.

        Args:
          end_points: of the backbone, the labeled images first. Batch norm sees all
            images, the loss the labeled ones.
          dropout_seeds: int32 [batch, 2], one for each image.
          labeled, step, counts: as for `labeled_loss`.
        """
        end_point = self.model.end_point(end_points, AUXILIARY_STRIDE)
        logits = self.auxiliary(end_point, dropout_seeds)
        return self.labeled_loss(
            logits[: labeled["image"].shape[0]], labeled, step, counts
        )

    @property
    def regularized_variables(self) -> List[tf.Variable]:
        """The variables that weight decay shrinks: kernels, not depthwise ones."""
        auxiliary = [] if self.auxiliary is None else kernels(self.auxiliary)
        return self.model.regularized_variables + auxiliary

    @property
    def other_variables(self) -> List[tf.Variable]:
        """What training goes on from beside the layers' variables."""
        return []

    @property
    def evaluated_networks(self) -> Dict[str, DeepLabV3Plus]:
        """The networks to evaluate; the first is the method's result."""
        if self.has_teacher:
            return {"teacher": self.teacher.model, "student": self.model}
        return {"model": self.model}


def kernels(module: tf.Module) -> List[tf.Variable]:
    """Kernels of all but the depthwise convolutions of a module."""
    named = named_variables(module)
    return [named[name] for name in sorted(named) if name.endswith("/weights")]


def draw_seeds(seed: int, images: Mapping[str, tf.Tensor], purpose: int) -> tf.Tensor:
    """The seeds of one random draw for each image, whichever replica it is on.

    Args:
      seed: the run's.
      images: a part of the batch, with the "position" of each in the stream, [batch].
      purpose: tells this draw from the others of the step.

    Returns:
      int32 [batch, 2].
    """
    # The default generator depends on the device, and on whether XLA compiles.
    key = tf.random.experimental.stateless_fold_in(
        tf.constant([seed, purpose], tf.int32), 0, alg="philox"
    )
    positions = tf.cast(images["position"], tf.int32)
    return tf.stack([tf.fill(tf.shape(positions), key[0]), positions], axis=1)


def segmentation_panels(
    batch: Mapping[str, tf.Tensor], logits: tf.Tensor
) -> Dict[str, Panel]:
    """Image, label and prediction of the first labeled images."""
    return {
        "labeled/image": Panel("rgb", batch["image"][:SHOWN_IMAGES]),
        "labeled/label": Panel("label", batch["label"][:SHOWN_IMAGES]),
        "labeled/prediction": Panel(
            "label", tf.argmax(logits[:SHOWN_IMAGES], -1, tf.int32)
        ),
    }
