"""DeepLabV3+: a backbone, atrous spatial pyramid pooling, a decoder, a classifier.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation" (arXiv:1802.02611); constants of core/model.py of googleinterns/wss.
"""

import functools
from collections.abc import Sequence
from typing import Literal, Optional

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.models.backbone import create_backbone, mean_pixel
from wss.models.batch_norm import BatchNorm, Frozen, freezing
from wss.models.heads import (
    STYLES,
    Decoder,
    Head,
    PyramidPooling,
    pixel_outputs,
)
from wss.models.layers import EndPoints
from wss.models.network import SegmentationNetwork, look_up
from wss.settings import Count, Decay, Several

__all__ = ["DeepLabV3Plus", "mean_pixel"]

BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 1e-5
ATROUS_RATES_AT_STRIDE_16 = (6, 12, 18)
OUTPUT_STRIDES = (8, 16, 32)


@gin.configurable(denylist=["num_classes", "variant", "output_stride"])
class DeepLabV3Plus(SegmentationNetwork):
    """A convolutional backbone, the pyramid and the decoder.

    The images' height and width are static and arbitrary; `output_stride * k + 1`
    aligns the grids of all end points.

    Attributes:
      low_level_end_point: name of the early end point that the decoder reads.

    Other attributes: see `SegmentationNetwork`. End points have the original's names.

    >>> model = DeepLabV3Plus(num_classes=3, variant="resnet_v1_18_quarter_beta")
    >>> print(model(tf.zeros([1, 65, 65, 3])).shape)  # At an output stride of 4.
    (1, 17, 17, 3)
    """

    def __init__(
        self,
        num_classes: int,
        variant: str = "xception_65",
        output_stride: int = 16,
        atrous_rates: Optional[Several[Count]] = None,
        multi_grid: Optional[Several[Count]] = None,
        decoder_output_stride: Literal[4, 8] = 4,
        aspp_channels: Count = 256,
        decoder_channels: Count = 256,
        heads: Literal[tuple(STYLES)] = "deeplab",
        batch_norm_decay: Optional[Decay] = None,
        backbone_batch_norm_decay: Optional[Decay] = None,
        frozen_batch_norm: Frozen = "none",
        image_pooling: bool = True,
        recompute: bool = False,
    ):
        """Creates all variables.

        Args:
          num_classes: background included.
          variant: of the backbone, e.g. "xception_65" or "resnet_v1_50_beta".
          output_stride: image pixels per pixel of the backbone's features: 8, 16 or
            32.
          atrous_rates: of the pyramid; default: (6, 12, 18) at output stride 16, scaled
            for other strides.
          multi_grid: atrous rates of the backbone's last block; default: those of the
            variant.
          decoder_output_stride: image pixels per pixel of the logits, 4 or 8.
          aspp_channels: of the pyramid's branches and its output.
          decoder_channels: of the decoder's output.
          heads: pyramid and decoder of a published network: "deeplab", "unimatch" or
            "u2pl" (`wss.models.heads.Style`).
          batch_norm_decay: of all moving averages; default: the original's, which
            differ by part. Runs of less than about ten thousand steps need about 0.98.
          backbone_batch_norm_decay: of the backbone's; default: `batch_norm_decay`.
          frozen_batch_norm: what of the backbone's batch norm keeps the values of the
            initial checkpoint: "none", "statistics" (the moving averages, which then
            normalize in training too), or "all" (scale and offset as well).
          image_pooling: whether the pyramid has image-level features: the mean of all
            positions. Their batch norm sees one value per image and channel.
          recompute: use gradient checkpointing for the backbone's modules in training:
            less memory, more time.

        Raises:
          UserError: unknown variant or heads, or a stride or multi grid that the
            variant does not support.
        """
        if output_stride not in OUTPUT_STRIDES:
            raise UserError(
                f"output_stride = {output_stride}; it has to be one of "
                f"{', '.join(map(str, OUTPUT_STRIDES))}."
            )
        if heads not in STYLES:
            raise UserError(
                f"DeepLabV3Plus.heads = {heads!r}; it has to be one of "
                f"{', '.join(STYLES)}."
            )
        super().__init__(autocast=False)  # Images are float32 until preprocessing.
        # Explicit arguments: gin must not bind them a second time.
        self._create_clone = functools.partial(
            DeepLabV3Plus,
            num_classes,
            variant=variant,
            output_stride=output_stride,
            atrous_rates=atrous_rates,
            multi_grid=multi_grid,
            decoder_output_stride=decoder_output_stride,
            aspp_channels=aspp_channels,
            decoder_channels=decoder_channels,
            heads=heads,
            batch_norm_decay=batch_norm_decay,
            backbone_batch_norm_decay=backbone_batch_norm_decay,
            frozen_batch_norm=frozen_batch_norm,
            image_pooling=image_pooling,
            recompute=recompute,
        )
        self.variant = variant
        self.num_classes = num_classes
        self.output_stride = output_stride
        self.example_side = 2 * output_stride + 1
        self.decoder_output_stride = decoder_output_stride
        with freezing(frozen_batch_norm):
            self.backbone = create_backbone(
                variant,
                output_stride=output_stride,
                multi_grid=multi_grid,
                batch_norm_decay=backbone_batch_norm_decay or batch_norm_decay,
            )
        self.backbone.recompute = recompute
        self._batch_norm = functools.partial(
            BatchNorm, batch_norm_decay or BATCH_NORM_DECAY, BATCH_NORM_EPSILON
        )
        self._style = STYLES[heads]
        self._decoder_channels = decoder_channels
        self._build_heads(aspp_channels, atrous_rates, image_pooling)
        self.built = True

    @property
    def decoder_inputs(self) -> list[str]:
        """See `SegmentationNetwork`; the early end point is the first."""
        pyramid = [name for name, _ in self.backbone.pyramid_end_points]
        return [self.low_level_end_point, *pyramid]

    def create_head(self, scope: str, depth: int) -> Head:
        """See `SegmentationNetwork.create_head`."""
        return Head(
            scope,
            self.decoder.fused_channels,
            self._decoder_channels,
            depth,
            self._batch_norm,
            self._style,
        )

    def _build_heads(
        self,
        aspp_channels: int,
        atrous_rates: Optional[Sequence[int]],
        image_pooling: bool,
    ) -> None:
        stride = self.output_stride
        if atrous_rates is None:
            atrous_rates = [16 * rate // stride for rate in ATROUS_RATES_AT_STRIDE_16]
        self.atrous_rates = tuple(atrous_rates)
        style, batch_norm = self._style, self._batch_norm
        self.pyramid_pooling = PyramidPooling(
            sum(depth for _, depth in self.backbone.pyramid_end_points),
            aspp_channels,
            self.atrous_rates,
            batch_norm,
            style,
            image_pooling,
        )
        end_points = self.backbone.decoder_end_points
        if style.low_level_sum:
            end_points = self.backbone.unit_end_points
        self.low_level_end_point, low_level_channels = look_up(
            end_points, self.decoder_output_stride, "decoder"
        )
        self.decoder = Decoder(
            aspp_channels,
            low_level_channels,
            self._decoder_channels,
            batch_norm,
            style,
        )
        self.semantic_logits = pixel_outputs(
            "logits/semantic",
            self._decoder_channels,
            self.num_classes,
            style.logits_initializer(),
        )
        self.classifier = self._create_classifier()

    def fuse(
        self,
        end_points: EndPoints,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """See `SegmentationNetwork.fuse`: the input of the decoder's convolutions.

        Returns:
          [batch, height, width, channels] at the decoder's stride: the pyramid's
          features and those of the early end point.
        """
        features = self.pyramid_pooling(
            self._pyramid_features(end_points), training, dropout_seeds
        )
        low_level = end_points[self.low_level_end_point]
        return self.decoder.fuse(features, low_level, training)

    def read_logits(
        self,
        fused: tf.Tensor,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """See `SegmentationNetwork.read_logits`."""
        return self.semantic_logits(self.decoder(fused, training, dropout_seeds))

    def logits_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        """See `SegmentationNetwork.logits_size`."""
        stride = self.decoder_output_stride
        return tuple((side - 1) // stride + 1 for side in image_size)

    def scaled_size(self, image_size: Sequence[int], scale: float) -> tuple[int, int]:
        """See `SegmentationNetwork.scaled_size`; the corners' centers are scaled."""
        return tuple(int((side - 1) * scale + 1) for side in image_size)

    def untrained_rates(
        self, crop_size: Sequence[int], evaluated_size: Sequence[int]
    ) -> list[int]:
        """Atrous rates of the pyramid that only evaluation uses; training leaves them.

        If a rate is at least the width of the features, the outer weights of a 3x3
        kernel see only padding in training and keep their initial values. In larger
        images they see features.

        Args:
          crop_size: height and width in training, pixels.
          evaluated_size: height and width in evaluation, pixels.

        >>> model = DeepLabV3Plus(num_classes=3, variant="resnet_v1_18_quarter_beta")
        >>> model.untrained_rates((129, 129), (257, 257))  # Of the rates 6, 12 and 18.
        [12]
        """
        sides = [
            tuple((side - 1) // self.output_stride + 1 for side in pair)
            for pair in zip(crop_size, evaluated_size)
        ]
        return [
            rate
            for rate in self.atrous_rates
            if any(trained <= rate < evaluated for trained, evaluated in sides)
        ]

    def _pyramid_features(self, end_points: EndPoints) -> tf.Tensor:
        seen = [end_points[name] for name, _ in self.backbone.pyramid_end_points]
        return seen[0] if len(seen) == 1 else tf.concat(seen, -1)
