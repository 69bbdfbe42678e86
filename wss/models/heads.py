"""What DeepLabV3+ has behind the backbone: pyramid, decoder, outputs.

Constants of core/model.py of googleinterns/wss.
"""

import functools
from typing import List, Optional, Sequence

import tensorflow as tf

from wss.models.layers import (
    Convolution,
    Initializer,
    SeparableConvolution,
    build,
    dropout_mask,
    truncated_normal,
)
from wss.resize import resize_bilinear

ASPP_KEEP = 0.9
DECODER_PROJECTION_CHANNELS = 48
AUXILIARY_CHANNELS = 256
AUXILIARY_KEEP = 0.9


def _convolution(scope: str, channels: int, filters: int, **kwargs) -> Convolution:
    initializer = tf.keras.initializers.GlorotUniform()  # slim's default.
    return Convolution(scope, channels, filters, initializer=initializer, **kwargs)


def _separable(
    scope: str, channels: int, filters: int, **kwargs
) -> SeparableConvolution:
    initializers = (truncated_normal(0.33), truncated_normal(0.06))
    return SeparableConvolution(
        scope, channels, filters, initializers=initializers, **kwargs
    )


def _refinement(
    scope: str, channels: int, filters: int, batch_norm: functools.partial
) -> List[SeparableConvolution]:
    return [
        _separable(f"{scope}{i}", inputs, filters, batch_norm=batch_norm)
        for i, inputs in enumerate((channels, filters))
    ]


class PyramidPooling(tf.Module):
    """Atrous spatial pyramid pooling (ASPP) with image-level features."""

    def __init__(
        self,
        channels: int,
        filters: int,
        atrous_rates: Sequence[int],
        batch_norm: functools.partial,
    ):
        super().__init__()
        arguments = dict(batch_norm=batch_norm)
        self.image_pooling = _convolution(
            "image_pooling", channels, filters, **arguments
        )
        self.branches = [_convolution("aspp0", channels, filters, **arguments)] + [
            _separable(f"aspp{i}", channels, filters, rate=rate, **arguments)
            for i, rate in enumerate(atrous_rates, 1)
        ]
        concatenated = (1 + len(self.branches)) * filters
        self.projection = _convolution(
            "concat_projection", concatenated, filters, **arguments
        )

    def __call__(
        self, features: tf.Tensor, training: bool, dropout_seeds: Optional[tf.Tensor]
    ) -> tf.Tensor:
        pooled = tf.reduce_mean(tf.cast(features, tf.float32), [1, 2], keepdims=True)
        pooled = self.image_pooling(pooled, training)
        # Bilinear resizing of a single pixel.
        pooled = tf.tile(pooled, [1, features.shape[1], features.shape[2], 1])
        branches = [branch(features, training) for branch in self.branches]
        outputs = self.projection(tf.concat([pooled] + branches, -1), training)
        if dropout_seeds is None:
            return outputs
        mask = dropout_mask(outputs.shape, ASPP_KEEP, dropout_seeds)
        return outputs * tf.cast(mask, outputs.dtype)


class Decoder(tf.Module):
    """Refines the pyramid's features with those of an early end point."""

    def __init__(
        self,
        channels: int,
        low_level_channels: int,
        filters: int,
        batch_norm: functools.partial,
    ):
        super().__init__()
        projected = DECODER_PROJECTION_CHANNELS
        self.projection = _convolution(
            "decoder/feature_projection0",
            low_level_channels,
            projected,
            batch_norm=batch_norm,
        )
        self.fused_channels = channels + projected
        self.convolutions = _refinement(
            "decoder/decoder_conv", self.fused_channels, filters, batch_norm
        )

    def fuse(
        self, features: tf.Tensor, low_level: tf.Tensor, training: bool
    ) -> tf.Tensor:
        features = resize_bilinear(features, tuple(low_level.shape[1:3]))
        return tf.concat([features, self.projection(low_level, training)], -1)

    def __call__(self, fused: tf.Tensor, training: bool) -> tf.Tensor:
        for convolution in self.convolutions:
            fused = convolution(fused, training)
        return fused


class Head(tf.Module):
    """Another reading of what the decoder fuses: convolutions like the decoder's."""

    def __init__(
        self,
        scope: str,
        channels: int,
        filters: int,
        depth: int,
        batch_norm: functools.partial,
    ):
        super().__init__()
        self.depth = depth
        self.convolutions = _refinement(f"{scope}/conv", channels, filters, batch_norm)
        initializer = tf.keras.initializers.GlorotUniform()
        self.outputs = pixel_outputs(f"{scope}/outputs", filters, depth, initializer)

    def __call__(self, fused: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Maps `DeepLabV3Plus.fuse` to [batch, h, w, depth], float32."""
        for convolution in self.convolutions:
            fused = convolution(fused, training)
        return self.outputs(fused)


class AuxiliaryHead(tf.Module):
    """Logits from an earlier end point, whose loss helps a deep backbone to learn.

    Source: `Aux_Module` of U2PL's published code.
    """

    def __init__(
        self, scope: str, channels: int, classes: int, batch_norm: functools.partial
    ):
        super().__init__()
        filters = AUXILIARY_CHANNELS
        self.convolution = _convolution(
            f"{scope}/conv", channels, filters, kernel_size=3, batch_norm=batch_norm
        )
        self.outputs = pixel_outputs(
            f"{scope}/outputs", filters, classes, truncated_normal(0.01)
        )

    def __call__(self, end_point: tf.Tensor, dropout_seeds: tf.Tensor) -> tf.Tensor:
        """Maps an end point to [batch, h, w, classes], float32, in train mode.

        Args:
          end_point: [batch, h, w, channels].
          dropout_seeds: int32 [batch, 2]; whole channels are dropped.
        """
        features = self.convolution(end_point, training=True)
        shape = [features.shape[0], 1, 1, features.shape[-1]]
        mask = dropout_mask(shape, AUXILIARY_KEEP, dropout_seeds)
        return self.outputs(features * tf.cast(mask, features.dtype))


def pixel_outputs(
    scope: str, channels: int, filters: int, initializer: Initializer
) -> tf.keras.layers.Conv2D:
    """A 1x1 convolution with bias, float32 under every precision policy."""
    layer = tf.keras.layers.Conv2D(
        filters, 1, kernel_initializer=initializer, dtype=tf.float32, name=scope
    )
    return build(layer, channels)
