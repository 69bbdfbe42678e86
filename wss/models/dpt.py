"""DPT: a decoder that fuses four layers of a vision transformer.

Ranftl et al., "Vision Transformers for Dense Prediction" (arXiv:2103.13413); layers and
constants of model/semseg/dpt.py of LiheYoung/UniMatch-V2, which has no batch norm.
"""

import functools
import math
from collections.abc import Sequence
from typing import Optional

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.models.backbone import create_backbone, patch_size
from wss.models.batch_norm import BatchNorm
from wss.models.heads import STYLES, pixel_outputs, torch_default
from wss.models.layers import EndPoints, build
from wss.models.network import SegmentationNetwork
from wss.ops.resize import resize_bilinear, sides
from wss.settings import NonNegative

# Of the only batch norm here, that of an auxiliary head (`create_auxiliary_head`).
BATCH_NORM_DECAY = 0.9
BATCH_NORM_EPSILON = 1e-5
# Sides of the first feature map, and of the logits, in pixels per patch.
_FIRST_SCALE = 4
_LOGITS_SCALE = 8


@gin.configurable(denylist=["num_classes", "variant"])
class DPT(SegmentationNetwork):
    """A vision transformer and the decoder of UniMatch V2.

    The sides of the images are static multiples of the patch size. The logits have 8 x
    8 pixels for each patch.

    Attributes: see `SegmentationNetwork`. `output_stride` is the patch size.

    >>> model = DPT(num_classes=3, variant="dinov2_vits14")
    >>> print(model(tf.zeros([1, 28, 42, 3])).shape)
    (1, 16, 24, 3)
    """

    def __init__(
        self,
        num_classes: int,
        variant: str,
        position_offset: Optional[NonNegative] = None,
        recompute: bool = False,
    ):
        """Creates all variables.

        Args:
          num_classes: background included.
          variant: of the backbone, e.g. "dinov2_vits14".
          position_offset: shifts the positions of patches where the image has another
            size than 518 x 518; default: that of facebookresearch/dinov2, 0.1, and 0
            with registers. Transformers has 0 for all.
          recompute: use gradient checkpointing for the backbone's blocks in training:
            less memory, more time.

        Raises:
          UserError: unknown variant, or it is no vision transformer.
        """
        patch = patch_size(variant)
        if patch is None:
            raise UserError(
                f"{variant!r} is a convolutional backbone; DPT decodes vision "
                "transformers. Build it by wss.models.networks.create."
            )
        super().__init__(autocast=False)  # Images are float32 until preprocessing.
        # Explicit arguments: gin must not bind them a second time.
        self._create_clone = functools.partial(
            DPT,
            num_classes,
            variant=variant,
            position_offset=position_offset,
            recompute=recompute,
        )
        self.variant = variant
        self.num_classes = num_classes
        self.output_stride = patch
        self.example_side = 2 * patch
        self.backbone = create_backbone(variant, position_offset=position_offset)
        self.backbone.recompute = recompute
        self._batch_norm = functools.partial(
            BatchNorm, BATCH_NORM_DECAY, BATCH_NORM_EPSILON
        )
        self._style = STYLES["u2pl"]
        widths = self.backbone.decoder_widths
        self._channels = widths.features
        self.decoder = _Decoder(
            self.backbone.channels, widths.end_points, widths.features
        )
        self.head = _Head("dpt/output", "logits/semantic", self._channels, num_classes)
        self.classifier = self._create_classifier()
        self.built = True

    @property
    def decoder_inputs(self) -> list[str]:
        """See `SegmentationNetwork`; all have the same channels."""
        return list(self.backbone.token_end_points)

    def create_head(self, scope: str, depth: int) -> "_Head":
        """See `SegmentationNetwork.create_head`: a head like that of the logits."""
        return _Head(f"{scope}/conv0", f"{scope}/outputs", self._channels, depth)

    def fuse(
        self,
        end_points: EndPoints,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """See `SegmentationNetwork.fuse`; there is neither batch norm nor dropout."""
        del training, dropout_seeds
        return self.decoder([end_points[name] for name in self.decoder_inputs])

    def read_logits(
        self,
        fused: tf.Tensor,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """See `SegmentationNetwork.read_logits`."""
        return self.head(fused, training, dropout_seeds)

    def logits_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        """See `SegmentationNetwork.logits_size`."""
        patch = self.output_stride
        return tuple(_LOGITS_SCALE * (side // patch) for side in image_size)

    def scaled_size(self, image_size: Sequence[int], scale: float) -> tuple[int, int]:
        """See `SegmentationNetwork.scaled_size`; the nearest multiple of a patch."""
        patch = self.output_stride
        return tuple(
            patch * max(1, int(side * scale / patch + 0.5)) for side in image_size
        )


class _Decoder(tf.Module):
    """Projects four end points to four resolutions, and fuses them from coarse to fine.

    Their sides are 4, 2, 1 and 1/2 times those of the grid of patches.
    """

    def __init__(self, channels: int, projected: Sequence[int], features: int):
        super().__init__()
        self.projections = [
            _convolution(f"dpt/projection_{i}", channels, projected[i - 1])
            for i in (1, 2, 3, 4)
        ]
        self.enlargements = [
            _enlargement(f"dpt/resize_{i}", projected[i - 1], _FIRST_SCALE // i)
            for i in (1, 2)
        ]
        self.reduction = _convolution(
            "dpt/resize_4", projected[3], projected[3], 3, strides=2, padding="valid"
        )
        self.layers = [
            _convolution(
                f"dpt/layer_{i}", projected[i - 1], features, 3, use_bias=False
            )
            for i in (1, 2, 3, 4)
        ]
        self.fusions = [
            _Fusion(f"dpt/fusion_{i}", features, joins=i < 4) for i in (1, 2, 3, 4)
        ]

    def __call__(self, end_points: Sequence[tf.Tensor]) -> tf.Tensor:
        """Maps four [batch, h, w, channels] to [batch, 8 h, 8 w, features]."""
        first, second, third, fourth = (
            projection(end_point)
            for projection, end_point in zip(self.projections, end_points)
        )
        first, second = (f(x) for f, x in zip(self.enlargements, (first, second)))
        fourth = self.reduction(tf.pad(fourth, [[0, 0], [1, 1], [1, 1], [0, 0]]))
        maps = [f(x) for f, x in zip(self.layers, (first, second, third, fourth))]
        sizes = [sides(x) for x in maps]
        sizes = [tuple(2 * side for side in sizes[0]), *sizes]
        fused = None
        for fusion, layer, size in list(zip(self.fusions, maps, sizes))[::-1]:
            fused = fusion(fused, layer, size)
        return fused


class _Fusion(tf.Module):
    """Adds a feature map to a coarser one, refines the sum, enlarges it."""

    def __init__(self, scope: str, features: int, joins: bool):
        super().__init__()
        self.joined = _ResidualUnit(f"{scope}/unit_1", features) if joins else None
        self.sum = _ResidualUnit(f"{scope}/unit_2", features)
        self.projection = _convolution(f"{scope}/projection", features, features)

    def __call__(
        self, coarser: Optional[tf.Tensor], layer: tf.Tensor, size: tuple[int, int]
    ) -> tf.Tensor:
        if self.joined is not None:
            layer = coarser + self.joined(layer)
        # The original enlarges first; both are linear, this way it is a quarter of the
        # work.
        return resize_bilinear(self.projection(self.sum(layer)), size)


class _ResidualUnit(tf.Module):
    """Two 3x3 convolutions, each after a ReLU, and a shortcut."""

    def __init__(self, scope: str, features: int):
        super().__init__()
        self.convolutions = [
            _convolution(f"{scope}/conv_{i}", features, features, 3) for i in (1, 2)
        ]

    def __call__(self, inputs: tf.Tensor) -> tf.Tensor:
        outputs = inputs
        for convolution in self.convolutions:
            outputs = convolution(tf.nn.relu(outputs))
        return inputs + outputs


class _Head(tf.Module):
    """Outputs from the fused feature map: a 3x3 convolution, ReLU, a 1x1 one."""

    def __init__(self, hidden_scope: str, scope: str, features: int, depth: int):
        super().__init__()
        self.depth = depth
        self.hidden = _convolution(hidden_scope, features, features, 3)
        self.outputs = pixel_outputs(scope, features, depth, torch_default())

    def __call__(
        self,
        fused: tf.Tensor,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Maps `DPT.fuse` to [batch, h, w, depth], float32."""
        del training, dropout_seeds
        return self.outputs(tf.nn.relu(self.hidden(fused)))


def _convolution(
    scope: str, channels: int, filters: int, kernel_size: int = 1, **kwargs
) -> tf.keras.layers.Conv2D:
    fan_in = kernel_size**2 * channels
    layer = tf.keras.layers.Conv2D(
        filters,
        kernel_size,
        kernel_initializer=torch_default(),
        bias_initializer=_bias_initializer(fan_in),
        name=scope,
        **{"padding": "same", **kwargs},
    )
    return build(layer, channels)


def _enlargement(
    scope: str, channels: int, factor: int
) -> tf.keras.layers.Conv2DTranspose:
    layer = tf.keras.layers.Conv2DTranspose(
        channels,
        factor,
        strides=factor,
        kernel_initializer=torch_default(),
        bias_initializer=_bias_initializer(factor**2 * channels),
        name=scope,
    )
    return build(layer, channels)


def _bias_initializer(fan_in: int) -> tf.keras.initializers.Initializer:
    """PyTorch's: uniform within 1 / sqrt(fan in)."""
    limit = 1 / math.sqrt(fan_in)
    return tf.keras.initializers.RandomUniform(-limit, limit)
