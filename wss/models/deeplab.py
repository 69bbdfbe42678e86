"""DeepLabV3+: a backbone, atrous spatial pyramid pooling, a decoder, a classifier.

Chen et al., "Encoder-Decoder with Atrous Separable Convolution for Semantic Image
Segmentation" (arXiv:1802.02611); constants of core/model.py of googleinterns/wss.
"""

import functools
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any, Literal, Optional

import gin
import numpy as np
import tensorflow as tf

from wss.errors import UserError
from wss.models import tf1_checkpoint
from wss.models.backbone import create_backbone, mean_pixel
from wss.models.batch_norm import BatchNorm, Frozen, freezing
from wss.models.heads import (
    STYLES,
    AuxiliaryHead,
    Decoder,
    Head,
    PyramidPooling,
    pixel_outputs,
)
from wss.models.layers import EndPoints, dropout_mask, precision_policy
from wss.settings import Count, Decay, Several

__all__ = ["DeepLabV3Plus", "mean_pixel"]

BATCH_NORM_DECAY = 0.9997
BATCH_NORM_EPSILON = 1e-5
ATROUS_RATES_AT_STRIDE_16 = (6, 12, 18)
OUTPUT_STRIDES = (8, 16, 32)


@gin.configurable(denylist=["num_classes", "variant", "output_stride"])
class DeepLabV3Plus(tf.keras.Model):
    """Images to logits per pixel, and to logits per image.

    All variables exist after construction. The images' height and width are static and
    arbitrary; `output_stride * k + 1` aligns the grids of all end points.

    Attributes:
      backbone: maps images [batch, height, width, 3], float32 in 0..255, to end points
        by the original's names: `model.backbone(images, training=False)`.
      num_classes, output_stride: see `__init__`.

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

    def clone(self) -> "DeepLabV3Plus":
        """A network of the same architecture with its own variables."""
        return self._create_clone()

    def get_config(self) -> dict[str, Any]:
        """The arguments that rebuild the network, for JSON."""
        keywords = self._create_clone.keywords
        return {
            "num_classes": self.num_classes,
            "precision": self.dtype_policy.name,
            **keywords,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "DeepLabV3Plus":
        """The network that `get_config` describes."""
        arguments = dict(config)
        with precision_policy(arguments.pop("precision")):
            return cls(**arguments)

    def save_own_variables(self, store: MutableMapping[str, np.ndarray]) -> None:
        """Stores all values by TF1 name; Keras would only find those of layers."""
        for name, variable in tf1_checkpoint.named_variables(self).items():
            store[name] = variable.numpy()

    def load_own_variables(self, store: Mapping[str, np.ndarray]) -> None:
        """Restores what `save_own_variables` stored."""
        for name, variable in tf1_checkpoint.named_variables(self).items():
            variable.assign(store[name])

    def create_head(self, scope: str, depth: int) -> Head:
        """Creates a head next to the logits, for a method.

        Args:
          scope: TF1 scope of its variables, which do not belong to this network.
          depth: channels of its output.
        """
        return Head(
            scope,
            self.decoder.fused_channels,
            self._decoder_channels,
            depth,
            self._batch_norm,
            self._style,
        )

    def create_auxiliary_head(self, scope: str, stride: int) -> AuxiliaryHead:
        """Creates logits from an earlier end point, for a method.

        Args:
          scope: TF1 scope of its variables, which do not belong to this network.
          stride: names the end point, see `end_point`.

        Raises:
          UserError: the backbone has no such end point.
        """
        side = 2 * self.output_stride + 1
        end_points = self.backbone(tf.zeros([1, side, side, 3]))
        channels = self.end_point(end_points, stride).shape[-1]
        return AuxiliaryHead(
            scope, channels, self.num_classes, self._batch_norm, self._style
        )

    def _build_heads(
        self,
        aspp_channels: int,
        atrous_rates: Optional[Sequence[int]],
        image_pooling: bool,
    ) -> None:
        channels, stride = self.backbone.channels, self.output_stride
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
        self.low_level_end_point, low_level_channels = _look_up(
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
        self.classifier = pixel_outputs(
            f"{self.backbone.scope}/logits",
            channels,
            self.num_classes - 1,
            self.backbone.classifier_initializer,
        )

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Computes logits [batch, height, width, classes] at the decoder's stride."""
        return self.segment(self.backbone(images, training), training)

    def segment(
        self,
        end_points: EndPoints,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Computes the pixels' logits from the backbone's end points.

        Args:
          end_points: of `backbone`.
          training: whether batch norm uses the batch's statistics.
          dropout_seeds: int32 [batch, 2], one for each image; None for no dropout.

        Returns:
          [batch, height, width, classes] at the decoder's stride, float32,
          unnormalized.
        """
        fused = self.fuse(end_points, training, dropout_seeds)
        return self.read_logits(fused, training, dropout_seeds)

    def fuse(
        self,
        end_points: EndPoints,
        training: bool = False,
        dropout_seeds: Optional[tf.Tensor] = None,
    ) -> tf.Tensor:
        """Computes the input of the decoder and other heads; arguments: see `segment`.

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
        """The logits of `segment` from the result of `fuse`."""
        return self.semantic_logits(self.decoder(fused, training, dropout_seeds))

    def logits_size(self, image_size: Sequence[int]) -> tuple[int, int]:
        """Height and width of the logits, from those of the images."""
        stride = self.decoder_output_stride
        return tuple((side - 1) // stride + 1 for side in image_size)

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

    def features(self, end_points: EndPoints) -> tf.Tensor:
        """The backbone's last end point."""
        return end_points[self.features_end_point]

    @property
    def segmented_end_points(self) -> list[str]:
        """Names of the end points that `segment` reads, the early one first."""
        names = [name for name, _ in self.backbone.pyramid_end_points]
        return [self.low_level_end_point, *names]

    @property
    def features_end_point(self) -> str:
        """Name of the backbone's last end point."""
        return self.backbone.strides[16]

    def end_point(self, end_points: EndPoints, stride: int) -> tf.Tensor:
        """The end point that the original calls `stride`, e.g. 15 or 16.

        Raises:
          UserError: the backbone has no such end point.
        """
        return end_points[_look_up(self.backbone.strides, stride, "named")]

    def dropout_mask(self, seeds: tf.Tensor) -> Optional[tf.Tensor]:
        """Draws the dropout before the classifier.

        Args:
          seeds: int32 [batch, 2], one for each image.

        Returns:
          [batch, 1, 1, channels] of 0 or 1 / keep, float32; None for a backbone without
          dropout there.
        """
        keep = self.backbone.prelogits_keep
        if keep == 1.0:
            return None
        shape = [seeds.shape[0], 1, 1, self.backbone.channels]
        return dropout_mask(shape, keep, seeds)

    def classify(
        self, end_points: EndPoints, dropout_mask: Optional[tf.Tensor] = None
    ) -> tf.Tensor:
        """Computes the images' logits: a linear head on the mean features.

        Args:
          end_points: of `backbone`.
          dropout_mask: of `dropout_mask`; None for no dropout.

        Returns:
          [batch, classes - 1] (no background), float32, unnormalized.
        """
        features = tf.cast(self.features(end_points), tf.float32)
        pooled = tf.reduce_mean(features, [1, 2], keepdims=True)
        if dropout_mask is not None:
            pooled *= dropout_mask
        return self.classifier(pooled)[:, 0, 0]

    @property
    def classifier_kernel(self) -> tf.Tensor:
        """The classifier's kernel, [channels, classes - 1], float32."""
        return tf.convert_to_tensor(self.classifier.kernel)[0, 0]

    @property
    def regularized_variables(self) -> list[tf.Variable]:
        """The variables with weight decay: all kernels but the depthwise ones."""
        named = tf1_checkpoint.named_variables(self)
        return [named[name] for name in sorted(named) if name.endswith("/weights")]


def _look_up(end_points: Mapping[int, Any], stride: int, what: str) -> Any:
    if stride not in end_points:
        raise UserError(
            f"The backbone has no {what} end point of stride {stride}; it has "
            f"{', '.join(map(str, sorted(end_points)))}."
        )
    return end_points[stride]
