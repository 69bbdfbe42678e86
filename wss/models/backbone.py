"""What a backbone is, and how its variant is found by name.

A new backbone is one new module in this package: a class like `Backbone` and a builder
under `@register_backbone("its_name", mean_pixel=...)`. Nothing else has to be edited.
"""

import abc
import importlib
import pkgutil
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Sequence,
    Tuple,
)

import tensorflow as tf

from wss.errors import UserError
from wss.models.layers import EndPoints, Initializer
from wss.models.published_names import Naming
from wss.models.recompute import recomputed

Pixel = Tuple[float, float, float]

# What padding has to be filled with to be 0 after the variant's preprocessing.
MID_GREY: Pixel = (127.5, 127.5, 127.5)
IMAGENET_MEAN: Pixel = (123.15, 115.90, 103.06)


class Backbone(tf.Module):
    """Images to end points: what `DeepLabV3Plus` asks of a backbone.

    Attributes:
      scope: TF1 scope of all its variables.
      strides: names the end point of each "stride"; as in the original 13, 14, 15 are
        earlier end points at the resolution of 16 (or of the output stride).
      decoder_end_points: name and channels of the end point for the decoder, by stride.
      channels: of the last end point.
      classifier_initializer: of the classifier's kernel [1, 1, channels, classes].
      prelogits_keep: share that the classifier's dropout keeps; 1 for no dropout.
      recompute: gradient checkpointing in training. A module then has only its last end
        point.
    """

    scope: str
    strides: Mapping[int, str]
    decoder_end_points: Mapping[int, Tuple[str, int]]
    channels: int
    classifier_initializer: Initializer
    prelogits_keep: float = 1.0
    recompute: bool = False

    @property
    def unit_end_points(self) -> Mapping[int, Tuple[str, int]]:
        """Like `decoder_end_points`, but of the whole units that contain them."""
        return self.decoder_end_points

    @abc.abstractmethod
    def __call__(self, images: tf.Tensor, training: bool = False) -> EndPoints:
        """Computes all end points.

        Args:
          images: [batch, height, width, 3] float32 in 0..255.
          training: whether batch norm takes the batch's statistics.

        Returns:
          Tensors [batch, height, width, channels] by the original's names.
        """

    def call_module(
        self, module: Any, inputs: tf.Tensor, training: bool, end_points: EndPoints
    ) -> tf.Tensor:
        """module(inputs, training, end_points), recomputed if that saves memory.

        Args:
          module: has a `scope`, the name of its output among the end points.
          inputs: [batch, height, width, channels].
          training: see `__call__`.
          end_points: takes the module's.
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


_variants: Dict[str, _Variant] = {}


def register_backbone(
    name: str,
    *,
    mean_pixel: Pixel,
    last_units: Optional[int] = None,
    namings: Sequence[Naming] = (),
    package: Optional[str] = None,
) -> Callable:
    """Decorator of a builder of a backbone: makes it known as the variant `name`.

    Args:
      name: what MODEL_VARIANT calls it.
      mean_pixel: RGB in 0..255 that padding is filled with.
      last_units: number of rates that a multi grid has; None: the builder finds out.
      namings: how published files of its weights name its layers.
      package: distribution on the package index with such a file of ImageNet weights.

    Returns:
      The decorator. The builder takes the keywords `output_stride`, `multi_grid` (None
      for the variant's own) and `batch_norm_decay` (None for the variant's own).
    """

    def register(builder: Callable[..., Backbone]) -> Callable[..., Backbone]:
        _variants[name] = _Variant(builder, mean_pixel, last_units, namings, package)
        return builder

    return register


def variants() -> List[str]:
    """Names of all backbones."""
    package = importlib.import_module(__package__)
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{__package__}.{module.name}")
    return sorted(_variants)


def _variant(name: str) -> _Variant:
    if name not in _variants and name not in variants():
        raise UserError(
            f"Unknown model variant {name!r}. MODEL_VARIANT is one of: "
            f"{', '.join(variants())}."
        )
    return _variants[name]


def create_backbone(name: str, **kwargs: Any) -> Backbone:
    """Builds the variant; keywords: see `register_backbone`.

    Raises:
      UserError: unknown name, or a multi grid that does not fit it.
    """
    return _variant(name).builder(**kwargs)


def check_multi_grid(variant: str, multi_grid: Optional[Sequence[int]]) -> None:
    """Refuses a multi grid of the wrong length before anything is built.

    Raises:
      UserError: unknown variant, or the number of rates is not that of its units.
    """
    units = _variant(variant).last_units
    if multi_grid and units:
        unit_rates(multi_grid, units)


def mean_pixel(variant: str) -> Pixel:
    """RGB in 0..255 that padding is filled with, 0 after preprocessing."""
    return _variant(variant).mean_pixel


def namings(variant: str) -> Sequence[Naming]:
    """How published files of the variant's weights name its layers; may be none."""
    return _variant(variant).namings


def weight_package(variant: str) -> Optional[str]:
    """The distribution with the variant's ImageNet weights, if there is one."""
    return _variant(variant).package


def zero_mean_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Maps 0..255 to -1..1: the preprocessing that MID_GREY belongs to."""
    return (2.0 / 255.0) * tf.cast(images, tf.float32) - 1.0


def atrous_strides(strides: Sequence[int], output_stride: int) -> List[Tuple[int, int]]:
    """Trades the strides beyond the output stride for atrous rates.

    Args:
      strides: of the units, in order.
      output_stride: what the product of strides may reach.

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


def unit_rates(multi_grid: Sequence[int], units: int) -> Tuple[int, ...]:
    """Checks the rates of the last block's units.

    Raises:
      UserError: their number is not the block's number of units.
    """
    if len(multi_grid) != units:
        raise UserError(
            f"DeepLabV3Plus.multi_grid = {tuple(multi_grid)} has {len(multi_grid)} "
            f"rates; the last block of this backbone takes {units}. Give {units} rates."
        )
    return tuple(multi_grid)
