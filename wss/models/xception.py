"""Xception-65, modified for segmentation: aligned features, no pooling, atrous.

François Chollet, "Xception: Deep Learning with Depthwise Separable Convolutions"
(arXiv:1610.02357), deepened by Qi et al. for COCO 2017. Constants of
deeplab/core/xception.py and feature_extractor.py of the original.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple, Optional

import tensorflow as tf

from wss.models.backbone import (
    MID_GRAY,
    Backbone,
    atrous_strides,
    register_backbone,
    unit_rates,
    zero_mean_unit_range,
)
from wss.models.batch_norm import BatchNorm
from wss.models.layers import (
    Convolution,
    EndPoints,
    SeparableConvolution,
    truncated_normal,
)

BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 1e-3
STDDEV = 0.09  # Of initial kernels.


class Block(NamedTuple):
    """Equal units; `shortcut` is "convolution", "identity" or "none"."""

    name: str
    units: int
    filters: tuple[int, int, int]
    stride: int
    shortcut: str


XCEPTION_65 = (
    Block("entry_flow/block1", 1, (128, 128, 128), 2, "convolution"),
    Block("entry_flow/block2", 1, (256, 256, 256), 2, "convolution"),
    Block("entry_flow/block3", 1, (728, 728, 728), 2, "convolution"),
    Block("middle_flow/block1", 16, (728, 728, 728), 1, "identity"),
    Block("exit_flow/block1", 1, (728, 1024, 1024), 2, "convolution"),
    Block("exit_flow/block2", 1, (1536, 1536, 2048), 1, "none"),
)

# Filters and stride of the 3x3 convolutions before the blocks.
STEM = ((32, 2), (64, 1))


class XceptionModule(tf.Module):
    """Three separable convolutions and a shortcut around them."""

    def __init__(
        self,
        scope: str,
        channels: int,
        block: Block,
        stride: int,
        rates: Sequence[int],
        batch_norm: functools.partial,
    ):
        """`stride` and `rates` replace those of the block's table."""
        super().__init__()
        self.scope = scope
        # With a shortcut, ReLUs precede the depthwise convolutions, so that the sum is
        # linear. Without one they follow every batch norm.
        self._relu_before = block.shortcut != "none"
        self._identity = block.shortcut == "identity"
        self.convolutions = []
        inputs = channels
        for i, (filters, rate) in enumerate(zip(block.filters, rates), 1):
            self.convolutions.append(
                SeparableConvolution(
                    f"{scope}/separable_conv{i}",
                    inputs,
                    filters,
                    stride=stride if i == 3 else 1,
                    rate=rate,
                    activation=None if self._relu_before else tf.nn.relu,
                    initializers=(truncated_normal(STDDEV), truncated_normal(STDDEV)),
                    batch_norm=batch_norm,
                )
            )
            inputs = filters
        self.shortcut = None
        if block.shortcut == "convolution":
            self.shortcut = Convolution(
                f"{scope}/shortcut",
                channels,
                block.filters[-1],
                stride=stride,
                activation=None,
                initializer=truncated_normal(STDDEV),
                batch_norm=batch_norm,
            )

    def __call__(
        self, inputs: tf.Tensor, training: bool, end_points: EndPoints
    ) -> tf.Tensor:
        outputs = inputs
        for convolution in self.convolutions:
            if self._relu_before:
                outputs = tf.nn.relu(outputs)
            outputs = convolution(outputs, training, end_points)
        if self.shortcut is not None:
            outputs += self.shortcut(inputs, training, end_points)
        elif self._identity:
            outputs += inputs
        end_points[self.scope] = outputs
        return outputs


class Xception(Backbone):
    """A stack of blocks of Xception modules after two convolutions."""

    prelogits_keep = 0.5

    def __init__(
        self,
        scope: str,
        blocks: Sequence[Block],
        *,
        output_stride: int,
        multi_grid: Optional[Sequence[int]] = None,
        batch_norm_decay: Optional[float] = None,
    ):
        """Creates all variables.

        Args:
          scope: TF1 scope.
          blocks: the table of blocks.
          output_stride: input pixels per pixel of the last end point.
          multi_grid: factors on the atrous rates of the last block's three
            convolutions; default: 1, 1, 1.
          batch_norm_decay: default: the original's.
        """
        super().__init__()
        self.scope = scope
        self.channels = blocks[-1].filters[-1]
        batch_norm = functools.partial(
            BatchNorm, batch_norm_decay or BATCH_NORM_DECAY, BATCH_NORM_EPSILON
        )
        multi_grid = unit_rates(multi_grid or (1, 1, 1), 3)
        self.classifier_initializer = truncated_normal(STDDEV)
        self._build_stem(batch_norm)
        self._build_blocks(blocks, output_stride // 2, multi_grid, batch_norm)
        self._name_end_points()

    def _build_stem(self, batch_norm: functools.partial) -> None:
        self.stem, channels = [], 3
        for i, (filters, stride) in enumerate(STEM, 1):
            self.stem.append(
                Convolution(
                    f"{self.scope}/entry_flow/conv1_{i}",
                    channels,
                    filters,
                    3,
                    stride=stride,
                    initializer=truncated_normal(STDDEV),
                    batch_norm=batch_norm,
                )
            )
            channels = filters

    def _build_blocks(
        self,
        blocks: Sequence[Block],
        output_stride: int,
        multi_grid: Sequence[int],
        batch_norm: functools.partial,
    ) -> None:
        """Creates the blocks; `output_stride` is relative to the stem's output."""
        strides = [block.stride for block in blocks for _ in range(block.units)]
        units = iter(atrous_strides(strides, output_stride))
        self.blocks, channels = [], STEM[-1][0]
        for block in blocks:
            modules = []
            for i in range(1, block.units + 1):
                stride, rate = next(units)
                scope = f"{self.scope}/{block.name}/unit_{i}/xception_module"
                grid = multi_grid if block is blocks[-1] else (1, 1, 1)
                rates = [rate * unit_rate for unit_rate in grid]
                modules.append(
                    XceptionModule(scope, channels, block, stride, rates, batch_norm)
                )
                channels = block.filters[-1]
            self.blocks.append((f"{self.scope}/{block.name}", modules))

    def _name_end_points(self) -> None:
        scope = self.scope
        names = [name for name, _ in self.blocks]
        self.strides = dict(zip((4, 8, 13, 14, 15, 16), names))
        inside = "unit_1/xception_module/separable_conv2_pointwise"
        self.decoder_end_points = {
            4: (f"{scope}/entry_flow/block2/{inside}", 256),
            8: (f"{scope}/entry_flow/block3/{inside}", 728),
        }

    def __call__(self, images: tf.Tensor, training: bool = False) -> EndPoints:
        end_points: EndPoints = {}
        outputs = zero_mean_unit_range(images)
        for convolution in self.stem:
            outputs = convolution(outputs, training, end_points)
        for name, modules in self.blocks:
            for module in modules:
                outputs = self.call_module(module, outputs, training, end_points)
            end_points[name] = outputs
        return end_points


@register_backbone("xception_65", mean_pixel=MID_GRAY, last_units=3)
def xception_65(**kwargs) -> Xception:
    return Xception("xception_65", XCEPTION_65, **kwargs)
