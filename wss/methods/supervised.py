"""The supervised baseline: the labeled images alone."""

import enum
from typing import Mapping

import gin
import tensorflow as tf

from wss.methods.base import (
    Batch,
    Method,
    StepOutput,
    draw_seeds,
    segmentation_panels,
)
from wss.models.deeplab import DeepLabV3Plus
from wss.settings import NonNegative


class Draw(enum.IntEnum):
    """What the random draws of a step are for."""

    LABELED_DROPOUT = 0
    AUXILIARY_DROPOUT = 1


@gin.configurable(denylist=["model", "ignore_label"])
class Supervised(Method):
    """The labeled images' loss alone; an auxiliary one if asked for."""

    def __init__(
        self,
        model: DeepLabV3Plus,
        ignore_label: int,
        *,
        auxiliary_weight: NonNegative = 0.0
    ):
        """Creates the method.

        Args:
          model: the network to train.
          ignore_label: label of pixels without truth.
          auxiliary_weight: factor of the loss of a second head, which sees an earlier
            end point of the backbone; 0 for no such head.
        """
        super().__init__(model, ignore_label)
        self.auxiliary_weight = auxiliary_weight

    def build(self) -> None:
        """Creates the second head, if there is one."""
        if self.auxiliary_weight:
            self.build_auxiliary_head()

    def step(
        self,
        batch: Batch,
        step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        counts: Mapping[str, tf.Tensor],
    ) -> StepOutput:
        """See `Method.step`."""
        labeled = batch["labeled"]
        end_points = self.model.backbone(labeled["image"], training=True)
        logits = self.model.segment(
            end_points,
            training=True,
            dropout_seeds=draw_seeds(seed, labeled, Draw.LABELED_DROPOUT),
        )
        output = StepOutput(
            losses={"supervised": self.labeled_loss(logits, labeled, step, counts)},
            panels=segmentation_panels(labeled, logits),
        )
        if self.auxiliary is not None:
            seeds = draw_seeds(seed, labeled, Draw.AUXILIARY_DROPOUT)
            loss = self.auxiliary_loss(end_points, seeds, labeled, step, counts)
            output.losses["auxiliary"] = self.auxiliary_weight * loss
        return output
