"""What every network has: an encoder, a decoder, a classifier of images.

The encoder (`Backbone`) turns images into end points; the decoder turns some of them
into logits per pixel; the classifier reads the last one. A subclass is one decoder:
`DeepLabV3Plus` for convolutional backbones, `DPT` for vision transformers.
"""

import abc
import functools
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Callable, Optional

import numpy as np
import tensorflow as tf

from wss.errors import UserError
from wss.models import tf1_checkpoint
from wss.models.backbone import Backbone
from wss.models.batch_norm import BatchNorm
from wss.models.heads import AuxiliaryHead, Style, pixel_outputs
from wss.models.layers import EndPoints, dropout_mask, precision_policy


class SegmentationNetwork(tf.keras.Model):
    """Images to logits per pixel, and to logits per image.

    All variables exist after construction.

    Attributes:
      backbone: maps images [batch, height, width, 3], float32 in 0..255, to end points
        by name: `model.backbone(images, training=False)`.
      num_classes: background included.
      variant: of the backbone.
      output_stride: image pixels per pixel of the backbone's features.
      example_side: side of a small image that the backbone takes.
      decoder_inputs: names of the end points that the decoder reads.
    """

    backbone: Backbone
    num_classes: int
    variant: str
    output_stride: int
    example_side: int
    decoder_inputs: Sequence[str]
    # Of the heads that methods add.
    _style: Style
    _batch_norm: Callable[..., BatchNorm]
    # With explicit arguments: gin must not bind them a second time.
    _create_clone: functools.partial

    def clone(self) -> "SegmentationNetwork":
        """A network of the same architecture with its own variables."""
        return self._create_clone()

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild the network, for JSON."""
        keywords = self._create_clone.keywords
        return {
            "num_classes": self.num_classes,
            "precision": self.dtype_policy.name,
            **keywords,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SegmentationNetwork":
        """The network that `get_config` describes."""
        arguments = dict(config)
        with precision_policy(arguments.pop("precision")):
            return cls(**arguments)

    def save_own_variables(self, store: MutableMapping[str, np.ndarray]) -> None:
        """Stores all values by TF1 name; Keras would only find those of layers."""
        for name, variable in tf1_checkpoint.named_variables(self).items():
            store[name] = variable.numpy()

    def load_own_variables(self, store: Mapping[str, np.ndarray]) -> None:
        """Restores what `save_own_variables` stored."""
        for name, variable in tf1_checkpoint.named_variables(self).items():
            variable.assign(store[name])

    @abc.abstractmethod
    def create_head(self, scope: str, depth: int) -> tf.Module:
        """Creates a head next to the logits, for a method.

        Args:
          scope: TF1 scope of its variables, which do not belong to this network.
          depth: channels of its output.

        Returns:
          A module that maps `fuse` to [batch, h, w, depth], float32:
          head(fused, training, dropout_seeds).
        """

    def create_auxiliary_head(self, scope: str, stride: int) -> AuxiliaryHead:
        """Creates logits from an earlier end point, for a method.

        Args:
          scope: TF1 scope of its variables, which do not belong to this network.
          stride: names the end point, see `end_point`.

        Raises:
          UserError: the backbone has no such end point.
        """
        (channels,) = self.end_point_channels([stride])
        return AuxiliaryHead(
            scope, channels, self.num_classes, self._batch_norm, self._style
        )

    def _create_classifier(self) -> tf.keras.layers.Layer:
        return pixel_outputs(
            f"{self.backbone.scope}/logits",
            self.backbone.channels,
            self.num_classes - 1,
            self.backbone.classifier_initializer,
        )

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Computes logits [batch, h, w, classes], of `logits_size`."""
        return self.segment(self.backbone(images, training), training)

    def segment(
        self,
        end_points: EndPoints,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Computes the pixels' logits from the backbone's end points.

        Args:
          end_points: of `backbone`; those of `decoder_inputs` are enough.
          training: whether batch norm uses the batch's statistics.
          dropout_seeds: int32 [batch, 2], one for each image; None for no dropout.

        Returns:
          [batch, height, width, classes] of `logits_size`, float32, unnormalized.
        """
        fused = self.fuse(end_points, training, dropout_seeds)
        return self.read_logits(fused, training, dropout_seeds)

    @abc.abstractmethod
    def fuse(
        self,
        end_points: EndPoints,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Computes what the logits and other heads read; arguments: see `segment`.

        Returns:
          [batch, height, width, channels] of `logits_size`.
        """

    @abc.abstractmethod
    def read_logits(
        self,
        fused: tf.Tensor,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """The logits of `segment` from the result of `fuse`."""

    @abc.abstractmethod
    def logits_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        """Height and width of the logits, from those of the images."""

    @abc.abstractmethod
    def scaled_size(self, image_size: Sequence[int], scale: float) -> tuple[int, int]:
        """Height and width of images scaled by a factor, as the backbone takes them."""

    def untrained_rates(
        self, crop_size: Sequence[int], evaluated_size: Sequence[int]
    ) -> list[int]:
        """Atrous rates that only evaluation uses; training leaves them.

        Args:
          crop_size: height and width in training, pixels.
          evaluated_size: height and width in evaluation, pixels.
        """
        del crop_size, evaluated_size
        return []

    def features(self, end_points: EndPoints) -> tf.Tensor:
        """The backbone's last end point."""
        return end_points[self.features_end_point]

    @property
    def features_end_point(self) -> str:
        """Name of the backbone's last end point."""
        return self.backbone.strides[16]

    def end_point(self, end_points: EndPoints, stride: int) -> tf.Tensor:
        """The end point that the original calls `stride`, e.g. 15 or 16.

        Raises:
          UserError: the backbone has no such end point.
        """
        return end_points[look_up(self.backbone.strides, stride, "named")]

    def end_point_channels(self, strides: Sequence[int]) -> list[int]:
        """Channels of some end points, see `end_point`."""
        side = self.example_side
        end_points = self.backbone(tf.zeros([1, side, side, 3]))
        return [self.end_point(end_points, stride).shape[-1] for stride in strides]

    def dropout_mask(self, seeds: tf.Tensor) -> Optional[tf.Tensor]:
        """Draws the dropout before the classifier.

        Args:
          seeds: int32 [batch, 2], one for each image.

        Returns:
          [batch, 1, 1, channels] of 0 or 1 / keep, float32; None for a backbone without
          dropout there.
        """
        keep = self.backbone.prelogits_keep
        if keep == 1.0:
            return None
        shape = [seeds.shape[0], 1, 1, self.backbone.channels]
        return dropout_mask(shape, keep, seeds)

    def classify(
        self, end_points: EndPoints, dropout_mask: Optional[tf.Tensor] = None
    ) -> tf.Tensor:
        """Computes the images' logits: a linear head on the mean features.

        Args:
          end_points: of `backbone`.
          dropout_mask: of `dropout_mask`; None for no dropout.

        Returns:
          [batch, classes - 1] (no background), float32, unnormalized.
        """
        features = tf.cast(self.features(end_points), tf.float32)
        pooled = tf.reduce_mean(features, [1, 2], keepdims=True)
        if dropout_mask is not None:
            pooled *= dropout_mask
        return self.classifier(pooled)[:, 0, 0]

    @property
    def classifier_kernel(self) -> tf.Tensor:
        """The classifier's kernel, [channels, classes - 1], float32."""
        return tf.convert_to_tensor(self.classifier.kernel)[0, 0]

    @property
    def regularized_variables(self) -> list[tf.Variable]:
        """The variables with weight decay: all kernels but the depthwise ones."""
        named = tf1_checkpoint.named_variables(self)
        return [named[name] for name in sorted(named) if name.endswith("/weights")]


def look_up(end_points: Mapping[int, Any], stride: int, what: str) -> Any:
    """What a backbone has for a stride.

    Raises:
      UserError: it has nothing for it.
    """
    if stride not in end_points:
        known = ", ".join(map(str, sorted(end_points)))
        advice = f"choose one of {known}" if known else "it has none"
        raise UserError(
            f"The backbone has no {what} end point of stride {stride}; {advice}."
        )
    return end_points[stride]
