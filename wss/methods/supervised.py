"""The supervised baseline: only the labeled images."""

import enum
from collections.abc import Mapping

import gin
import tensorflow as tf

from wss.methods.base import (
    Batch,
    Method,
    StepOutput,
    draw_seeds,
    supervised_output,
)
from wss.models.network import SegmentationNetwork
from wss.settings import NonNegative


class RngStream(enum.IntEnum):
    """The random streams of a step."""

    LABELED_DROPOUT = 0
    AUXILIARY_DROPOUT = 1


@gin.configurable(denylist=["model", "ignore_label"])
class Supervised(Method):
    """The supervised loss, and optionally an auxiliary one."""

    def __init__(
        self,
        model: SegmentationNetwork,
        ignore_label: int,
        *,
        auxiliary_weight: NonNegative = 0.0
    ):
        """Creates the method.

        Args:
          model: the network to train.
          ignore_label: label of pixels without ground truth.
          auxiliary_weight: factor of the loss of a second head on an earlier end point
            of the backbone; 0 for no such head.
        """
        super().__init__(model, ignore_label)
        self.auxiliary_weight = auxiliary_weight

    def build(self) -> None:
        """Creates the second head, if `auxiliary_weight` is not 0."""
        if self.auxiliary_weight:
            self.build_auxiliary_head()

    def compute_losses(
        self,
        batch: Batch,
        global_step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        loss_normalizers: Mapping[str, tf.Tensor],
    ) -> StepOutput:
        """See `Method.compute_losses`."""
        labeled = batch["labeled"]
        end_points = self.model.backbone(labeled["image"], training=True)
        logits = self.model.segment(
            end_points,
            training=True,
            dropout_seeds=draw_seeds(seed, labeled, RngStream.LABELED_DROPOUT),
        )
        loss = self.labeled_loss(logits, labeled, global_step, loss_normalizers)
        output = supervised_output(loss, labeled, logits)
        if self.auxiliary is not None:
            seeds = draw_seeds(seed, labeled, RngStream.AUXILIARY_DROPOUT)
            loss = self.auxiliary_loss(
                end_points, seeds, labeled, global_step, loss_normalizers
            )
            output.losses["auxiliary"] = self.auxiliary_weight * loss
        return output
