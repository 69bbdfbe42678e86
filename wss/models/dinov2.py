"""DINOv2: a vision transformer with patches of 14 x 14 pixels.

Oquab et al., "DINOv2: Learning Robust Visual Features without Supervision"
(arXiv:2304.07193), registers of Darcet et al., "Vision Transformers Need Registers"
(arXiv:2309.16588); constants of facebookresearch/dinov2.

The end points are the patches of four layers, each after the final layer norm, as
UniMatch V2 reads them (`get_intermediate_layers`).
"""

import functools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Optional

import numpy as np
import tensorflow as tf

from wss.errors import UserError
from wss.models.backbone import Backbone, DecoderWidths, Pixel, register_backbone
from wss.models.layers import EndPoints, build, truncated_normal
from wss.models.published_names import Naming
from wss.models.recompute import recomputed
from wss.ops.resize import Side, length, sides

PATCH = 14
# Side of the grid of patches that the position embedding was trained for: 518 / 14.
TRAINED_GRID = 37
REGISTERS = 4
LAYER_NORM_EPSILON = 1e-6
MLP_RATIO = 4
MEAN_PIXEL: Pixel = (123.675, 116.28, 103.53)
PIXEL_DEVIATION: Pixel = (58.395, 57.12, 57.375)
# Cubic convolution's parameter in PyTorch: without and with antialiasing.
_CUBIC, _ANTIALIASED_CUBIC = -0.75, -0.5


class Size(NamedTuple):
    """A member of the family.

    Attributes:
      channels: of a token.
      heads: of each attention.
      taken: the blocks, from 1, whose outputs are end points.
      decoder: widths of the published decoder.
      registers: number of tokens that are neither class nor patch.
    """

    channels: int
    heads: int
    taken: tuple[int, int, int, int]
    decoder: DecoderWidths
    registers: int = 0


_SMALL = Size(384, 6, (3, 6, 9, 12), DecoderWidths(64, (48, 96, 192, 384)))
_BASE = Size(768, 12, (3, 6, 9, 12), DecoderWidths(128, (96, 192, 384, 768)))
_LARGE = Size(1024, 16, (5, 12, 18, 24), DecoderWidths(256, (256, 512, 1024, 1024)))


class _Layer(tf.keras.layers.Layer):
    """A layer of tokens that computes in float32 under every precision policy."""

    def __init__(self, scope: str):
        super().__init__(name=scope, dtype=tf.float32)


class LayerNorm(_Layer):
    """Layer normalization of each token."""

    def build(self, shape: tf.TensorShape) -> None:
        self.gamma = self.add_weight("gamma", shape[-1:], initializer="ones")
        self.beta = self.add_weight("beta", shape[-1:], initializer="zeros")
        super().build(shape)

    def call(self, tokens: tf.Tensor) -> tf.Tensor:
        mean = tf.reduce_mean(tokens, -1, keepdims=True)
        centered = tokens - mean
        variance = tf.reduce_mean(tf.square(centered), -1, keepdims=True)
        scale = tf.math.rsqrt(variance + LAYER_NORM_EPSILON)
        return centered * scale * self.gamma + self.beta


class LayerScale(_Layer):
    """A factor for each channel of a residual."""

    def build(self, shape: tf.TensorShape) -> None:
        self.gamma = self.add_weight("gamma", shape[-1:], initializer="ones")
        super().build(shape)

    def call(self, tokens: tf.Tensor) -> tf.Tensor:
        return tokens * self.gamma


class Tokens(_Layer):
    """What is added to the patches: their positions, the class token, the registers."""

    def __init__(self, scope: str, grid: int, registers: int, offset: float):
        super().__init__(scope)
        self._grid, self._registers, self._offset = grid, registers, offset

    def build(self, shape: tf.TensorShape) -> None:
        channels = shape[-1]
        noise = tf.keras.initializers.RandomNormal
        self.class_token = self.add_weight(
            "class_token", [1, 1, channels], initializer=noise(stddev=1e-6)
        )
        self.position_embedding = self.add_weight(
            "position_embedding",
            [1, self._grid**2 + 1, channels],  # The first is the class token's.
            initializer=truncated_normal(0.02),
        )
        if self._registers:
            self.register_tokens = self.add_weight(
                "register_tokens",
                [1, self._registers, channels],
                initializer=noise(stddev=1e-6),
            )
        super().build(shape)

    def call(self, patches: tf.Tensor) -> tf.Tensor:
        """Maps patches [batch, h, w, channels] to tokens [batch, tokens, channels]."""
        (height, width), channels = sides(patches), patches.shape[-1]
        of_class = self.class_token + self.position_embedding[:, :1]
        patches += self._positions(height, width)
        first = [of_class, self.register_tokens] if self._registers else [of_class]
        first = tf.concat(first, 1)
        return tf.concat(
            [
                tf.tile(first, [tf.shape(patches)[0], 1, 1]),
                tf.reshape(patches, [-1, height * width, channels]),
            ],
            1,
        )

    def _positions(self, height: Side, width: Side) -> tf.Tensor:
        """The position embedding of a grid of patches, [h, w, channels]."""
        grid = self._grid
        positions = tf.reshape(self.position_embedding[0, 1:], [grid, grid, -1])
        size = (height, width)
        if any(tf.is_tensor(side) for side in size):
            rows, columns = tf.numpy_function(
                self._weights, size, (tf.float32, tf.float32), stateful=False
            )
            rows.set_shape([None, grid])
            columns.set_shape([None, grid])
        elif size == (grid, grid):
            return positions
        else:
            rows, columns = map(tf.constant, self._weights(*size))
        return tf.einsum("hi,wj,ijc->hwc", rows, columns, positions)

    def _weights(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """What resizes the position embedding: [h, grid] and [w, grid], float32."""
        if (height, width) == (self._grid, self._grid):
            return (np.eye(self._grid, dtype=np.float32),) * 2
        return tuple(
            cubic_weights(side, self._grid, self._offset, self._registers > 0)
            for side in (height, width)
        )


class Attention(tf.Module):
    """Multi-head self-attention, after a layer norm and before a layer scale."""

    def __init__(self, scope: str, channels: int, heads: int):
        super().__init__()
        self._heads = heads
        self.norm = build(LayerNorm(f"{scope}/LayerNorm"), channels)
        self.qkv = _dense(f"{scope}/qkv", channels, 3 * channels)
        self.projection = _dense(f"{scope}/projection", channels, channels)
        self.scale = build(LayerScale(f"{scope}/scale"), channels)

    def __call__(self, tokens: tf.Tensor) -> tf.Tensor:
        count, channels = length(tokens, 1), tokens.shape[-1]
        depth = channels // self._heads
        qkv = self.qkv(self.norm(tokens))
        qkv = tf.reshape(qkv, [-1, count, 3, self._heads, depth])
        query, key, value = tf.unstack(tf.transpose(qkv, [2, 0, 3, 1, 4]))
        scores = tf.matmul(query * depth**-0.5, key, transpose_b=True)
        weights = tf.nn.softmax(tf.cast(scores, tf.float32))
        seen = tf.matmul(tf.cast(weights, value.dtype), value)
        seen = tf.reshape(tf.transpose(seen, [0, 2, 1, 3]), [-1, count, channels])
        return self.scale(self.projection(seen))


class Mlp(tf.Module):
    """Two dense layers, after a layer norm and before a layer scale."""

    def __init__(self, scope: str, channels: int):
        super().__init__()
        hidden = MLP_RATIO * channels
        self.norm = build(LayerNorm(f"{scope}/LayerNorm"), channels)
        self.hidden = _dense(f"{scope}/hidden", channels, hidden)
        self.projection = _dense(f"{scope}/projection", hidden, channels)
        self.scale = build(LayerScale(f"{scope}/scale"), channels)

    def __call__(self, tokens: tf.Tensor) -> tf.Tensor:
        hidden = tf.nn.gelu(self.hidden(self.norm(tokens)))
        return self.scale(self.projection(hidden))


class Block(tf.Module):
    """Attention and MLP, each with a shortcut; the sum stays in float32."""

    def __init__(self, scope: str, channels: int, heads: int):
        super().__init__()
        self.attention = Attention(f"{scope}/attention", channels, heads)
        self.mlp = Mlp(f"{scope}/mlp", channels)

    def __call__(self, tokens: tf.Tensor) -> tf.Tensor:
        tokens += self.attention(tokens)
        return tokens + self.mlp(tokens)


class DinoV2(Backbone):
    """Patches, blocks of attention and MLP, and a final layer norm.

    Attributes: see `Backbone`. The strides 13 to 16 name the four end points, which are
    all of one resolution: there are no `decoder_end_points`.
    """

    decoder_end_points: Mapping[int, tuple[str, int]] = {}

    def __init__(
        self,
        scope: str,
        size: Size,
        *,
        output_stride: Optional[int] = None,
        multi_grid: Optional[Sequence[int]] = None,
        batch_norm_decay: Optional[float] = None,
        position_offset: Optional[float] = None,
        trained_grid: int = TRAINED_GRID,
    ):
        """Creates all variables.

        Args:
          scope: TF1 scope.
          size: member of the family.
          output_stride, multi_grid, batch_norm_decay: of convolutional backbones; they
            change nothing here.
          position_offset: see `cubic_weights`; default: 0.1, with registers 0, as in
            facebookresearch/dinov2. Transformers has no offset.
          trained_grid: side of the grid that the position embedding is stored for.
        """
        super().__init__()
        del output_stride, multi_grid, batch_norm_decay
        if position_offset is None:
            position_offset = 0.0 if size.registers else 0.1
        self.scope = scope
        self.channels = size.channels
        self.decoder_widths = size.decoder
        self.classifier_initializer = truncated_normal(0.02)
        self._first_patch = 1 + size.registers
        self.patches = tf.keras.layers.Conv2D(
            size.channels, PATCH, PATCH, name=f"{scope}/patches"
        )
        build(self.patches, 3)
        self.tokens = Tokens(
            f"{scope}/tokens", trained_grid, size.registers, position_offset
        )
        build(self.tokens, size.channels)
        self.blocks = [
            Block(f"{scope}/block_{number}", size.channels, size.heads)
            for number in range(1, size.taken[-1] + 1)
        ]
        self.norm = build(LayerNorm(f"{scope}/LayerNorm"), size.channels)
        self._taken = {number: f"{scope}/block_{number}" for number in size.taken}
        self.token_end_points = list(self._taken.values())
        self.strides = dict(zip((13, 14, 15, 16), self.token_end_points))

    def __call__(self, images: tf.Tensor, training: bool = False) -> EndPoints:
        height, width = images.shape[1:3]
        # Sides that the graph does not know are the caller's to check.
        if any(side is not None and side % PATCH for side in (height, width)):
            raise UserError(
                f"{self.scope} takes images whose sides are multiples of {PATCH}, not "
                f"{height} x {width}. Crop or pad them."
            )
        images = tf.cast(images, tf.float32)
        images = (images - MEAN_PIXEL) / PIXEL_DEVIATION
        patches = self.patches(images)
        tokens = self.tokens(patches)
        shape = [-1, *sides(patches), self.channels]
        end_points: EndPoints = {}
        for number, block in enumerate(self.blocks, 1):
            if self.recompute and training:
                tokens = recomputed(block, tokens)
            else:
                tokens = block(tokens)
            if number in self._taken:
                taken = self.norm(tokens)[:, self._first_patch :]
                end_points[self._taken[number]] = tf.reshape(taken, shape)
        return end_points


def cubic_weights(
    side: int, trained: int, offset: float, antialias: bool
) -> np.ndarray:
    """Weights of bicubic resizing, as PyTorch's `interpolate` computes them.

    Args:
      side: of the result.
      trained: side of what is resized.
      offset: added to the side for the scale, trained / (side + offset). The original
        avoids a rounding error by it, and shifts the positions: weights that were
        trained or tuned with it expect it.
      antialias: widen the kernel where the result is smaller.

    Returns:
      [side, trained], float32; each row adds up to 1.
    """
    scale = trained / (side + offset)
    centers = scale * (np.arange(side) + 0.5) - 0.5
    weights = np.zeros([side, trained])
    stretch = max(1.0, scale) if antialias else 1.0
    for row, center in enumerate(centers):
        reach = math.ceil(2 * stretch)
        first = math.floor(center) - reach
        places = np.arange(first, first + 2 * reach + 2)
        values = _cubic(
            np.abs(places - center) / stretch,
            _ANTIALIASED_CUBIC if antialias else _CUBIC,
        )
        if antialias:  # Without what is outside.
            inside = (places >= 0) & (places < trained)
            places, values = places[inside], values[inside]
        np.add.at(weights[row], np.clip(places, 0, trained - 1), values / values.sum())
    return weights.astype(np.float32)


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys's cubic convolution kernel."""
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((distance - 5) * distance + 8) * distance * a - 4 * a
    return np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))


def _dense(scope: str, channels: int, units: int) -> tf.keras.layers.Dense:
    layer = tf.keras.layers.Dense(
        units, kernel_initializer=truncated_normal(0.02), name=scope
    )
    return build(layer, channels)


# Layers of a block in published files -> ours.
_MLP = {
    "norm2": "mlp/LayerNorm",
    "mlp.fc1": "mlp/hidden",
    "mlp.fc2": "mlp/projection",
}
_FACEBOOK = {
    "norm1": "attention/LayerNorm",
    "attn.qkv": "attention/qkv",
    "attn.proj": "attention/projection",
    "ls1": "attention/scale",
    **_MLP,
    "ls2": "mlp/scale",
}
_TRANSFORMERS = {
    "norm1": "attention/LayerNorm",
    "attention.attention.query": "attention/query",
    "attention.attention.key": "attention/key",
    "attention.attention.value": "attention/value",
    "attention.output.dense": "attention/projection",
    "layer_scale1": "attention/scale",
    **_MLP,
    "layer_scale2": "mlp/scale",
}


def namings(blocks: int) -> list[Naming]:
    """How the files of facebookresearch/dinov2 and transformers name the layers."""
    facebook = {"": "tokens", "patch_embed.proj": "patches", "norm": "LayerNorm"}
    transformers = {
        "embeddings": "tokens",
        "embeddings.patch_embeddings.projection": "patches",
        "layernorm": "LayerNorm",
    }
    joined = {}
    for i in range(blocks):
        scope = f"block_{i + 1}"
        for name, ours in _FACEBOOK.items():
            facebook[f"blocks.{i}.{name}"] = f"{scope}/{ours}"
        for name, ours in _TRANSFORMERS.items():
            transformers[f"encoder.layer.{i}.{name}"] = f"{scope}/{ours}"
        parts = [f"{scope}/attention/{part}" for part in ("query", "key", "value")]
        joined[f"{scope}/attention/qkv"] = parts
    return [
        Naming("facebookresearch/dinov2", facebook),
        Naming("transformers", transformers, joined),
    ]


def _register(name: str, size: Size) -> None:
    for scope, registers in ((name, 0), (f"{name}_reg", REGISTERS)):
        register_backbone(
            scope,
            mean_pixel=MEAN_PIXEL,
            namings=namings(size.taken[-1]),
            patch_size=PATCH,
        )(functools.partial(DinoV2, scope, size._replace(registers=registers)))


_register("dinov2_vits14", _SMALL)
_register("dinov2_vitb14", _BASE)
_register("dinov2_vitl14", _LARGE)
