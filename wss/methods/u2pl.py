"""U2PL: reliable pixels of the teacher are pseudo labels, unreliable ones negatives.

Source: "Semi-Supervised Semantic Segmentation Using Unreliable Pseudo-Labels" (Wang et
al., CVPR 2022) and `train_semi.py` of its published code.
"""

import enum
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Optional

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.methods.base import (
    Batch,
    Method,
    StepOutput,
    draw_seeds,
    kernels,
    supervised_output,
)
from wss.methods.components import cutmix, memory_bank, reliability
from wss.models import ema
from wss.models.backbone import mean_pixel
from wss.models.layers import EndPoints
from wss.models.network import SegmentationNetwork
from wss.models.tf1_checkpoint import named_variables
from wss.ops import distributed, metrics
from wss.ops.distributed import Ratio
from wss.ops.random import per_example_uniform
from wss.ops.resize import resize_bilinear, resize_nearest
from wss.settings import Count, NonNegative, Percent, Share

Images = Mapping[str, tf.Tensor]

MIXINGS = ("cutmix", "classmix", "cutout", "none")
TEACHER_STATISTICS = ("average", "own")


class RngStream(enum.IntEnum):
    """The random streams of a step."""

    LABELED = 0  # Dropout of the student, then of the teacher.
    UNLABELED = 1
    TEACHER_LABELED = 2
    TEACHER_UNLABELED = 3
    WHETHER_MIXED = 4
    MIXED_PARTS = 5
    CONTRAST = 6
    AUXILIARY_LABELED = 7
    AUXILIARY_UNLABELED = 8


class Prediction(NamedTuple):
    """Logits [batch, h, w, classes] and representations [batch, h, w, depth]."""

    logits: tf.Tensor
    representations: tf.Tensor


class View(NamedTuple):
    """The mixed unlabeled images and their labels.

    Attributes:
      images: [batch, height, width, 3], float32, 0..255.
      label: [batch, height, width], int32, the teacher's pseudo label; the ignore label
        in the padding.
      truth: [batch, height, width], int32, for the monitors only.
      valid: [batch, height, width], float32, 0 in the padding.
    """

    images: tf.Tensor
    label: tf.Tensor
    truth: tf.Tensor
    valid: tf.Tensor


class Network(tf.Module):
    """A network and its representation head."""

    def __init__(self, model: SegmentationNetwork, depth: int):
        super().__init__()
        self.model = model
        self.head = model.create_head("representation", depth)

    def __call__(
        self, images: tf.Tensor, training: bool, dropout_seeds: Optional[tf.Tensor]
    ) -> Prediction:
        end_points = self.model.backbone(images, training=training)
        return self.read(end_points, training, dropout_seeds)

    def read(
        self, end_points: EndPoints, training: bool, dropout_seeds: Optional[tf.Tensor]
    ) -> Prediction:
        """The prediction from the backbone's end points."""
        fused = self.model.fuse(end_points, training, dropout_seeds)
        return Prediction(
            self.model.read_logits(fused, training, dropout_seeds),
            self.head(fused, training, dropout_seeds),
        )


@gin.configurable(denylist=["model", "ignore_label"])
class U2PL(Method):
    """Supervised, unsupervised and contrastive loss; optionally an auxiliary one."""

    uses_unlabeled = True
    has_teacher = True
    # Its variables have the student's names, and the optimizer trains only the student.
    _TF_MODULE_IGNORED_PROPERTIES = Method._TF_MODULE_IGNORED_PROPERTIES | {"teacher"}

    def __init__(
        self,
        model: SegmentationNetwork,
        ignore_label: int,
        *,
        warm_up_steps: Count = 1,
        mixing: Literal[MIXINGS] = "cutmix",
        mixing_probability: Share = 0.5,
        unreliable_percent: Percent = 20.0,
        contrastive_weight: NonNegative = 0.1,
        teacher_decay: Share = 0.99,
        teacher_statistics: Literal[TEACHER_STATISTICS] = "average",
        auxiliary_weight: NonNegative = 0.0,
    ):
        """Creates the method.

        Args:
          model: the network to train.
          ignore_label: label of pixels without ground truth.
          warm_up_steps: number of supervised-only steps, at least one; the teacher
            equals the student until then.
          mixing: "cutmix", "classmix", "cutout" or "none": augmentation of the
            student's unlabeled images.
          mixing_probability: share of the steps with mixing.
          unreliable_percent: percentage of unreliable pixels at the start of the run;
            it falls linearly to 0. Anchors and positives come from the same percentage
            of pixels, those of the lowest entropy.
          contrastive_weight: factor of the contrastive loss.
          teacher_decay: largest decay of the EMA update.
          teacher_statistics: "average": the teacher uses the moving averages of the
            student's batch-norm statistics; "own": it uses the statistics of the batch,
            as the published code does.
          auxiliary_weight: factor of the supervised loss of a second head on an earlier
            end point of the student's backbone; 0 for no such head.

        Raises:
          UserError: unknown `mixing` or `teacher_statistics`.
        """
        super().__init__(model, ignore_label)
        _check_choice("mixing", mixing, MIXINGS)
        _check_choice("teacher_statistics", teacher_statistics, TEACHER_STATISTICS)
        self.warm_up_steps = max(1, warm_up_steps)
        self.mixing = mixing
        self.mixing_probability = mixing_probability
        self.unreliable_percent = unreliable_percent
        self.contrastive_weight = contrastive_weight
        self.teacher_decay = teacher_decay
        self.teacher_measures = teacher_statistics == "own"
        self.auxiliary_weight = auxiliary_weight
        self.mixes_images = mixing in ("cutmix", "classmix") and mixing_probability > 0
        self.hole = mean_pixel(model.variant)  # Color of CutOut's holes.

    def build(self) -> None:
        """Creates the method's variables."""
        self.contrast = memory_bank.Contrast(self.model.num_classes)
        self.student = Network(self.model, self.contrast.depth)
        self.teacher = Network(self.model.clone(), self.contrast.depth)
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
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        view = self._mix(unlabeled, self._pseudo_label(unlabeled), seed)
        images = tf.concat([labeled["image"], view.images], 0)
        dropout_seeds = _draw_seeds(seed, batch, RngStream.LABELED, RngStream.UNLABELED)
        end_points = self.model.backbone(images, training=True)
        student = self.student.read(end_points, True, dropout_seeds)
        if self.teacher_measures:
            dropout_seeds = _draw_seeds(
                seed, batch, RngStream.TEACHER_LABELED, RngStream.TEACHER_UNLABELED
            )
            teacher = self.teacher(images, True, dropout_seeds)
        else:
            teacher = self.teacher(images, False, None)
        teacher = Prediction(*map(tf.stop_gradient, teacher))

        logits = student.logits[: labeled["image"].shape[0]]
        loss = self.labeled_loss(logits, labeled, global_step, loss_normalizers)
        output = supervised_output(loss, labeled, logits)
        if self.auxiliary is not None:
            dropout_seeds = _draw_seeds(
                seed, batch, RngStream.AUXILIARY_LABELED, RngStream.AUXILIARY_UNLABELED
            )
            loss = self.auxiliary_loss(
                end_points, dropout_seeds, labeled, global_step, loss_normalizers
            )
            output.losses["auxiliary"] = self.auxiliary_weight * loss
        learns = tf.cast(global_step >= self.warm_up_steps, tf.float32)
        self._learn_unlabeled(
            batch, view, student, teacher, learns, progress, seed, output
        )
        return output

    def on_update_end(
        self, global_step: tf.Tensor, aux: Mapping[str, tf.Tensor]
    ) -> None:
        """EMA update of the teacher; pushes the keys of all parts to the banks."""
        decay = ema.decay_at(global_step, self.warm_up_steps, self.teacher_decay)
        statistics_decay = None
        if self.teacher_measures:
            statistics_decay = tf.cast(decay > 0, tf.float32)
        ema.update(self.teacher, self.student, decay, statistics_decay)
        self.contrast.push(**distributed.gather(dict(aux)))

    @property
    def regularized_variables(self) -> list[tf.Variable]:
        """See `Method.regularized_variables`; with the representation head."""
        return super().regularized_variables + kernels(self.student.head)

    @property
    def other_variables(self) -> list[tf.Variable]:
        """The teacher and the memory banks."""
        teacher = named_variables(self.teacher)
        bank = self.contrast.bank
        return [*teacher.values(), bank.rows, bank.pushed]

    def _pseudo_label(self, unlabeled: Images) -> tf.Tensor:
        """The teacher's classes for the weak view; the ignore label in the padding."""
        images = unlabeled["weak"]
        logits = self.teacher.model(images, training=False)
        logits = resize_bilinear(logits, tuple(images.shape[1:3]))
        labels = tf.argmax(logits, -1, tf.int32)
        return tf.where(unlabeled["valid"] > 0, labels, self.ignore_label)

    def _mix(self, unlabeled: Images, label: tf.Tensor, seed: int) -> View:
        view = View(unlabeled["weak"], label, unlabeled["label"], unlabeled["valid"])
        if self.mixing == "none":
            return view
        seeds = draw_seeds(seed, unlabeled, RngStream.MIXED_PARTS)
        if self.mixing == "classmix":
            parts = ~cutmix.draw_half_classes(seeds, label, self.model.num_classes)
        else:
            parts = cutmix.draw_half_boxes(seeds, tuple(label.shape[1:]))
        # One random number for all images, as in the published code.
        number = per_example_uniform(
            [], draw_seeds(seed, unlabeled, RngStream.WHETHER_MIXED)[:1]
        )
        parts &= number < self.mixing_probability
        if self.mixing != "cutout":
            return View(*(cutmix.paste(parts, part) for part in view))
        images = tf.where(parts[..., tf.newaxis], self.hole, view.images)
        return view._replace(
            images=images, label=tf.where(parts, self.ignore_label, label)
        )

    def _learn_unlabeled(
        self,
        batch: Batch,
        view: View,
        student: Prediction,
        teacher: Prediction,
        learns: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        output: StepOutput,
    ) -> None:
        """Adds the losses of the unlabeled images and the keys for the banks.

        `learns` is 0 in the warm-up and 1 after it.
        """
        percent = reliability.unreliable_percent(progress, self.unreliable_percent)
        truth = batch["labeled"]["label"]
        count, size = truth.shape[0], tuple(truth.shape[1:])
        logits = resize_bilinear(teacher.logits[count:], size)
        entropy = reliability.entropy(tf.nn.softmax(logits))
        unsupervised, reliable, threshold = (
            reliability.reliability_weighted_cross_entropy(
                resize_bilinear(student.logits[count:], size),
                view.label,
                entropy,
                view.valid,
                100.0 - percent,
                self.ignore_label,
            )
        )
        output.losses["unsupervised"] = learns * unsupervised
        known = view.label != self.ignore_label
        low = known & (entropy <= reliability.percentile(entropy, known, percent))
        high = known & (entropy >= threshold)
        seeds = draw_seeds(seed, batch["unlabeled"], RngStream.CONTRAST)
        contrast, aux = self._contrast(
            truth, view.label, low, high, student, teacher, seeds[0]
        )
        output.losses["contrastive"] = learns * self.contrastive_weight * contrast
        output.aux = {**aux, "present": learns * aux["present"]}
        output.histograms["entropy"] = entropy
        predictions = student.logits[count:]
        self._monitor(batch["unlabeled"], view, reliable, predictions, output)

    def _contrast(
        self,
        truth: tf.Tensor,
        pseudo_label: tf.Tensor,
        low: tf.Tensor,
        high: tf.Tensor,
        student: Prediction,
        teacher: Prediction,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """`Contrast.compute` at the resolution of the representations."""
        size = tuple(teacher.logits.shape[1:3])
        labeled = truth != self.ignore_label
        labels = tf.concat([truth, pseudo_label], 0)
        labels, low, high = (
            tf.reshape(resize_nearest(part, size, align_corners=True), [-1])
            for part in (
                tf.where(labels == self.ignore_label, -1, labels),
                tf.cast(tf.concat([labeled, low], 0), tf.int32),
                tf.cast(tf.concat([labeled, high], 0), tf.int32),
            )
        )
        depth = self.contrast.depth
        return self.contrast.compute(
            labels,
            low > 0,
            high > 0,
            tf.nn.softmax(tf.reshape(teacher.logits, [-1, self.model.num_classes])),
            tf.reshape(student.representations, [-1, depth]),
            tf.reshape(teacher.representations, [-1, depth]),
            truth.shape[0] * size[0] * size[1],
            seed,
        )

    def _monitor(
        self,
        unlabeled: Images,
        view: View,
        reliable: tf.Tensor,
        logits: tf.Tensor,
        output: StepOutput,
    ) -> None:
        """Adds accuracy and share of the reliable pixels, and images, to the output."""
        size = tuple(logits.shape[1:3])
        counted = tf.cast(reliable, tf.float32)
        known = tf.cast(view.label != self.ignore_label, tf.float32)
        truth, labels, kept = (
            resize_nearest(part, size, align_corners=True)
            for part in (view.truth, view.label, counted)
        )
        counts = (truth != self.ignore_label) & (labels != self.ignore_label)
        for name, where in {
            "pseudo_label_accuracy": counts,
            "reliable_accuracy": counts & (kept > 0),
        }.items():
            output.monitors[name] = metrics.balanced_accuracy(
                truth, labels, where, self.model.num_classes
            )
        learned = tf.reduce_sum(counted)
        output.monitors["reliable_share"] = Ratio(learned, tf.reduce_sum(known))
        output.monitors["mask_ratio"] = tf.reduce_mean(counted)
        output.monitors["bank_fill"] = self.contrast.fill
        for name, kind, images in (
            ("weak", "rgb", unlabeled["weak"]),
            ("mixed", "rgb", view.images),
            ("label", "label", view.truth),
            ("pseudo_label", "label", view.label),
            ("reliable", "mask", counted),
            ("prediction", "scores", logits),
        ):
            output.show(f"unlabeled/{name}", kind, images)


def _draw_seeds(
    seed: int, batch: Batch, labeled: RngStream, unlabeled: RngStream
) -> tf.Tensor:
    """`draw_seeds` of the labeled images, then of the unlabeled ones."""
    return tf.concat(
        [
            draw_seeds(seed, batch["labeled"], labeled),
            draw_seeds(seed, batch["unlabeled"], unlabeled),
        ],
        0,
    )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise UserError(
            f"U2PL.{name} = {value!r}: it has to be one of {', '.join(choices)}."
        )
