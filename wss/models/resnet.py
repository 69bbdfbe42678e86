"""ResNet with atrous convolution, as slim, PyTorch and Keras have published it.

Kaiming He et al., "Deep Residual Learning for Image Recognition" (arXiv:1512.03385).
`resnet_v1_*` are slim's; their `_beta` replaces the 7x7 root by three 3x3 convolutions,
with variables in the plain variant's scope. Constants of deeplab/core/resnet_v1_beta.py
and feature_extractor.py of the original. `resnet_*` are torchvision's and timm's;
`_deep` has the root of three convolutions that U2PL and UniMatch use; `_keras` is that
of keras.applications. They differ in where the stride is and in the preprocessing, so
that the weights of one are of no use in another.
"""

import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Callable, NamedTuple, Optional

import tensorflow as tf

from wss.models.backbone import (
    IMAGENET_MEAN,
    MID_GRAY,
    Backbone,
    Pixel,
    atrous_strides,
    register_backbone,
    unit_rates,
    zero_mean_unit_range,
)
from wss.models.batch_norm import BatchNorm
from wss.models.layers import Convolution, EndPoints, Initializer, truncated_normal
from wss.models.published_names import Naming, with_batch_norm

BATCH_NORM_DECAY = 0.95
BATCH_NORM_EPSILON = 1e-5

# Kernel size and filters of the convolutions of the root; the first has stride 2.
PLAIN_ROOT = ((7, 64),)
BETA_ROOT = ((3, 64), (3, 64), (3, 128))
SMALL_ROOT = ((3, 16), (3, 16), (3, 32))


class Edition(NamedTuple):
    """What differs between the publishers of one architecture.

    Attributes:
      preprocess: images in 0..255 to the network's input.
      mean_pixel: RGB that `preprocess` maps to 0.
      strides_first: the first unit of blocks 2 to 4 has the stride and the root is
        pooled with symmetric padding; otherwise the last unit of blocks 1 to 3 has it
        and TensorFlow's SAME pads, which is the same for odd sizes.
      strided_convolution: number of the unit's convolution that has the stride.
    """

    preprocess: Callable[[tf.Tensor], tf.Tensor]
    mean_pixel: Pixel
    strides_first: bool
    strided_convolution: int


def _less_mean(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32) - tf.constant(IMAGENET_MEAN)


def _standardized(images: tf.Tensor) -> tf.Tensor:
    images = tf.cast(images, tf.float32) - tf.constant(TORCH_MEAN)
    return images / tf.constant(TORCH_DEVIATION)


def _less_mean_bgr(images: tf.Tensor) -> tf.Tensor:
    images = tf.cast(images, tf.float32) - tf.constant(CAFFE_MEAN)
    return tf.reverse(images, [-1])


TORCH_MEAN: Pixel = (123.675, 116.28, 103.53)  # (0.485, 0.456, 0.406) of 0..1.
TORCH_DEVIATION: Pixel = (58.395, 57.12, 57.375)
CAFFE_MEAN: Pixel = (123.68, 116.779, 103.939)

SLIM = Edition(_less_mean, IMAGENET_MEAN, False, 2)
SLIM_BETA = Edition(zero_mean_unit_range, MID_GRAY, False, 2)
TORCH = Edition(_standardized, TORCH_MEAN, True, 2)
KERAS = Edition(_less_mean_bgr, CAFFE_MEAN, True, 1)


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
    """Convolutions plus a shortcut, then a ReLU."""

    def __init__(
        self,
        scope: str,
        channels: int,
        kernels: Sequence[int],
        widths: Sequence[int],
        stride: int,
        rate: int,
        strided_convolution: int,
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
                activation=None,
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
                    stride=stride if i == strided_convolution else 1,
                    rate=rate if kernel_size > 1 else 1,
                    activation=tf.nn.relu if i < len(kernels) else None,
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
        edition: Edition,
        *,
        output_stride: int,
        multi_grid: Optional[Sequence[int]] = None,
        batch_norm_decay: Optional[float] = None,
    ):
        """Creates all variables.

        Args:
          architecture: scope, units and widths.
          root: kernel size and filters of the convolutions before the blocks.
          edition: the publisher's.
          output_stride: input pixels per pixel of the last end point.
          multi_grid: factors on the atrous rates of the last block's units; default: 1,
            as in the original (the DeepLab authors advise 1, 2, 4).
          batch_norm_decay: default: the original's.
        """
        super().__init__()
        self.scope = architecture.scope
        self._edition = edition
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
        edition, strides = self._edition, []
        for i, count in enumerate(units, 1):
            others = [1] * (count - 1)
            if edition.strides_first:
                strides += [2 if i > 1 else 1, *others]
            else:
                strides += [*others, 2 if i < last else 1]
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
                        edition.strided_convolution,
                        batch_norm,
                    )
                )
                channels = block_widths[-1]
            self.blocks.append((f"{scope}/block{i}", modules))
        # The last convolution of stride 4 and of stride 8.
        for i, stride in ((1, 4), (2, 8)):
            unit_number = units[i - 1] - (0 if edition.strides_first else 1)
            unit = f"{scope}/block{i}/unit_{unit_number}/{unit_name}"
            self.decoder_end_points[stride] = (
                f"{unit}/conv{len(kernels)}",
                2 ** (i - 1) * widths[-1],
            )
        numbers = (4, 8, 15, 16) if edition.strides_first else (8, 14, 15, 16)
        self.strides = dict(zip(numbers, (name for name, _ in self.blocks)))
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
        outputs = self._edition.preprocess(images)
        for convolution in self.root:
            outputs = convolution(outputs, training, end_points)
        if self._edition.strides_first:
            outputs = tf.pad(outputs, [[0, 0], [1, 1], [1, 1], [0, 0]])  # After a ReLU.
            outputs = tf.nn.max_pool2d(outputs, 3, 2, "VALID")
        else:
            outputs = tf.nn.max_pool2d(outputs, 3, 2, "SAME")
        for name, modules in self.blocks:
            for module in modules:
                outputs = self.call_module(module, outputs, training, end_points)
            end_points[name] = outputs
        return end_points


def _torch_layers(architecture: Architecture, is_deep: bool) -> dict[str, str]:
    """Layers of torchvision and timm, and of U2PL's deep root -> our scopes."""
    layers = {"fc": "logits"}
    if is_deep:
        layers.update(with_batch_norm("conv1.0", "conv1.1", "conv1_1"))
        layers.update(with_batch_norm("conv1.3", "conv1.4", "conv1_2"))
        layers.update(with_batch_norm("conv1.6", "bn1", "conv1_3"))
    else:
        layers.update(with_batch_norm("conv1", "bn1", "conv1"))
    for i, j, scope in _unit_scopes(architecture):
        theirs = f"layer{i}.{j - 1}"
        names = {
            f"{theirs}.conv{k}": (f"{theirs}.bn{k}", f"conv{k}") for k in (1, 2, 3)
        }
        if j == 1:
            names[f"{theirs}.downsample.0"] = f"{theirs}.downsample.1", "shortcut"
        for layer, (batch_norm, part) in names.items():
            layers.update(with_batch_norm(layer, batch_norm, f"{scope}/{part}"))
    return layers


def _keras_layers(architecture: Architecture) -> dict[str, str]:
    """Layers of keras.applications -> our scopes; older files call the last `probs`."""
    layers = {"predictions": "logits", "probs": "logits"}
    layers.update(with_batch_norm("conv1_conv", "conv1_bn", "conv1"))
    for i, j, scope in _unit_scopes(architecture):
        parts = {0: "shortcut", 1: "conv1", 2: "conv2", 3: "conv3"}
        if j > 1:
            del parts[0]
        for k, part in parts.items():
            theirs = f"conv{i + 1}_block{j}_{k}"
            layers.update(
                with_batch_norm(f"{theirs}_conv", f"{theirs}_bn", f"{scope}/{part}")
            )
    return layers


def _unit_scopes(architecture: Architecture) -> Iterator[tuple[int, int, str]]:
    """Block and unit, from 1, and the scope inside the backbone's."""
    for i, count in enumerate(architecture.units, 1):
        for j in range(1, count + 1):
            yield i, j, f"block{i}/unit_{j}/{architecture.unit}"


def _register(
    name: str,
    architecture: Architecture,
    root: Sequence[tuple[int, int]],
    edition: Edition,
    namings: Sequence[Naming] = (),
) -> None:
    register_backbone(
        name,
        mean_pixel=edition.mean_pixel,
        last_units=architecture.units[-1],
        namings=namings,
    )(functools.partial(ResNet, architecture, root, edition))


for _slim in (RESNET_50, RESNET_101):
    _register(_slim.scope, _slim, PLAIN_ROOT, SLIM)
    _register(f"{_slim.scope}_beta", _slim, BETA_ROOT, SLIM_BETA)
    _name = _slim.scope.replace("_v1", "")
    for _scope, _root, _edition, _naming in (
        (_name, PLAIN_ROOT, TORCH, Naming("torchvision", _torch_layers(_slim, False))),
        (f"{_name}_deep", BETA_ROOT, TORCH, Naming("U2PL", _torch_layers(_slim, True))),
        (f"{_name}_keras", PLAIN_ROOT, KERAS, Naming("Keras", _keras_layers(_slim))),
    ):
        _own = _slim._replace(scope=_scope)
        _register(_scope, _own, _root, _edition, (_naming,))
_register("resnet_v1_18_beta", RESNET_18, SMALL_ROOT, SLIM_BETA)
# A quarter of the filters, for demonstrations that take minutes on a CPU.
_register("resnet_v1_18_quarter_beta", RESNET_18_QUARTER, SMALL_ROOT, SLIM_BETA)
