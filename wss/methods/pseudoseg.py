"""PseudoSeg: pseudo labels from the decoder and a refined Grad-CAM.

Source: "PseudoSeg: Designing Pseudo Labels for Semantic Segmentation" (Zou et al., ICLR
2021) and `_build_pseudo_seg` in train_wss.py of googleinterns/wss.
"""

import enum
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, Optional

import gin
import tensorflow as tf

from wss.methods.base import (
    Batch,
    Method,
    StepOutput,
    draw_seeds,
    supervised_output,
)
from wss.methods.components.fusion import PseudoLabel, fuse
from wss.methods.components.refined_grad_cam import RefinedGradCam
from wss.models.batch_norm import repeated_updates
from wss.models.layers import EndPoints
from wss.models.network import SegmentationNetwork
from wss.ops import losses, metrics
from wss.ops.distributed import Ratio
from wss.ops.resize import resize_nearest
from wss.settings import Count, Natural, NonNegative, Several

Images = Mapping[str, tf.Tensor]


class RngStream(enum.IntEnum):
    """The random streams of a step."""

    LABELED_DROPOUT = 0
    WEAK_DROPOUT = 1
    STRONG_DROPOUT = 2
    LABELED_CLASSIFIER_DROPOUT = 3
    IMAGE_LABEL_CLASSIFIER_DROPOUT = 4


class WeakView(NamedTuple):
    """The predictions for the weak view, at the resolution of the logits.

    Attributes:
      logits: [batch, h, w, classes], float32, of the decoder.
      maps: [batch, h, w, classes], float32, Grad-CAM; None without attention.
      attention_logits: [batch, h, w, classes], float32, the refined Grad-CAM; None
        without attention.
      pseudo_label: fused from the decoder and the refined Grad-CAM.
    """

    logits: tf.Tensor
    maps: Optional[tf.Tensor]
    attention_logits: Optional[tf.Tensor]
    pseudo_label: PseudoLabel


@gin.configurable(denylist=["model", "ignore_label"])
class PseudoSeg(Method):
    """Four losses: consistency, supervised, attention and classifier."""

    uses_unlabeled = True
    trains_classifier = True

    def __init__(
        self,
        model: SegmentationNetwork,
        ignore_label: int,
        *,
        weakly: bool = False,
        classifier_on_unlabeled: bool = True,
        unlabeled_weight: NonNegative = 1.0,
        ramp_up_steps: Natural = 0,
        use_attention: bool = True,
        attention_strides: Several[Count] = (15, 16),
    ):
        """Creates the method.

        Args:
          model: the network to train.
          ignore_label: label of pixels without ground truth.
          weakly: use image-level labels of the unlabeled images: they select the
            classes of the activation maps and train the classifier. Otherwise the
            classifier's prediction selects the classes.
          classifier_on_unlabeled: with `weakly`, train the classifier on the unlabeled
            images' labels; otherwise on the labeled images'.
          unlabeled_weight: factor of the consistency loss.
          ramp_up_steps: steps over which that factor grows from 0. The original has
            none: it starts from an ImageNet checkpoint. With random weights the first
            pseudo labels are useless.
          use_attention: fuse with the refined Grad-CAM. Otherwise only the decoder
            makes the pseudo labels, and without `weakly` no classifier is trained.
          attention_strides: the end points (named by the original's strides) of the
            hypercolumn. Grad-CAM is computed at the largest. Where that is the
            classifier's own input (16) it has a closed form; elsewhere it costs one
            backward pass per class.
        """
        super().__init__(model, ignore_label)
        self.weakly = weakly
        self.classifier_on_unlabeled = classifier_on_unlabeled
        self.unlabeled_weight = unlabeled_weight
        self.ramp_up_steps = ramp_up_steps
        self.grad_cam = self.attention = None
        if use_attention:
            self.grad_cam = RefinedGradCam(model, attention_strides)
            # Training and checkpoints find its variables here.
            self.attention = self.grad_cam.attention

    def build(self) -> None:
        """Creates the method's variables."""
        if self.grad_cam is not None:
            self.grad_cam.build()

    def loss_normalizers(self, batch: Batch) -> dict[str, tf.Tensor]:
        """See `Method.loss_normalizers`."""
        valid = batch["unlabeled"]["valid"]
        valid = resize_nearest(
            valid, self.model.logits_size(valid.shape[1:]), align_corners=False
        )
        return {**super().loss_normalizers(batch), "valid": tf.reduce_sum(valid)}

    def compute_losses(
        self,
        batch: Batch,
        global_step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        loss_normalizers: Mapping[str, tf.Tensor],
    ) -> Iterator[StepOutput]:
        """See `Method.compute_losses`; `docs/methods.md` has the formulas."""
        labeled, unlabeled = batch["labeled"], batch["unlabeled"]
        weak, output = self._forward_weak(unlabeled, seed)
        yield output  # No gradient flows from the strong view to the weak one.
        yield self._learn_pseudo_label(
            unlabeled, weak, global_step, seed, loss_normalizers
        )
        cross_entropy = functools.partial(
            self.labeled_loss,
            labeled=labeled,
            global_step=global_step,
            loss_normalizers=loss_normalizers,
        )
        yield self._learn_labels(labeled, cross_entropy, seed)

    def _learn_pseudo_label(
        self,
        unlabeled: Images,
        weak: WeakView,
        global_step: tf.Tensor,
        seed: int,
        loss_normalizers: Mapping[str, tf.Tensor],
    ) -> StepOutput:
        """The consistency loss of the strong view."""
        dropout_seeds = draw_seeds(seed, unlabeled, RngStream.STRONG_DROPOUT)
        _, logits = self._forward(unlabeled["strong"], dropout_seeds)
        valid = _at_logits(unlabeled["valid"], logits)
        consistency = losses.consistency(
            logits,
            weak.pseudo_label.probabilities,
            weak.pseudo_label.confident * valid,
            valid,
            loss_normalizers.get("valid"),
        )
        output = StepOutput({"consistency": self._weight(global_step) * consistency})
        _monitor(output, unlabeled, weak, logits, self.ignore_label)
        return output

    def _learn_labels(
        self,
        labeled: Images,
        cross_entropy: Callable[[tf.Tensor], tf.Tensor],
        seed: int,
    ) -> StepOutput:
        """The losses of decoder, attention and classifier on the labeled images."""
        classifier_on_labeled = self.weakly and not self.classifier_on_unlabeled
        # The original has a pass for each of decoder, attention and image labels.
        passes = 1 + (self.grad_cam is not None) + classifier_on_labeled
        dropout_seeds = draw_seeds(seed, labeled, RngStream.LABELED_DROPOUT)
        end_points, logits = self._forward(labeled["image"], dropout_seeds, passes)
        output = supervised_output(cross_entropy(logits), labeled, logits)
        if self.grad_cam is not None:
            mask = self.model.dropout_mask(
                draw_seeds(seed, labeled, RngStream.LABELED_CLASSIFIER_DROPOUT)
            )
            valid = _at_logits(labeled["valid"], logits)
            _, attention_logits = self.grad_cam.compute(
                end_points, labeled["image_labels"], valid, mask
            )
            output.losses["attention"] = cross_entropy(attention_logits)
            if not self.weakly:
                output.losses["classifier"] = self._classifier_loss(
                    end_points, labeled, mask
                )
        if classifier_on_labeled:
            output.losses["classifier"] = self._image_label_loss(
                end_points, labeled, seed
            )
        return output

    def class_scores(
        self, images: tf.Tensor, valid: tf.Tensor, image_labels: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The pseudo label, and the Grad-CAM and attention it is fused from."""
        end_points = self.model.backbone(images, training=False)
        logits = self.model.segment(end_points)
        attention_logits, sources = None, {}
        if self.grad_cam is not None:
            maps, attention_logits = self.grad_cam.compute_upsampled(
                end_points,
                image_labels if self.weakly else None,
                _at_logits(valid, logits),
                training=False,
            )
            sources = {"CAM": maps, "attention": tf.nn.softmax(attention_logits)}
        return {
            "pseudo label": fuse(logits, attention_logits).probabilities,
            **sources,
        }

    def _weight(self, global_step: tf.Tensor) -> tf.Tensor:
        """The factor of the consistency loss at a step."""
        if not self.ramp_up_steps:
            return tf.constant(self.unlabeled_weight, tf.float32)
        progress = tf.cast(global_step, tf.float32) / self.ramp_up_steps
        return self.unlabeled_weight * tf.minimum(1.0, progress)

    def _forward(
        self, images: tf.Tensor, dropout_seeds: tf.Tensor, passes: int = 1
    ) -> tuple[EndPoints, tf.Tensor]:
        """End points and logits [batch, h, w, classes] of a pass in train mode.

        It updates the backbone's moving averages as `passes` equal passes would.
        """
        with repeated_updates(passes):
            end_points = self.model.backbone(images, training=True)
        return end_points, self.model.segment(
            end_points, training=True, dropout_seeds=dropout_seeds
        )

    def _forward_weak(
        self, unlabeled: Images, seed: int
    ) -> tuple[WeakView, StepOutput]:
        """The pseudo label and, with image-level labels, the classifier's loss."""
        output = StepOutput(losses={})
        trains_classifier = self.weakly and self.classifier_on_unlabeled
        dropout_seeds = draw_seeds(seed, unlabeled, RngStream.WEAK_DROPOUT)
        # The original has a pass for each of decoder and image labels.
        end_points, logits = self._forward(
            unlabeled["weak"], dropout_seeds, passes=1 + trains_classifier
        )
        if trains_classifier:
            output.losses["classifier"] = self._image_label_loss(
                end_points, unlabeled, seed
            )
        maps, attention_logits = None, None
        if self.grad_cam is not None:
            # For Grad-CAM the network is in inference mode.
            maps, attention_logits = self.grad_cam.compute_upsampled(
                self.model.backbone(unlabeled["weak"], training=False),
                unlabeled["image_labels"] if self.weakly else None,
                _at_logits(unlabeled["valid"], logits),
            )
        pseudo_label = fuse(logits, attention_logits)
        return WeakView(logits, maps, attention_logits, pseudo_label), output

    def _image_label_loss(
        self, end_points: EndPoints, images: Images, seed: int
    ) -> tf.Tensor:
        """The classifier's loss with image-level labels, scalar float32."""
        seeds = draw_seeds(seed, images, RngStream.IMAGE_LABEL_CLASSIFIER_DROPOUT)
        mask = self.model.dropout_mask(seeds)
        return self._classifier_loss(end_points, images, mask)

    def _classifier_loss(
        self,
        end_points: EndPoints,
        images: Images,
        dropout_mask: Optional[tf.Tensor],
    ) -> tf.Tensor:
        """The loss of the image classifier, scalar float32."""
        image_logits = self.model.classify(end_points, dropout_mask)
        return losses.image_label_loss(image_logits, images["image_labels"])


def _at_logits(mask: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """A mask or label map [batch, height, width] at the resolution of the logits."""
    return resize_nearest(mask, tuple(logits.shape[1:3]), align_corners=False)


def _monitor(
    output: StepOutput,
    unlabeled: Images,
    weak: WeakView,
    strong_logits: tf.Tensor,
    ignore_label: int,
) -> None:
    """Adds the accuracy and confidence of the pseudo labels, and images, to an output.

    Args:
      output: receives monitors, histograms and images.
      unlabeled: the unlabeled part of the batch.
      weak: the predictions for its weak view.
      strong_logits: [batch, h, w, classes], float32, of its strong view.
      ignore_label: label of pixels without ground truth.
    """
    _add_images(output, unlabeled, weak, strong_logits)
    pseudo_label = weak.pseudo_label
    valid = _at_logits(unlabeled["valid"], strong_logits)
    labels = _at_logits(unlabeled["label"], strong_logits)
    known = labels != ignore_label
    predictions = tf.argmax(pseudo_label.average, -1, tf.int32)
    classes = strong_logits.shape[-1]
    output.monitors["pseudo_label_accuracy"] = metrics.balanced_accuracy(
        labels, predictions, known & (pseudo_label.confident > 0), classes
    )
    output.monitors["strong_view_accuracy"] = metrics.balanced_accuracy(
        labels, tf.argmax(strong_logits, -1, tf.int32), known, classes
    )
    confidence = tf.reduce_max(pseudo_label.probabilities, -1)
    output.monitors["confidence"] = Ratio(
        tf.reduce_sum(confidence * valid), tf.reduce_sum(valid)
    )
    if pseudo_label.is_selective:  # Otherwise all shares are 1.
        output.monitors["mask_ratio"] = Ratio(
            tf.reduce_sum(pseudo_label.confident * valid), tf.reduce_sum(valid)
        )
        # The share of confident pixels of each predicted class.
        predicted = tf.one_hot(predictions, classes) * valid[..., tf.newaxis]
        output.monitors["class_mask_ratio"] = Ratio(
            tf.einsum("bhwc,bhw->c", predicted, pseudo_label.confident),
            tf.reduce_sum(predicted, [0, 1, 2]),
        )
    probabilities = {
        "decoder": tf.nn.softmax(weak.logits),
        "fused": pseudo_label.average,
        "sharpened": pseudo_label.probabilities,
    }
    if weak.attention_logits is not None:
        probabilities["attention"] = tf.nn.softmax(weak.attention_logits)
    for name, value in probabilities.items():
        output.histograms[f"confidence/{name}"] = tf.reduce_max(value, -1)


def _add_images(
    output: StepOutput, unlabeled: Images, weak: WeakView, strong_logits: tf.Tensor
) -> None:
    for name, kind, images in (
        ("weak", "rgb", unlabeled["weak"]),
        ("strong", "rgb", unlabeled["strong"]),
        ("label", "label", unlabeled["label"]),
        ("valid", "mask", unlabeled["valid"]),
        ("pseudo_label", "scores", weak.pseudo_label.average),
        ("prediction", "scores", strong_logits),
    ):
        output.show(f"unlabeled/{name}", kind, images)
    if weak.maps is not None:
        output.show("unlabeled/cam", "scores", weak.maps)
        output.show("unlabeled/attention", "scores", weak.attention_logits)
