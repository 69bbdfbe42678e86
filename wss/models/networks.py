"""The network of each encoder: which decoder it has, and which images it takes."""

from collections.abc import Mapping
from typing import Any

import gin

from wss.models import backbone
from wss.models.deeplab import DeepLabV3Plus
from wss.models.dpt import DPT
from wss.models.network import SegmentationNetwork
from wss.settings import Grid


def create(
    num_classes: int, variant: str, output_stride: int, **settings: Any
) -> SegmentationNetwork:
    """Builds the network of a backbone: `DPT` for vision transformers.

    Args:
      num_classes: background included.
      variant: of the backbone.
      output_stride: image pixels per pixel of a convolutional backbone's features.
      settings: other arguments of the network's class; gin sets the rest.

    Raises:
      UserError: unknown variant, or settings that it does not support.
    """
    if backbone.patch_size(variant):
        return DPT(num_classes, variant, **settings)
    return DeepLabV3Plus(num_classes, variant, output_stride, **settings)


def check(variant: str) -> None:
    """Checks the variant and what gin sets for its network, before it is built.

    Raises:
      UserError: unknown variant, or a multi grid that it does not support.
    """
    multi_grid = gin.get_bindings(DeepLabV3Plus).get("multi_grid")
    backbone.check_multi_grid(variant, multi_grid)


def frozen_batch_norm(variant: str) -> str:
    """What gin freezes of the backbone's batch norm; `DPT` has none: "none"."""
    if backbone.patch_size(variant):
        return "none"
    return gin.get_bindings(DeepLabV3Plus).get("frozen_batch_norm", "none")


def grid(variant: str, output_stride: int) -> Grid:
    """The sides of the images that a network takes; arguments: see `create`."""
    patch = backbone.patch_size(variant)
    if patch:
        return Grid(patch, 0, f"a multiple of {patch}, the patch size of {variant}")
    return Grid(
        output_stride, 1, f"a multiple of the output stride {output_stride} plus one"
    )


def from_config(config: Mapping[str, Any]) -> SegmentationNetwork:
    """The network that `SegmentationNetwork.get_config` describes."""
    decoder = DPT if backbone.patch_size(config["variant"]) else DeepLabV3Plus
    return decoder.from_config(config)
