"""The interface of a backbone, and the registry of its variants.

A new backbone is one new module in this package: a subclass of `Backbone` and a builder
with `@register_backbone("its_name", mean_pixel=...)`. Nothing else has to be edited.
"""

import abc
import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

import tensorflow as tf

from wss.errors import UserError
from wss.models.layers import EndPoints, Initializer
from wss.models.published_names import Naming
from wss.models.recompute import recomputed

Pixel = tuple[float, float, float]

# Padding of this color is 0 after the variant's preprocessing.
MID_GRAY: Pixel = (127.5, 127.5, 127.5)
IMAGENET_MEAN: Pixel = (123.15, 115.90, 103.06)


class DecoderWidths(NamedTuple):
    """Widths of a published `DPT` decoder.

    Attributes:
      features: channels of its feature maps.
      end_points: channels that each of the four end points is projected to.
    """

    features: int
    end_points: tuple[int, int, int, int]


class Backbone(tf.Module):
    """Maps images to end points: what a network needs of a backbone.

    Convolutional backbones have `decoder_end_points` for `DeepLabV3Plus`; vision
    transformers have `token_end_points` and `decoder_widths` for `DPT`.

    Attributes:
      scope: TF1 scope of all its variables.
      strides: name of the end point of each "stride". As in the original, 13, 14 and 15
        are earlier end points at the resolution of 16 (or of the output stride).
      decoder_end_points: name and channels of the end point for the decoder, by stride.
      token_end_points: names of four end points, all with `channels` channels at the
        resolution of the patches; the first is the earliest.
      decoder_widths: of the published decoder.
      channels: of the last end point.
      classifier_initializer: of the classifier's kernel [1, 1, channels, classes].
      prelogits_keep: keep probability of the classifier's dropout; 1 for no dropout.
      recompute: use gradient checkpointing in training. A module then has only its last
        end point.
    """

    scope: str
    strides: Mapping[int, str]
    decoder_end_points: Mapping[int, tuple[str, int]]
    token_end_points: Sequence[str]
    decoder_widths: DecoderWidths
    channels: int
    classifier_initializer: Initializer
    prelogits_keep: float = 1.0
    recompute: bool = False

    @property
    def unit_end_points(self) -> Mapping[int, tuple[str, int]]:
        """Like `decoder_end_points`, but the outputs of the units that contain them."""
        return self.decoder_end_points

    @property
    def pyramid_end_points(self) -> Sequence[tuple[str, int]]:
        """Names and channels of what the pyramid sees; of one resolution."""
        return [(self.strides[16], self.channels)]

    @abc.abstractmethod
    def __call__(self, images: tf.Tensor, training: bool = False) -> EndPoints:
        """Computes all end points.

        Args:
          images: [batch, height, width, 3] float32 in 0..255.
          training: whether batch norm uses the batch's statistics.

        Returns:
          Tensors [batch, height, width, channels] by the original's names.
        """

    def call_module(
        self, module: Any, inputs: tf.Tensor, training: bool, end_points: EndPoints
    ) -> tf.Tensor:
        """Calls module(inputs, training, end_points), with `recompute` checkpointed.

        Args:
          module: its `scope` is the name of its output among the end points.
          inputs: [batch, height, width, channels].
          training: see `__call__`.
          end_points: receives the module's end points.
        """
        needed = (name for name, _ in self.decoder_end_points.values())
        inside = f"{module.scope}/"
        if not (self.recompute and training) or any(
            name.startswith(inside) for name in needed
        ):
            return module(inputs, training, end_points)
        outputs = recomputed(lambda x: module(x, training, {}), inputs)
        end_points[module.scope] = outputs
        return outputs


class _Variant(NamedTuple):
    builder: Callable[..., Backbone]
    mean_pixel: Pixel
    last_units: Optional[int]
    namings: Sequence[Naming]
    package: Optional[str]
    patch_size: Optional[int]


_variants: dict[str, _Variant] = {}


def register_backbone(
    name: str,
    *,
    mean_pixel: Pixel,
    last_units: Optional[int] = None,
    namings: Sequence[Naming] = (),
    package: Optional[str] = None,
    patch_size: Optional[int] = None,
) -> Callable:
    """Decorator that registers a builder of a backbone as the variant `name`.

    Args:
      name: value of MODEL_VARIANT.
      mean_pixel: RGB in 0..255 that padding is filled with.
      last_units: number of rates that a multi grid has; None: the builder finds out.
      namings: how published files of its weights name its layers.
      package: distribution on the package index with such a file of ImageNet weights.
      patch_size: of a vision transformer, pixels; None: the backbone is convolutional.

    Returns:
      The decorator. The builder takes the keywords `output_stride`, `multi_grid` and
      `batch_norm_decay`; the last two are None for the variant's defaults.
    """

    def register(builder: Callable[..., Backbone]) -> Callable[..., Backbone]:
        _variants[name] = _Variant(
            builder, mean_pixel, last_units, namings, package, patch_size
        )
        return builder

    return register


def variants() -> list[str]:
    """Names of all backbones."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    return sorted(_variants)


def _variant(name: str) -> _Variant:
    if name not in _variants and name not in variants():
        raise UserError(
            f"MODEL_VARIANT = {name!r}: there is no such backbone. Choose one of "
            f"{', '.join(variants())}."
        )
    return _variants[name]


def create_backbone(name: str, **kwargs: Any) -> Backbone:
    """Builds the variant; keywords: see `register_backbone`.

    Raises:
      UserError: unknown name, or a multi grid of the wrong length.
    """
    return _variant(name).builder(**kwargs)


def check_multi_grid(variant: str, multi_grid: Optional[Sequence[int]]) -> None:
    """Checks the length of a multi grid before anything is built.

    Raises:
      UserError: unknown variant, or it has another number of units.
    """
    units = _variant(variant).last_units
    if multi_grid and units:
        unit_rates(multi_grid, units)


def mean_pixel(variant: str) -> Pixel:
    """RGB in 0..255 that padding is filled with, 0 after preprocessing."""
    return _variant(variant).mean_pixel


def patch_size(variant: str) -> Optional[int]:
    """Side of the patches of a vision transformer, pixels; None for a convolution."""
    return _variant(variant).patch_size


def namings(variant: str) -> Sequence[Naming]:
    """How published files of the variant's weights name its layers; may be none."""
    return _variant(variant).namings


def weight_package(variant: str) -> Optional[str]:
    """The distribution with the variant's ImageNet weights, if there is one."""
    return _variant(variant).package


def zero_mean_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Maps 0..255 to -1..1, so MID_GRAY to 0."""
    return (2.0 / 255.0) * tf.cast(images, tf.float32) - 1.0


def atrous_strides(strides: Sequence[int], output_stride: int) -> list[tuple[int, int]]:
    """Replaces the strides beyond the output stride with atrous rates.

    Args:
      strides: of the units, in order.
      output_stride: largest product of the strides.

    Returns:
      Stride and atrous rate of each unit.

    Raises:
      ValueError: the strides do not reach the output stride.
    """
    current, rate, units = 1, 1, []
    for stride in strides:
        if current < output_stride:
            units.append((stride, 1))
            current *= stride
        else:
            units.append((1, rate))
            rate *= stride
    if current != output_stride:
        raise ValueError(f"Strides {strides} do not reach {output_stride}")
    return units


def unit_rates(multi_grid: Sequence[int], units: int) -> tuple[int, ...]:
    """Returns the rates of the last block's units as a tuple.

    Raises:
      UserError: the block has another number of units.
    """
    if len(multi_grid) != units:
        raise UserError(
            f"DeepLabV3Plus.multi_grid = {tuple(multi_grid)} has {len(multi_grid)} "
            f"rates; the last block of this backbone takes {units}. Give {units} rates."
        )
    return tuple(multi_grid)
