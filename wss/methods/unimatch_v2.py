"""UniMatch V2: a teacher labels; two strong views see different halves of the channels.

Source: "UniMatch V2: Pushing the Limit of Semi-Supervised Semantic Segmentation" (Yang
et al., arXiv:2410.10777); `unimatch_v2.py` and `fixmatch.py` of its published code.
"""

import enum
from collections.abc import Mapping

import gin
import tensorflow as tf

from wss.methods.base import (
    Batch,
    Outputs,
    StepOutput,
    draw_seeds,
    supervised_output,
)
from wss.methods.components import complementary_dropout, cutmix
from wss.methods.components.consistency import (
    Target,
    confidence_masked_cross_entropy,
    make_target,
    pasted,
)
from wss.methods.fixmatch import FixMatch, Images
from wss.models import ema
from wss.models.layers import EndPoints
from wss.models.network import SegmentationNetwork
from wss.models.tf1_checkpoint import named_variables
from wss.ops.random import per_example_uniform
from wss.settings import Share


class RngStream(enum.IntEnum):
    """The random streams of a step."""

    LABELED_DROPOUT = 0
    STRONG_DROPOUT = 1
    STRONG_2_DROPOUT = 2
    BOX = 3
    BOX_2 = 4
    CHANNELS = 5
    WHOLE = 6


class Teacher(tf.Module):
    """The moving average of a network."""

    def __init__(self, model: SegmentationNetwork):
        super().__init__()
        self.model = model


@gin.configurable(denylist=["model", "ignore_label"])
class TeacherFixMatch(FixMatch):
    """FixMatch whose weak views are labeled by the moving average of the network."""

    has_teacher = True
    # Its variables have the student's names, and the optimizer trains only the student.
    _TF_MODULE_IGNORED_PROPERTIES = FixMatch._TF_MODULE_IGNORED_PROPERTIES | {"teacher"}

    def __init__(
        self,
        model: SegmentationNetwork,
        ignore_label: int,
        *,
        threshold: Share = 0.95,
        box_probability: Share = 0.5,
        teacher_decay: Share = 0.996,
    ):
        """Creates the method.

        Args:
          model: the network to train.
          ignore_label: label of pixels without ground truth.
          threshold: least confidence of a pixel that the strong views learn.
          box_probability: of each strong view, see `FixMatch`.
          teacher_decay: largest decay of the EMA update.
        """
        super().__init__(
            model, ignore_label, threshold=threshold, box_probability=box_probability
        )
        self.teacher_decay = teacher_decay

    def build(self) -> None:
        """Creates the teacher."""
        self.teacher = Teacher(self.model.clone())
        self.on_start()

    def on_start(self) -> None:
        """The teacher begins as a copy of the network."""
        ema.copy(self.teacher, self.model)

    def compute_losses(
        self,
        batch: Batch,
        global_step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        loss_normalizers: Mapping[str, tf.Tensor],
    ) -> Outputs:
        """See `Method.compute_losses`."""
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        target = self.label(unlabeled)
        boxes = self.draw_boxes(unlabeled, seed, RngStream.BOX)
        strong = cutmix.paste(boxes, unlabeled["strong"])
        images = tf.concat([labeled["image"], strong], 0)
        dropout_seeds = tf.concat(
            [
                draw_seeds(seed, labeled, RngStream.LABELED_DROPOUT),
                draw_seeds(seed, unlabeled, RngStream.STRONG_DROPOUT),
            ],
            0,
        )
        end_points = self.model.backbone(images, training=True)
        logits = self.model.segment(end_points, True, dropout_seeds)
        count = labeled["image"].shape[0]
        strong_logits = self.upsampled(logits[count:], strong)
        logits = logits[:count]
        supervised = self.labeled_loss(logits, labeled, global_step, loss_normalizers)
        output = supervised_output(0.5 * supervised, labeled, logits)
        output.losses["unsupervised"] = 0.5 * confidence_masked_cross_entropy(
            strong_logits, pasted(boxes, target), self.threshold
        )
        self.monitor(unlabeled, target, strong, strong_logits, output)
        return output

    def label(self, unlabeled: Images) -> Target:
        """The teacher's classes for the weak views."""
        logits = self.teacher.model(unlabeled["weak"], training=False)
        return make_target(
            self.upsampled(logits, unlabeled["weak"]), unlabeled["valid"]
        )

    def on_update_end(
        self, global_step: tf.Tensor, aux: Mapping[str, tf.Tensor]
    ) -> None:
        """EMA update of the teacher, also of batch norm's moving averages."""
        del aux
        decay = ema.decay_at(global_step, limit=self.teacher_decay)
        ema.update(self.teacher, self.model, decay)

    @property
    def other_variables(self) -> list[tf.Variable]:
        """The teacher."""
        return list(named_variables(self.teacher).values())


@gin.configurable(denylist=["model", "ignore_label"])
class UniMatchV2(TeacherFixMatch):
    """L = 1/2 (L_supervised + 1/2 L_strong + 1/2 L_strong_2)."""

    strong_views = 2

    def compute_losses(
        self,
        batch: Batch,
        global_step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        loss_normalizers: Mapping[str, tf.Tensor],
    ) -> Outputs:
        """See `Method.compute_losses`."""
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        dropout_seeds = draw_seeds(seed, labeled, RngStream.LABELED_DROPOUT)
        end_points = self.model.backbone(labeled["image"], training=True)
        logits = self.model.segment(end_points, True, dropout_seeds)
        supervised = self.labeled_loss(logits, labeled, global_step, loss_normalizers)
        yield supervised_output(0.5 * supervised, labeled, logits)
        target = self.label(unlabeled)
        boxes = [
            self.draw_boxes(unlabeled, seed, stream)
            for stream in (RngStream.BOX, RngStream.BOX_2)
        ]
        strong = [
            cutmix.paste(box, unlabeled[name])
            for box, name in zip(boxes, ("strong", "strong_2"))
        ]
        strong_logits = self._forward_strong(strong, unlabeled, seed)
        losses = [
            confidence_masked_cross_entropy(view, pasted(box, target), self.threshold)
            for view, box in zip(strong_logits, boxes)
        ]
        output = StepOutput(
            losses={"strong": 0.25 * losses[0], "strong_2": 0.25 * losses[1]}
        )
        self.monitor(unlabeled, target, strong[0], strong_logits[0], output)
        yield output

    def _forward_strong(
        self, views: list[tf.Tensor], unlabeled: Images, seed: int
    ) -> list[tf.Tensor]:
        """Upsampled logits of the two strong views, from one pass."""
        streams = (RngStream.STRONG_DROPOUT, RngStream.STRONG_2_DROPOUT)
        dropout_seeds = [draw_seeds(seed, unlabeled, stream) for stream in streams]
        images = tf.concat(views, 0)
        end_points = self.model.backbone(images, training=True)
        end_points = self._drop_channels(end_points, unlabeled, seed)
        logits = self.model.segment(end_points, True, tf.concat(dropout_seeds, 0))
        return tf.split(self.upsampled(logits, images), 2)

    def _drop_channels(
        self, end_points: EndPoints, unlabeled: Images, seed: int
    ) -> EndPoints:
        """The decoder's inputs; of half of the images each view has half the channels.

        End points with the same number of channels lack the same ones.
        """
        seeds = draw_seeds(seed, unlabeled, RngStream.CHANNELS)
        is_whole = _draw_half(unlabeled, seed)
        dropped = {}
        for name in self.model.decoder_inputs:
            features = end_points[name]
            in_first = per_example_uniform([features.shape[-1]], seeds) < 0.5
            factors = complementary_dropout.factors(in_first, is_whole)
            dropped[name] = features * tf.cast(factors, features.dtype)
        return dropped


def _draw_half(images: Images, seed: int) -> tf.Tensor:
    """Selects one of every two successive images of the stream; [batch], bool."""
    position = images["position"]
    seeds = draw_seeds(seed, {"position": position // 2}, RngStream.WHOLE)
    selects_first = per_example_uniform([], seeds) < 0.5
    return selects_first == (position % 2 == 0)
