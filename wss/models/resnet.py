"""ResNet-v1 with atrous convolution, plain and `_beta`.

Kaiming He et al., "Deep Residual Learning for Image Recognition" (arXiv:1512.03385).
The `_beta` variants replace the 7x7 root with three 3x3 convolutions; their variables
have the plain variant's scope. The stride of a block is in its last unit.
Constants of deeplab/core/resnet_v1_beta.py and feature_extractor.py of the original.
"""

import functools
import math
from typing import Mapping, NamedTuple, Optional, Sequence

import tensorflow as tf

from wss.models.backbone import (
    IMAGENET_MEAN,
    MID_GREY,
    Backbone,
    Pixel,
    atrous_strides,
    register_backbone,
    unit_rates,
    zero_mean_unit_range,
)
from wss.models.batch_norm import BatchNorm
from wss.models.layers import Convolution, EndPoints, Initializer, truncated_normal

BATCH_NORM_DECAY = 0.95
BATCH_NORM_EPSILON = 1e-5

# Kernel size and filters of the convolutions of the root; the first has stride 2.
PLAIN_ROOT = ((7, 64),)
BETA_ROOT = ((3, 64), (3, 64), (3, 128))
SMALL_ROOT = ((3, 16), (3, 16), (3, 32))


class Architecture(NamedTuple):
    """One depth of ResNet.

    Attributes:
      scope: TF1 scope.
      unit: name of the residual unit in the scopes.
      kernels: kernel sizes of a unit's convolutions.
      widths: their filters in the first block; each block doubles them.
      units: number of units of each block.
    """

    scope: str
    unit: str
    kernels: tuple[int, ...]
    widths: tuple[int, ...]
    units: tuple[int, ...]


_BOTTLENECK = ("bottleneck_v1", (1, 3, 1), (64, 64, 256))
_LITE = ("lite_bottleneck_v1", (3, 3), (64, 64))
RESNET_18 = Architecture("resnet_v1_18", *_LITE, (2, 2, 2, 2))
RESNET_18_QUARTER = RESNET_18._replace(widths=(16, 16))
RESNET_50 = Architecture("resnet_v1_50", *_BOTTLENECK, (3, 4, 6, 3))
RESNET_101 = Architecture("resnet_v1_101", *_BOTTLENECK, (3, 4, 23, 3))


def variance_scaling(fan_in: int) -> Initializer:
    """slim's variance scaling, factor 2; 1.3 compensates for the truncation."""
    return truncated_normal(math.sqrt(1.3 * 2.0 / fan_in))


def _convolution(
    scope: str, channels: int, filters: int, kernel_size: int, **kwargs
) -> Convolution:
    initializer = variance_scaling(kernel_size * kernel_size * channels)
    return Convolution(
        scope, channels, filters, kernel_size, initializer=initializer, **kwargs
    )


class ResidualUnit(tf.Module):
    """Convolutions plus a shortcut, then a ReLU; the second convolution is strided."""

    def __init__(
        self,
        scope: str,
        channels: int,
        kernels: Sequence[int],
        widths: Sequence[int],
        stride: int,
        rate: int,
        batch_norm: functools.partial,
    ):
        super().__init__()
        self.scope = scope
        self._stride = stride
        self.shortcut = None
        if channels != widths[-1]:
            self.shortcut = _convolution(
                f"{scope}/shortcut",
                channels,
                widths[-1],
                1,
                stride=stride,
                relu=False,
                batch_norm=batch_norm,
            )
        self.convolutions = []
        for i, (kernel_size, filters) in enumerate(zip(kernels, widths), 1):
            self.convolutions.append(
                _convolution(
                    f"{scope}/conv{i}",
                    channels,
                    filters,
                    kernel_size,
                    stride=stride if i == 2 else 1,
                    rate=rate if kernel_size > 1 else 1,
                    relu=i < len(kernels),
                    batch_norm=batch_norm,
                )
            )
            channels = filters

    def __call__(
        self, inputs: tf.Tensor, training: bool, end_points: EndPoints
    ) -> tf.Tensor:
        if self.shortcut is not None:
            shortcut = self.shortcut(inputs, training, end_points)
        else:
            shortcut = inputs[:, :: self._stride, :: self._stride]
        residual = inputs
        for convolution in self.convolutions:
            residual = convolution(residual, training, end_points)
        end_points[self.scope] = outputs = tf.nn.relu(shortcut + residual)
        return outputs


class ResNet(Backbone):
    """Four blocks of residual units after a root of stride 4."""

    def __init__(
        self,
        architecture: Architecture,
        root: Sequence[tuple[int, int]],
        *,
        output_stride: int,
        multi_grid: Optional[Sequence[int]] = None,
        batch_norm_decay: Optional[float] = None,
    ):
        """Creates all variables.

        Args:
          architecture: scope, units and widths.
          root: kernel size and filters of the convolutions before the blocks.
          output_stride: input pixels per pixel of the last end point.
          multi_grid: factors on the atrous rates of the last block's units; default: 1,
            as in the original (the DeepLab authors advise 1, 2, 4).
          batch_norm_decay: default: the original's.
        """
        super().__init__()
        self.scope = architecture.scope
        self._zero_mean_unit_range = root is not PLAIN_ROOT
        batch_norm = functools.partial(
            BatchNorm, batch_norm_decay or BATCH_NORM_DECAY, BATCH_NORM_EPSILON
        )
        self.root, channels = [], 3
        for i, (kernel_size, filters) in enumerate(root, 1):
            self.root.append(
                _convolution(
                    f"{self.scope}/conv1" + (f"_{i}" if len(root) > 1 else ""),
                    channels,
                    filters,
                    kernel_size,
                    stride=2 if i == 1 else 1,
                    batch_norm=batch_norm,
                )
            )
            channels = filters
        self._build_blocks(
            architecture, channels, output_stride, multi_grid, batch_norm
        )
        self.classifier_initializer = variance_scaling(self.channels)

    def _build_blocks(
        self,
        architecture: Architecture,
        channels: int,
        output_stride: int,
        multi_grid: Optional[Sequence[int]],
        batch_norm: functools.partial,
    ) -> None:
        scope, unit_name, kernels, widths, units = architecture
        last = len(units)
        multi_grid = unit_rates(multi_grid or (1,) * units[-1], units[-1])
        strides = []
        for i, count in enumerate(units, 1):
            strides += [1] * (count - 1) + [2 if i < last else 1]
        atrous = iter(atrous_strides(strides, output_stride // 4))
        self.blocks, self.decoder_end_points = [], {}
        for i, count in enumerate(units, 1):
            modules = []
            block_widths = [2 ** (i - 1) * width for width in widths]
            for j in range(1, count + 1):
                stride, rate = next(atrous)
                if i == last:
                    rate *= multi_grid[j - 1]
                unit_scope = f"{scope}/block{i}/unit_{j}/{unit_name}"
                modules.append(
                    ResidualUnit(
                        unit_scope,
                        channels,
                        kernels,
                        block_widths,
                        stride,
                        rate,
                        batch_norm,
                    )
                )
                channels = block_widths[-1]
            self.blocks.append((f"{scope}/block{i}", modules))
        # The last convolution before the stride of blocks 1 and 2.
        for i, stride in ((1, 4), (2, 8)):
            unit = f"{scope}/block{i}/unit_{units[i - 1] - 1}/{unit_name}"
            self.decoder_end_points[stride] = (
                f"{unit}/conv{len(kernels)}",
                2 ** (i - 1) * widths[-1],
            )
        self.strides = dict(zip((8, 14, 15, 16), (name for name, _ in self.blocks)))
        self.channels = channels

    @property
    def unit_end_points(self) -> Mapping[int, tuple[str, int]]:
        """The sums of residual and shortcut; `decoder_end_points` are residuals."""
        return {
            stride: (name.rsplit("/", 1)[0], channels)
            for stride, (name, channels) in self.decoder_end_points.items()
        }

    def __call__(self, images: tf.Tensor, training: bool = False) -> EndPoints:
        end_points: EndPoints = {}
        if self._zero_mean_unit_range:
            outputs = zero_mean_unit_range(images)
        else:
            outputs = tf.cast(images, tf.float32) - tf.constant(IMAGENET_MEAN)
        for convolution in self.root:
            outputs = convolution(outputs, training, end_points)
        outputs = tf.nn.max_pool2d(outputs, 3, 2, "SAME")
        for name, modules in self.blocks:
            for module in modules:
                outputs = self.call_module(module, outputs, training, end_points)
            end_points[name] = outputs
        return end_points


def _register(
    name: str, architecture: Architecture, root: Sequence[tuple[int, int]], pixel: Pixel
) -> None:
    register_backbone(name, mean_pixel=pixel, last_units=architecture.units[-1])(
        functools.partial(ResNet, architecture, root)
    )


for _architecture in (RESNET_50, RESNET_101):
    _register(_architecture.scope, _architecture, PLAIN_ROOT, IMAGENET_MEAN)
    _register(f"{_architecture.scope}_beta", _architecture, BETA_ROOT, MID_GREY)
_register("resnet_v1_18_beta", RESNET_18, SMALL_ROOT, MID_GREY)
# A quarter of the filters, for demonstrations that take minutes on a CPU.
_register("resnet_v1_18_quarter_beta", RESNET_18_QUARTER, SMALL_ROOT, MID_GREY)
