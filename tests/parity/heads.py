"""Pyramid, decoder and heads of the networks that UniMatch and U2PL published."""

import functools

import numpy as np
import tensorflow as tf

from tests.parity.common import NOISE_FACTOR, Check, Golden, fill_weights
from wss.models.batch_norm import BatchNorm
from wss.models.heads import STYLES, Decoder, Head, PyramidPooling, pixel_outputs
from wss.models.tf1_checkpoint import named_variables

TOLERANCE = 1e-5
DECODER_CHANNELS = 256


class _Heads(tf.Module):
    """The layers after the backbone, with the weights that their names determine."""

    def __init__(self, golden: Golden, name: str, low_level_channels: int):
        super().__init__()
        meta, style = golden.meta, STYLES[name]
        channels = meta["aspp_channels"][name]
        batch_norm = functools.partial(BatchNorm, 0.9, 1e-5)
        self.pyramid = PyramidPooling(
            meta["channels"], channels, meta["rates"], batch_norm, style
        )
        self.decoder = Decoder(
            channels, low_level_channels, DECODER_CHANNELS, batch_norm, style
        )
        self.logits = pixel_outputs(
            "logits/semantic",
            DECODER_CHANNELS,
            meta["classes"],
            style.logits_initializer(),
        )
        self.representation = Head(
            "representation",
            self.decoder.fused_channels,
            DECODER_CHANNELS,
            DECODER_CHANNELS,
            batch_norm,
            style,
        )
        fill_weights(named_variables(self))

    def __call__(self, high, low, training: bool) -> dict[str, tf.Tensor]:
        features = self.pyramid(high, training, None)
        fused = self.decoder.fuse(features, low, training)
        representations = self.representation(fused, training)
        return {
            "logits": self.logits(self.decoder(fused, training, None)),
            "representations": representations[..., ::16],
        }


def check(golden: Golden) -> list[Check]:
    """Compares the outputs in inference and in train mode, without dropout."""
    checks = []
    for name in golden.meta["aspp_channels"]:
        high, low = (
            tf.constant(golden[f"{name}_{which}"].astype(np.float32))
            for which in ("high", "low")
        )
        heads = _Heads(golden, name, low.shape[-1])
        for mode in ("eval", "train"):  # Train mode moves the averages, so it is last.
            outputs = heads(high, low, training=mode == "train")
            # Image pooling's batch norm sees two values of a channel.
            tolerance = TOLERANCE * (NOISE_FACTOR if mode == "train" else 1)
            checks += [
                golden.compare(f"{name}_{mode}_{key}", value, tolerance)
                for key, value in outputs.items()
                if f"{name}_{mode}_{key}" in golden
            ]
    return checks
