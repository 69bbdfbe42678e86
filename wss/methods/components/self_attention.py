"""Self-attention over hypercolumn features refines the class activation maps.

Pixels with similar features share their activation maps; a 1x1 convolution maps the
result to logits, which `fusion` combines with the decoder's.

Source: `compute_self_att_v2` and `compute_cam` (v1) in core/train_utils_core.py of
googleinterns/wss.
"""

import math
from collections.abc import Sequence
from typing import Literal

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.models import layers
from wss.models.batch_norm import BatchNorm
from wss.ops.resize import resize_bilinear, resize_nearest
from wss.settings import Count

# Added to the scores of masked-out keys; their float32 softmax is 0.
MASKED = -1e9


@gin.configurable(denylist=["num_classes", "downsample_method"])
class SelfAttention(tf.Module):
    """Key and query projections, attention, and the pixel normalization.

    Variables carry the original's names: `hyper_column/{key,query}/weights`,
    `pixel_normalization/weights` and its batch norm (v2) or biases (v1).

    >>> attention = SelfAttention(num_classes=3)
    >>> attention.build(depth=8, values=2)
    >>> features, maps = tf.zeros([1, 5, 5, 8]), tf.zeros([1, 9, 9, 2])
    >>> print(attention([features], maps, valid=tf.ones([1, 33, 33])).shape)
    (1, 9, 9, 3)
    """

    def __init__(
        self,
        num_classes: int,
        *,
        attention_dim: Count = 128,
        version: Literal[1, 2] = 2,
        key_downsampling: Count = 1,
        downsample_method: Literal["nearest", "bilinear"] = "nearest",
    ):
        """Creates the layers.

        Args:
          num_classes: number of classes, background included.
          attention_dim: channels of keys and queries.
          version: 2 adds the maps to the output of the attention (scores are in 0..2,
            the background is 2 - max) and normalizes with batch norm; 1 does neither
            (background 1 - max, plain convolution with biases).
          key_downsampling: factor by which the grid of keys and values is coarser, as
            in Linformer (arXiv:2006.04768). Memory is divided by its square.
          downsample_method: "nearest" or "bilinear", of keys and values.

        Raises:
          UserError: `version` or `downsample_method` is unknown.
        """
        super().__init__(name="self_attention")
        if version not in (1, 2):
            raise UserError(f"SelfAttention.version is 1 or 2, not {version}")
        if downsample_method not in ("nearest", "bilinear"):
            raise UserError(
                "SelfAttention.downsample_method is 'nearest' or 'bilinear', not "
                f"{downsample_method!r}"
            )
        self.num_classes = num_classes
        self.version = version
        self.key_downsampling = key_downsampling
        self.downsample_method = downsample_method
        self.key = _projection("hyper_column/key", attention_dim)
        self.query = _projection("hyper_column/query", attention_dim)
        scope = "pixel_normalization"
        self.pixel_normalization = _projection(scope, num_classes, version == 1)
        self.batch_norm = None
        if version == 2:
            # slim's defaults, unlike those of the network.
            self.batch_norm = BatchNorm(
                decay=0.999,
                epsilon=1e-3,
                scale=False,
                name=f"{scope}/BatchNorm",
                dtype="float32",
            )

    def build(self, depth: int, values: int) -> None:
        """Creates the variables.

        Args:
          depth: channels of all end points together.
          values: channels of the maps.
        """
        layers.build(self.key, depth)
        layers.build(self.query, depth)
        layers.build(self.pixel_normalization, values + 1)
        if self.batch_norm is not None:
            layers.build(self.batch_norm, self.num_classes)

    def __call__(
        self,
        end_points: Sequence[tf.Tensor],
        maps: tf.Tensor,
        valid: tf.Tensor,
        training: bool = True,
    ) -> tf.Tensor:
        """Refines maps into logits.

        Args:
          end_points: feature maps [batch, *, *, *] of the backbone, deepest first; they
            get no gradient.
          maps: [batch, h, w, values], class activation maps. The background is added
            here, even if `maps` already has one.
          valid: [batch, height, width], 0 in the padding and in CutOut's holes, which
            are masked out.
          training: batch norm uses the statistics of the batch, as the original always
            does.

        Returns:
          Logits [batch, h, w, classes], float32.
        """
        maps = tf.stop_gradient(tf.cast(maps, tf.float32))
        size = tuple(maps.shape[1:3])
        columns = [resize_bilinear(tf.cast(x, tf.float32), size) for x in end_points]
        columns = tf.stop_gradient(tf.concat(columns, axis=-1))
        valid = tf.cast(resize_nearest(valid, size, align_corners=False), tf.float32)

        evidence = self._attend(columns, maps, valid)
        if self.version == 2:
            evidence += maps
        ceiling = 2.0 if self.version == 2 else 1.0
        background = ceiling - tf.reduce_max(evidence, axis=-1, keepdims=True)
        evidence = tf.concat([background, evidence], axis=-1)
        logits = self.pixel_normalization(evidence)
        if self.batch_norm is not None:
            logits = self.batch_norm(logits, training=training)
        return logits

    def _attend(
        self, columns: tf.Tensor, maps: tf.Tensor, valid: tf.Tensor
    ) -> tf.Tensor:
        """softmax(q k^T / sqrt(dim) + mask) maps, [batch, h, w, maps' channels]."""
        query, key, value = self.query(columns), self.key(columns), maps
        valid_key = valid
        if self.key_downsampling > 1:
            size = tuple(n // self.key_downsampling + 1 for n in maps.shape[1:3])
            key, value = self._downsample(key, size), self._downsample(value, size)
            valid_key = resize_nearest(valid, size, align_corners=False)
        query, key, value = _flatten(query), _flatten(key), _flatten(value)
        scores = tf.matmul(query, key, transpose_b=True)
        scores /= math.sqrt(query.shape[-1])
        allowed = tf.matmul(
            _flatten(valid[..., tf.newaxis]),
            _flatten(valid_key[..., tf.newaxis]),
            transpose_b=True,
        )
        weights = tf.nn.softmax(scores + (1.0 - allowed) * MASKED, axis=-1)
        return tf.reshape(tf.matmul(weights, value), tf.shape(maps))

    def _downsample(self, tensor: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
        if self.downsample_method == "bilinear":
            return resize_bilinear(tensor, size)
        return tf.raw_ops.ResizeNearestNeighbor(
            images=tensor, size=size, align_corners=True
        )


def _flatten(tensor: tf.Tensor) -> tf.Tensor:
    """[batch, h, w, channels] -> [batch, h * w, channels]."""
    _, height, width, channels = tensor.shape
    return tf.reshape(tensor, [-1, height * width, channels])


def _projection(
    scope: str, channels: int, use_bias: bool = False
) -> tf.keras.layers.Layer:
    """A 1x1 convolution in float32 with slim's default initializer."""
    return tf.keras.layers.Conv2D(
        channels,
        1,
        use_bias=use_bias,
        kernel_initializer="glorot_uniform",
        dtype="float32",
        name=scope,
    )
