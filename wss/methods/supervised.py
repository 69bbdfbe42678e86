"""The supervised baseline: the labeled images alone."""

import enum
from typing import Dict, Mapping

import gin
import tensorflow as tf

from wss import losses
from wss.methods.base import (
    Batch,
    Method,
    StepOutput,
    draw_seeds,
    segmentation_panels,
)


class Draw(enum.IntEnum):
    """What the random draws of a step are for."""

    LABELED_DROPOUT = 0


@gin.configurable(denylist=["model", "ignore_label"])
class Supervised(Method):
    """Cross entropy on the labeled images."""

    def counts(self, batch: Batch) -> Dict[str, tf.Tensor]:
        """See `Method.counts`."""
        labels = batch["labeled"]["label"]
        return {"labeled": losses.count_labeled(labels, self.ignore_label)}

    def step(
        self,
        batch: Batch,
        step: tf.Tensor,
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
        supervised = losses.softmax_cross_entropy(
            logits,
            labeled["label"],
            ignore_label=self.ignore_label,
            step=step,
            count=counts.get("labeled"),
        )
        return StepOutput(
            losses={"supervised": supervised},
            panels=segmentation_panels(labeled, logits),
        )
