"""The supervised baseline: the labeled images alone."""

import enum
from typing import Mapping

import gin
import tensorflow as tf

from wss import losses
from wss.methods.base import Method, StepOutput, draw_seed, segmentation_panels


class Draw(enum.IntEnum):
    """What the random draws of a step are for."""

    LABELED_DROPOUT = 0


@gin.configurable(denylist=["model", "ignore_label"])
class Supervised(Method):
    """Cross entropy on the labeled images."""

    def step(
        self, batch: Mapping[str, Mapping[str, tf.Tensor]], step: tf.Tensor, seed: int
    ) -> StepOutput:
        """See `Method.step`."""
        labeled = batch["labeled"]
        end_points = self.model.backbone(labeled["image"], training=True)
        logits = self.model.segment(
            end_points,
            training=True,
            dropout_seed=draw_seed(seed, step, Draw.LABELED_DROPOUT),
        )
        supervised = losses.softmax_cross_entropy(
            logits, labeled["label"], ignore_label=self.ignore_label, step=step
        )
        return StepOutput(
            losses={"supervised": supervised},
            panels=segmentation_panels(labeled, logits),
        )
