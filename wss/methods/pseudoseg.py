"""PseudoSeg: the decoder and a refined Grad-CAM teach the model on unlabeled images.

Source: "PseudoSeg: Designing Pseudo Labels for Semantic Segmentation" (Zou et al., ICLR
2021) and `_build_pseudo_seg` in train_wss.py of googleinterns/wss.
"""

import enum
import functools
from typing import Dict, Iterator, Mapping, Optional, Tuple

import gin
import tensorflow as tf

from wss.methods.base import (
    SHOWN_IMAGES,
    Batch,
    Method,
    Panel,
    StepOutput,
    draw_seeds,
    segmentation_panels,
)
from wss.methods.components import refined_grad_cam
from wss.methods.components.fusion import PseudoLabel, fuse
from wss.methods.components.self_attention import SelfAttention
from wss.models.batch_norm import repeated_updates
from wss.models.deeplab import DeepLabV3Plus
from wss.ops import losses, metrics
from wss.ops.distributed import Ratio
from wss.ops.resize import resize_bilinear, resize_nearest
from wss.settings import Count, Natural, NonNegative, Several

Images = Mapping[str, tf.Tensor]


class Draw(enum.IntEnum):
    """What the random draws of a step are for."""

    LABELED_DROPOUT = 0
    WEAK_DROPOUT = 1
    STRONG_DROPOUT = 2
    LABELED_CLASSIFIER_DROPOUT = 3
    IMAGE_LABEL_CLASSIFIER_DROPOUT = 4


@gin.configurable(denylist=["model", "ignore_label"])
class PseudoSeg(Method):
    """Four losses: supervised, classifier, attention and consistency."""

    uses_unlabeled = True
    trains_classifier = True

    def __init__(
        self,
        model: DeepLabV3Plus,
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
          ignore_label: label of pixels without truth.
          weakly: the unlabeled images have image-level labels. They choose the classes
            of the activation maps, where otherwise the classifier's own prediction
            does, and they train the classifier.
          classifier_on_unlabeled: with `weakly`, train the classifier on the unlabeled
            images' labels; otherwise on the labeled images'.
          unlabeled_weight: factor of the consistency loss.
          ramp_up_steps: steps over which that factor grows from 0. The original has
            none: it starts from an ImageNet checkpoint. From random weights the first
            pseudo labels are worthless.
          use_attention: fuse with the refined Grad-CAM; otherwise the decoder alone
            makes the pseudo labels, and nothing trains a classifier without `weakly`.
          attention_strides: the end points (named by the original's strides) that form
            the hypercolumn. Grad-CAM is taken at the largest. Where that is the
            classifier's own input (16) it has a closed form; elsewhere it costs one
            backward pass per class.
        """
        super().__init__(model, ignore_label)
        self.weakly = weakly
        self.classifier_on_unlabeled = classifier_on_unlabeled
        self.unlabeled_weight = unlabeled_weight
        self.ramp_up_steps = ramp_up_steps
        # The original sorts them: the deepest comes first in the concatenation.
        self.attention_strides = sorted(attention_strides, reverse=True)
        self.attention = SelfAttention(model.num_classes) if use_attention else None

    def build(self) -> None:
        """Creates every variable."""
        if self.attention is not None:
            side = 2 * self.model.output_stride + 1
            hypercolumn = self._hypercolumn(
                self.model.backbone(tf.zeros([1, side, side, 3]))
            )
            depth = sum(end_point.shape[-1] for end_point in hypercolumn)
            self.attention.build(depth, self.model.num_classes - 1)

    def counts(self, batch: Batch) -> Dict[str, tf.Tensor]:
        """See `Method.counts`."""
        valid = batch["unlabeled"]["valid"]
        valid = resize_nearest(
            valid, self.model.logits_size(valid.shape[1:]), align_corners=False
        )
        return {**super().counts(batch), "valid": tf.reduce_sum(valid)}

    def step(
        self,
        batch: Batch,
        step: tf.Tensor,
        progress: tf.Tensor,
        seed: int,
        counts: Mapping[str, tf.Tensor],
    ) -> Iterator[StepOutput]:
        """See `Method.step`."""
        unlabeled = batch["unlabeled"]
        pseudo_label, output = self._teach(unlabeled, seed)
        # No gradient passes from the strong view to the weak one.
        yield output
        logits_strong = self.model.segment(
            self.model.backbone(unlabeled["strong"], training=True),
            training=True,
            dropout_seeds=draw_seeds(seed, unlabeled, Draw.STRONG_DROPOUT),
        )
        valid = _at_logits(unlabeled["valid"], logits_strong)
        consistency = losses.consistency(
            logits_strong,
            pseudo_label.probabilities,
            pseudo_label.confident * valid,
            valid,
            counts.get("valid"),
        )
        output = StepOutput(losses={"consistency": self._weight(step) * consistency})
        self._monitor(unlabeled, pseudo_label, logits_strong, output)
        yield output
        yield self._learn_labeled(batch["labeled"], step, seed, counts)

    def class_scores(
        self, images: tf.Tensor, valid: tf.Tensor, image_labels: tf.Tensor
    ) -> Dict[str, tf.Tensor]:
        """The pseudo label, and the Grad-CAM and attention that it was fused from."""
        end_points = self.model.backbone(images, training=False)
        logits = self.model.segment(end_points)
        attention_logits, sources = None, {}
        if self.attention is not None:
            maps, attention_logits = self._refine(
                end_points, image_labels, _at_logits(valid, logits), training=False
            )
            sources = {"CAM": maps, "attention": tf.nn.softmax(attention_logits)}
        return {
            "pseudo label": fuse(logits, attention_logits).probabilities,
            **sources,
        }

    def _weight(self, step: tf.Tensor) -> tf.Tensor:
        """The factor of the consistency loss at a step."""
        if not self.ramp_up_steps:
            return tf.constant(self.unlabeled_weight, tf.float32)
        progress = tf.cast(step, tf.float32) / self.ramp_up_steps
        return self.unlabeled_weight * tf.minimum(1.0, progress)

    def _teach(self, unlabeled: Images, seed: int) -> Tuple[PseudoLabel, StepOutput]:
        """The pseudo label of the weak view, and what the view teaches otherwise."""
        output = StepOutput(losses={})
        images = unlabeled["weak"]
        learns_image_labels = self.weakly and self.classifier_on_unlabeled
        # The original runs the weak view in train mode once for the decoder and, with
        # image-level labels, once more for the classifier.
        with repeated_updates(2 if learns_image_labels else 1):
            end_points = self.model.backbone(images, training=True)
        logits = self.model.segment(
            end_points,
            training=True,
            dropout_seeds=draw_seeds(seed, unlabeled, Draw.WEAK_DROPOUT),
        )
        if learns_image_labels:
            output.losses["classifier"] = self._classifier_loss(
                end_points, unlabeled, seed
            )
        attention_logits = None
        if self.attention is not None:
            attention_logits = self._refined_maps(unlabeled, logits, output)
        pseudo_label = fuse(logits, attention_logits)
        confidences = {
            "decoder": tf.nn.softmax(logits),
            "fused": pseudo_label.average,
            "sharpened": pseudo_label.probabilities,
        }
        if attention_logits is not None:
            confidences["attention"] = tf.nn.softmax(attention_logits)
        for name, probabilities in confidences.items():
            output.histograms[f"confidence/{name}"] = tf.reduce_max(probabilities, -1)
        return pseudo_label, output

    def _refined_maps(
        self, unlabeled: Images, logits: tf.Tensor, output: StepOutput
    ) -> tf.Tensor:
        """Grad-CAM of the inference-mode classifier, refined, at the logits' size."""
        maps, attention_logits = self._refine(
            self.model.backbone(unlabeled["weak"], training=False),
            unlabeled["image_labels"],
            _at_logits(unlabeled["valid"], logits),
        )
        output.panels["unlabeled/cam"] = _argmax_panel(maps)
        output.panels["unlabeled/attention"] = _argmax_panel(attention_logits)
        return attention_logits

    def _refine(
        self,
        end_points: Mapping[str, tf.Tensor],
        image_labels: tf.Tensor,
        valid: tf.Tensor,
        training: bool = True,
    ) -> Tuple[tf.Tensor, tf.Tensor]:
        """Grad-CAM, the background's score first, and its refinement to logits.

        Both [batch, h, w, classes] at the size of `valid`. Without `weakly` the
        classifier decides what the images show.
        """
        if not self.weakly:
            image_logits = self.model.classify(end_points)
            image_labels = tf.cast(tf.sigmoid(image_logits) >= 0.5, tf.float32)
        maps, logits = self._attend(end_points, image_labels, valid, training=training)
        size = tuple(valid.shape[1:3])
        return (
            resize_bilinear(refined_grad_cam.with_background(maps), size),
            resize_bilinear(logits, size),
        )

    def _learn_labeled(
        self,
        labeled: Images,
        step: tf.Tensor,
        seed: int,
        counts: Mapping[str, tf.Tensor],
    ) -> StepOutput:
        """The losses of the labeled images."""
        cross_entropy = functools.partial(
            self.labeled_loss, labeled=labeled, step=step, counts=counts
        )
        learns_image_labels = self.weakly and not self.classifier_on_unlabeled
        # The original's train-mode passes over the labeled images: for the decoder, for
        # the attention, and for the classifier where that one has a pass of its own.
        passes = 1 + (self.attention is not None) + learns_image_labels
        with repeated_updates(passes):
            end_points = self.model.backbone(labeled["image"], training=True)
        logits = self.model.segment(
            end_points,
            training=True,
            dropout_seeds=draw_seeds(seed, labeled, Draw.LABELED_DROPOUT),
        )
        output = StepOutput(
            losses={"supervised": cross_entropy(logits)},
            panels=segmentation_panels(labeled, logits),
        )
        if learns_image_labels:
            output.losses["classifier"] = self._classifier_loss(
                end_points, labeled, seed
            )
        if self.attention is not None:
            mask = self.model.dropout_mask(
                draw_seeds(seed, labeled, Draw.LABELED_CLASSIFIER_DROPOUT)
            )
            _, attention_logits = self._attend(
                end_points,
                labeled["image_labels"],
                _at_logits(labeled["valid"], logits),
                mask,
            )
            output.losses["attention"] = cross_entropy(attention_logits)
            if not self.weakly:
                output.losses["classifier"] = losses.image_label_loss(
                    self.model.classify(end_points, mask), labeled["image_labels"]
                )
        return output

    def _attend(
        self,
        end_points: Mapping[str, tf.Tensor],
        image_labels: tf.Tensor,
        valid: tf.Tensor,
        dropout_mask: Optional[tf.Tensor] = None,
        training: bool = True,
    ):
        """Maps [batch, h, w, classes - 1] and refined logits [batch, h, w, classes]."""
        hypercolumn = self._hypercolumn(end_points)
        features = hypercolumn[0]
        if features is self.model.features(end_points):
            maps = refined_grad_cam.class_activation_maps(
                features, self.model.classifier_kernel, image_labels, dropout_mask
            )
        else:
            image_logits = self.model.classify(end_points, dropout_mask)
            maps = refined_grad_cam.gradient_class_activation_maps(
                features,
                lambda c: tf.gradients(image_logits[:, c], features)[0],
                image_labels,
            )
        return maps, self.attention(hypercolumn, maps, valid, training)

    def _hypercolumn(self, end_points: Mapping[str, tf.Tensor]):
        return [self.model.end_point(end_points, s) for s in self.attention_strides]

    def _classifier_loss(
        self, end_points: Mapping[str, tf.Tensor], images: Images, seed: int
    ) -> tf.Tensor:
        seeds = draw_seeds(seed, images, Draw.IMAGE_LABEL_CLASSIFIER_DROPOUT)
        mask = self.model.dropout_mask(seeds)
        image_logits = self.model.classify(end_points, mask)
        return losses.image_label_loss(image_logits, images["image_labels"])

    def _monitor(
        self,
        unlabeled: Images,
        pseudo_label: PseudoLabel,
        logits_strong: tf.Tensor,
        output: StepOutput,
    ) -> None:
        """How good and how sure the pseudo labels are; panels to look at."""
        valid = _at_logits(unlabeled["valid"], logits_strong)
        labels = resize_nearest(
            unlabeled["label"], tuple(logits_strong.shape[1:3]), align_corners=False
        )
        known = labels != self.ignore_label
        predictions = tf.argmax(pseudo_label.average, -1, tf.int32)
        classes = self.model.num_classes
        output.monitors["pseudo_label_accuracy"] = metrics.balanced_accuracy(
            labels, predictions, known & (pseudo_label.confident > 0), classes
        )
        output.monitors["strong_view_accuracy"] = metrics.balanced_accuracy(
            labels, tf.argmax(logits_strong, -1, tf.int32), known, classes
        )
        confidence = tf.reduce_max(pseudo_label.probabilities, -1)
        output.monitors["confidence"] = Ratio(
            tf.reduce_sum(confidence * valid), tf.reduce_sum(valid)
        )
        output.monitors["mask_ratio"] = Ratio(
            tf.reduce_sum(pseudo_label.confident * valid), tf.reduce_sum(valid)
        )
        # Which share of the pixels that look like a class its pseudo label keeps.
        looks_like = tf.one_hot(predictions, classes) * valid[..., tf.newaxis]
        output.monitors["class_mask_ratio"] = Ratio(
            tf.einsum("bhwc,bhw->c", looks_like, pseudo_label.confident),
            tf.reduce_sum(looks_like, [0, 1, 2]),
        )
        shown = slice(0, SHOWN_IMAGES)
        output.panels["unlabeled/weak"] = Panel("rgb", unlabeled["weak"][shown])
        output.panels["unlabeled/strong"] = Panel("rgb", unlabeled["strong"][shown])
        output.panels["unlabeled/label"] = Panel("label", unlabeled["label"][shown])
        output.panels["unlabeled/valid"] = Panel("mask", unlabeled["valid"][shown])
        output.panels["unlabeled/pseudo_label"] = _argmax_panel(pseudo_label.average)
        output.panels["unlabeled/prediction"] = _argmax_panel(logits_strong)


def _at_logits(valid: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """A valid mask [batch, height, width] at the resolution of the logits."""
    return resize_nearest(valid, tuple(logits.shape[1:3]), align_corners=False)


def _argmax_panel(scores: tf.Tensor) -> Panel:
    return Panel("label", tf.argmax(scores[:SHOWN_IMAGES], -1, tf.int32))
