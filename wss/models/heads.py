"""The layers of DeepLabV3+ after the backbone: pyramid, decoder, outputs.

Three published networks differ only in these layers; a `Style` describes each.
Constants of core/model.py of googleinterns/wss ("deeplab"),
model/semseg/deeplabv3plus.py of LiheYoung/UniMatch ("unimatch") and
u2pl/models/decoder.py of Haochen-Wang409/U2PL.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Callable, NamedTuple, Optional, Union

import tensorflow as tf

from wss.models.layers import (
    Convolution,
    Initializer,
    SeparableConvolution,
    build,
    dropout_mask,
    truncated_normal,
)
from wss.ops.resize import resize_bilinear, sides

AUXILIARY_CHANNELS = 256
# Standard deviation of image-level features, as a share of their mean.
COLLAPSED = 0.01
AUXILIARY_KEEP = 0.9


def torch_default() -> Initializer:
    """PyTorch's initializer of convolutions: uniform within 1 / sqrt(fan in)."""
    return tf.keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")


class Style(NamedTuple):
    """The layers after the backbone in a published network.

    Attributes:
      separable: the 3x3 convolutions of pyramid and decoder are depthwise separable.
      initializer: of the other kernels.
      logits_initializer: of the logits' kernel.
      joining_kernel: size of the kernel that joins the pyramid's branches.
      pyramid_keep: keep probability of the dropout after the pyramid.
      decoder_keep: the same after each 3x3 convolution of decoder and heads.
      drops_channels: dropout removes whole channels of an image.
      low_level_channels: channels that the early end point is projected to.
      low_level_sum: the early end point is the output of a whole unit, not of its last
        convolution; with a ResNet that is the sum of residual and shortcut.
    """

    separable: bool
    initializer: Callable[[], Initializer]
    logits_initializer: Callable[[], Initializer]
    joining_kernel: int
    pyramid_keep: float
    decoder_keep: float
    drops_channels: bool
    low_level_channels: int
    low_level_sum: bool


_DEEPLAB = Style(
    separable=True,
    initializer=tf.keras.initializers.GlorotUniform,  # slim's default.
    logits_initializer=functools.partial(truncated_normal, 0.01),
    joining_kernel=1,
    pyramid_keep=0.9,
    decoder_keep=1.0,
    drops_channels=False,
    low_level_channels=48,
    low_level_sum=False,
)
_UNIMATCH = Style(
    separable=False,
    initializer=torch_default,
    logits_initializer=torch_default,
    joining_kernel=1,
    pyramid_keep=1.0,
    decoder_keep=1.0,
    drops_channels=True,
    low_level_channels=48,
    low_level_sum=True,
)
_U2PL = _UNIMATCH._replace(
    joining_kernel=3, pyramid_keep=0.9, decoder_keep=0.9, low_level_channels=256
)
STYLES: Mapping[str, Style] = {
    "deeplab": _DEEPLAB,
    "unimatch": _UNIMATCH,
    "u2pl": _U2PL,
}


def _convolution(
    style: Style, scope: str, channels: int, filters: int, **kwargs
) -> Convolution:
    return Convolution(
        scope, channels, filters, initializer=style.initializer(), **kwargs
    )


def _convolution_3x3(
    style: Style, scope: str, channels: int, filters: int, **kwargs
) -> Union[Convolution, SeparableConvolution]:
    if not style.separable:
        return _convolution(style, scope, channels, filters, kernel_size=3, **kwargs)
    initializers = (truncated_normal(0.33), truncated_normal(0.06))
    return SeparableConvolution(
        scope, channels, filters, initializers=initializers, **kwargs
    )


def _dropped(
    features: tf.Tensor,
    keep: float,
    whole_channels: bool,
    seeds: Optional[tf.Tensor],
    layer: int = 0,
) -> tf.Tensor:
    """Applies dropout to [batch, h, w, channels]; none if `seeds` is None.

    `layer` is the layer's unique number, so that layers draw different numbers.
    """
    if seeds is None or keep == 1.0:
        return features
    if layer:
        seeds += tf.constant([layer, 0])
    shape = list(features.shape)
    if whole_channels:
        shape[1:3] = 1, 1
    mask = dropout_mask(shape, keep, seeds)
    return features * tf.cast(mask, features.dtype)


class PyramidPooling(tf.Module):
    """Atrous spatial pyramid pooling (ASPP), by default with image-level features."""

    def __init__(
        self,
        channels: int,
        filters: int,
        atrous_rates: Sequence[int],
        batch_norm: functools.partial,
        style: Style,
        image_pooling: bool = True,
    ):
        super().__init__()
        self._style = style
        arguments = dict(batch_norm=batch_norm)
        self.image_pooling = None
        if image_pooling:
            self.image_pooling = _convolution(
                style, "image_pooling", channels, filters, **arguments
            )
        self.branches = [_convolution(style, "aspp0", channels, filters, **arguments)]
        self.branches += [
            _convolution_3x3(
                style, f"aspp{i}", channels, filters, rate=rate, **arguments
            )
            for i, rate in enumerate(atrous_rates, 1)
        ]
        concatenated = (image_pooling + len(self.branches)) * filters
        self.projection = _convolution(
            style,
            "concat_projection",
            concatenated,
            filters,
            kernel_size=style.joining_kernel,
            **arguments,
        )

    def __call__(
        self, features: tf.Tensor, training: bool, dropout_seeds: Optional[tf.Tensor]
    ) -> tf.Tensor:
        seen = []
        if self.image_pooling is not None:
            seen.append(self._pooled(features, training))
        seen += [branch(features, training) for branch in self.branches]
        outputs = self.projection(tf.concat(seen, -1), training)
        style = self._style
        return _dropped(
            outputs, style.pyramid_keep, style.drops_channels, dropout_seeds
        )

    @property
    def has_collapsed(self) -> bool:
        """Whether the image-level features hardly differ between training crops.

        An image whose mean features differ by a percent, for it is larger or has more
        padding, is then outside of what the layers after them have seen.
        """
        if self.image_pooling is None:
            return False
        layer = self.image_pooling.batch_norm
        deviation = tf.sqrt(layer.moving_variance)
        collapsed = deviation < COLLAPSED * tf.abs(layer.moving_mean)
        return bool(tf.reduce_mean(tf.cast(collapsed, tf.float32)) > 0.5)

    def _pooled(self, features: tf.Tensor, training: bool) -> tf.Tensor:
        """The image-level features at every position."""
        pooled = tf.reduce_mean(tf.cast(features, tf.float32), [1, 2], keepdims=True)
        pooled = self.image_pooling(pooled, training)
        # Equals bilinear resizing of a single pixel.
        return tf.tile(pooled, [1, *sides(features), 1])


class _Refinement(tf.Module):
    """Two 3x3 convolutions, each with the style's dropout."""

    def __init__(
        self,
        scope: str,
        channels: int,
        filters: int,
        batch_norm: functools.partial,
        style: Style,
        first_layer: int,
    ):
        super().__init__()
        self._style, self._first_layer = style, first_layer
        self.convolutions = [
            _convolution_3x3(
                style, f"{scope}{i}", inputs, filters, batch_norm=batch_norm
            )
            for i, inputs in enumerate((channels, filters))
        ]

    def __call__(
        self, features: tf.Tensor, training: bool, dropout_seeds: Optional[tf.Tensor]
    ) -> tf.Tensor:
        style = self._style
        for layer, convolution in enumerate(self.convolutions, self._first_layer):
            features = _dropped(
                convolution(features, training),
                style.decoder_keep,
                style.drops_channels,
                dropout_seeds,
                layer,
            )
        return features


class Decoder(tf.Module):
    """Refines the pyramid's features with those of an early end point."""

    def __init__(
        self,
        channels: int,
        low_level_channels: int,
        filters: int,
        batch_norm: functools.partial,
        style: Style,
    ):
        super().__init__()
        self.projection = _convolution(
            style,
            "decoder/feature_projection0",
            low_level_channels,
            style.low_level_channels,
            batch_norm=batch_norm,
        )
        self.fused_channels = channels + style.low_level_channels
        self.refinement = _Refinement(
            "decoder/decoder_conv",
            self.fused_channels,
            filters,
            batch_norm,
            style,
            first_layer=1,
        )

    def fuse(
        self, features: tf.Tensor, low_level: tf.Tensor, training: bool
    ) -> tf.Tensor:
        features = resize_bilinear(features, sides(low_level))
        return tf.concat([features, self.projection(low_level, training)], -1)

    def __call__(
        self, fused: tf.Tensor, training: bool, dropout_seeds: Optional[tf.Tensor]
    ) -> tf.Tensor:
        return self.refinement(fused, training, dropout_seeds)


class Head(tf.Module):
    """Further outputs from the decoder's input, by convolutions like the decoder's."""

    def __init__(
        self,
        scope: str,
        channels: int,
        filters: int,
        depth: int,
        batch_norm: functools.partial,
        style: Style,
    ):
        super().__init__()
        self.depth = depth
        self.refinement = _Refinement(
            f"{scope}/conv", channels, filters, batch_norm, style, first_layer=3
        )
        self.outputs = pixel_outputs(
            f"{scope}/outputs", filters, depth, style.initializer()
        )

    def __call__(
        self,
        fused: tf.Tensor,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Maps `DeepLabV3Plus.fuse` to [batch, h, w, depth], float32."""
        return self.outputs(self.refinement(fused, training, dropout_seeds))


class AuxiliaryHead(tf.Module):
    """Logits from an earlier end point; their loss helps to train a deep backbone.

    Source: `Aux_Module` of U2PL's published code.
    """

    def __init__(
        self,
        scope: str,
        channels: int,
        classes: int,
        batch_norm: functools.partial,
        style: Style,
    ):
        super().__init__()
        filters = AUXILIARY_CHANNELS
        self.convolution = _convolution(
            style,
            f"{scope}/conv",
            channels,
            filters,
            kernel_size=3,
            batch_norm=batch_norm,
        )
        self.outputs = pixel_outputs(
            f"{scope}/outputs", filters, classes, style.logits_initializer()
        )

    def __call__(self, end_point: tf.Tensor, dropout_seeds: tf.Tensor) -> tf.Tensor:
        """Maps an end point to [batch, h, w, classes], float32, in train mode.

        Args:
          end_point: [batch, h, w, channels].
          dropout_seeds: int32 [batch, 2]; dropout removes whole channels.
        """
        features = self.convolution(end_point, training=True)
        return self.outputs(_dropped(features, AUXILIARY_KEEP, True, dropout_seeds))


def pixel_outputs(
    scope: str, channels: int, filters: int, initializer: Initializer
) -> tf.keras.layers.Conv2D:
    """A 1x1 convolution with bias, float32 under every precision policy."""
    layer = tf.keras.layers.Conv2D(
        filters, 1, kernel_initializer=initializer, dtype=tf.float32, name=scope
    )
    return build(layer, channels)
