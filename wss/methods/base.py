"""What the training loop asks of a learning method.

A method is one file: a class that turns a batch into named losses. Nothing else has to
be edited to add one; `docs/add_a_method.md` walks through an example.
"""

import abc
import dataclasses
import functools
from typing import Dict, List, Mapping

import tensorflow as tf

from wss.models.deeplab import DeepLabV3Plus

# How many images of a batch the summaries show.
SHOWN_IMAGES = 2


@dataclasses.dataclass(frozen=True)
class Panel:
    """Images for the summaries.

    Attributes:
      kind: "rgb" for [images, height, width, 3] in 0..255, "label" for class ids
        [images, height, width], "mask" for [images, height, width] in 0..1.
      tensor: the images.
    """

    kind: str
    tensor: tf.Tensor


@dataclasses.dataclass
class StepOutput:
    """What one step of a method gives.

    Attributes:
      losses: scalars by name, float32, of this replica's part of the batch; training
        minimises their sum (plus weight decay).
      monitors: scalars by name, worth a curve.
      histograms: tensors by name, worth a distribution.
      panels: images by name.
    """

    losses: Dict[str, tf.Tensor]
    monitors: Dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    histograms: Dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    panels: Dict[str, Panel] = dataclasses.field(default_factory=dict)


class Method(tf.Module):
    """A way to learn a model from a batch of labeled (and unlabeled) images."""

    # Whether batches carry "unlabeled" images beside the "labeled" ones.
    uses_unlabeled = False

    def __init__(self, model: DeepLabV3Plus, ignore_label: int):
        """Takes the model to train.

        Args:
          model: the network, with its variables.
          ignore_label: label of pixels without truth.
        """
        super().__init__()
        self.model = model
        self.ignore_label = ignore_label

    def build(self) -> None:
        """Creates the method's own variables; called under the strategy's scope."""

    @abc.abstractmethod
    def step(
        self, batch: Mapping[str, Mapping[str, tf.Tensor]], step: tf.Tensor, seed: int
    ) -> StepOutput:
        """Computes the losses of one replica's batch.

        Args:
          batch: {"labeled": {...}, "unlabeled": {...}} as `wss.data.pipeline` makes it.
          step: the training step, int64 scalar.
          seed: the run's seed; every draw is a function of seed, step and purpose.
        """

    @property
    def regularized_variables(self) -> List[tf.Variable]:
        """The variables that weight decay shrinks."""
        return self.model.regularized_variables


def draw_seed(seed: int, step: tf.Tensor, purpose: int) -> tf.Tensor:
    """The seed, int32 [2], of one random draw of a step on this replica."""
    replica = tf.distribute.get_replica_context().replica_id_in_sync_group
    # The default generator depends on the device, and on whether XLA compiles.
    fold_in = functools.partial(tf.random.experimental.stateless_fold_in, alg="philox")
    key = tf.constant([seed, purpose], tf.int32)
    return fold_in(fold_in(key, tf.cast(step, tf.int32)), tf.cast(replica, tf.int32))


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
