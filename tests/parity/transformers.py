"""DINOv2 and DPT: outputs and gradients of the published code.

The files were written in PyTorch: `published_dinov2` by Dinov2Model and
Dinov2WithRegistersModel of transformers 5.24, `published_dpt` by the encoder and the
decoder of LiheYoung/UniMatch-V2 (`get_intermediate_layers`, `DPTHead`). Weights, images
and what the outputs are multiplied with before their mean gives the loss are not
stored: they are pure functions of a name and a shape.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tests.models.transformers import VARIANT, registered
from tests.parity.common import INFERENCE_TOLERANCE, Check, Golden
from tests.parity.networks import seeded_images
from wss.models import backbone, dinov2, tf1_checkpoint
from wss.models.dpt import DPT
from wss.models.network import SegmentationNetwork
from wss.models.published_names import Naming
from wss.ops.resize import resize_bilinear

GRADIENT_TOLERANCE = 1e-3
# An output and a gradient are stored as about so many of their numbers, evenly spread.
OUTPUT_SAMPLES, GRADIENT_SAMPLES = 1000, 60

DECODER = Naming(
    "LiheYoung/UniMatch-V2",
    {
        **{f"head.projects.{i}": f"dpt/projection_{i + 1}" for i in range(4)},
        **{f"head.resize_layers.{i}": f"dpt/resize_{i + 1}" for i in (0, 1, 3)},
        **{f"head.scratch.layer{i}_rn": f"dpt/layer_{i}" for i in (1, 2, 3, 4)},
        **{
            f"head.scratch.refinenet{i}.out_conv": f"dpt/fusion_{i}/projection"
            for i in (1, 2, 3, 4)
        },
        **{
            f"head.scratch.refinenet{i}.resConfUnit{unit}.conv{number}": (
                f"dpt/fusion_{i}/unit_{unit}/conv_{number}"
            )
            for i in (1, 2, 3, 4)
            for unit in (1, 2)
            for number in (1, 2)
        },
        "head.scratch.output_conv.0": "dpt/output",
        "head.scratch.output_conv.2": "logits/semantic",
    },
)


def check(golden: Golden) -> list[Check]:
    """Compares end points, logits and gradients of all runs."""
    checks = []
    for run in golden.meta["runs"]:
        outputs, gradients = compute(run)
        key = run["key"]
        for name, output in outputs.items():
            checks.append(
                golden.compare(
                    f"{key}/{name}",
                    sampled(output, OUTPUT_SAMPLES),
                    INFERENCE_TOLERANCE,
                )
            )
        stored = [name for name in golden.keys if name.startswith(f"{key}/gradient/")]
        assert stored
        for name in stored:
            gradient = sampled(gradients[name.split("/", 2)[2]], GRADIENT_SAMPLES)
            checks.append(golden.compare(name, gradient, GRADIENT_TOLERANCE))
    return checks


def compute(
    run: Mapping[str, Any],
) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Outputs by stride or "logits" and "full", and gradients by TF1 name."""
    size = dinov2.Size(
        run["channels"],
        run["heads"],
        tuple(range(run["blocks"] - 3, run["blocks"] + 1)),
        backbone.DecoderWidths(
            run.get("features", 1), tuple(run.get("projected", (1, 1, 1, 1)))
        ),
        run["registers"],
    )
    with registered(size, run["grid"]):
        network = DPT(run.get("classes", 2), VARIANT, position_offset=run["offset"])
    variables = _load(network, run)
    images = seeded_images(run["height"], run["width"])
    with tf.GradientTape() as tape:
        end_points = network.backbone(images)
        outputs = {
            str(stride): network.end_point(end_points, stride)
            for stride in (13, 14, 15, 16)
        }
        key = run["key"]
        if "features" in run:
            outputs["logits"] = network.segment(end_points)
            outputs["full"] = resize_bilinear(outputs["logits"], images.shape[1:3])
            loss = _loss(outputs["full"], key)
        else:
            taken = [outputs[str(stride)] for stride in (13, 14, 15, 16)]
            loss = tf.add_n([_loss(x, f"{key}{i}") for i, x in enumerate(taken)])
    gradients = tape.gradient(loss, variables)
    return outputs, {k: x for k, x in gradients.items() if x is not None}


def _load(network: SegmentationNetwork, run: Mapping[str, Any]) -> dict[str, Any]:
    arrays = seeded_arrays(run["shapes"])
    values = named(arrays, run)
    variables = tf1_checkpoint.named_variables(network)
    for name, variable in variables.items():
        if name in values:
            variable.assign(values[name])
    missing = [
        name
        for name in variables
        if name not in values
        if name.startswith(f"{VARIANT}/") or "features" in run
        if not name.startswith(f"{VARIANT}/logits/")
    ]
    assert not missing, missing
    return variables


def named(
    arrays: Mapping[str, np.ndarray], run: Mapping[str, Any]
) -> dict[str, np.ndarray]:
    """Arrays of the published code by TF1 name."""
    (naming,) = (
        naming
        for naming in dinov2.namings(run["blocks"])
        if naming.publisher == run["publisher"]
    )
    prefix = "backbone."
    encoder = {
        name[len(prefix) :] if name.startswith(prefix) else name: array
        for name, array in arrays.items()
        if not name.startswith("head.")
    }
    values, unused = naming.translate(encoder)
    assert all("mask_token" in name for name in unused), unused
    values = {f"{VARIANT}/{name}": value for name, value in values.items()}
    decoder = {name: x for name, x in arrays.items() if name.startswith("head.")}
    return {**values, **DECODER.translate(decoder)[0]}


def sampled(array: Any, samples: int) -> np.ndarray:
    """About `samples` numbers of an array, evenly spread, float32."""
    flat = np.asarray(array, np.float32).ravel()
    return flat[:: max(1, flat.size // samples)]


def _loss(outputs: tf.Tensor, key: str) -> tf.Tensor:
    random = np.random.RandomState(zlib.crc32(key.encode()))
    return tf.reduce_mean(outputs * random.normal(0, 1, outputs.shape))


def seeded_arrays(shapes: Mapping[str, Sequence[int]]) -> dict[str, np.ndarray]:
    """Arrays by name, such that attention and every residual matter."""
    return {name: _seeded(name, tuple(shape)) for name, shape in shapes.items()}


def _seeded(name: str, shape: Sequence[int]) -> np.ndarray:
    random = np.random.RandomState(zlib.crc32(name.encode()))
    if len(shape) == 3:  # Tokens.
        values = random.normal(0, 0.5, shape)
    elif len(shape) > 1:
        values = random.normal(0, np.sqrt(1 / np.prod(shape[1:])), shape)
    elif name.endswith(("weight", "gamma", "lambda1")):
        values = random.uniform(0.5, 1.0, shape)
    else:
        values = random.normal(0, 0.1, shape)
    return values.astype(np.float32)
