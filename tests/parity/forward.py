"""Forward passes of the networks against the original's, in both batch-norm modes."""

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tests.parity.common import (
    INFERENCE_TOLERANCE,
    Check,
    Golden,
    compare_names,
    fill_weights,
    relative_error,
)
from wss.models.batch_norm import collect_batch_statistics
from wss.models.deeplab import DeepLabV3Plus
from wss.models.layers import EndPoints
from wss.models.tf1_checkpoint import named_variables
from wss.ops.resize import resize_bilinear

# Train-mode forwards: in one golden file the original's own logits are 1.8e-3 of
# their scale from a run in float64 (ours 3e-4), end points and image logits 3e-4.
TRAIN_TOLERANCE = 1e-3
# Share of pixels whose largest logit rounding may change.
ARGMAX_TOLERANCE = 1e-3
# Norms of updates, relative.
UPDATE_TOLERANCE = 1e-3


def build_model(meta: Mapping[str, Any]) -> DeepLabV3Plus:
    """The network of a golden run, with the weights of all runs."""
    (decoder_output_stride,) = meta.get("decoder_output_stride", [4])
    model = _network(
        num_classes=meta["num_classes"],
        variant=meta["model_variant"],
        output_stride=meta["output_stride"],
        atrous_rates=tuple(meta.get("atrous_rates") or ()) or None,
        multi_grid=tuple(meta["multi_grid"] or ()) or None,
        decoder_output_stride=decoder_output_stride,
    )
    fill_weights(named_variables(model))
    return model


@functools.lru_cache(maxsize=2)
def _network(**settings: Any) -> DeepLabV3Plus:
    """Built once for the runs that share it; a large one takes seconds."""
    return DeepLabV3Plus(**settings)


def check(golden: Golden) -> list[Check]:
    """Compares variables, logits, end points and, in train mode, moving averages."""
    training = golden.meta["is_training"] and golden.meta["fine_tune_batch_norm"]
    model = build_model(golden.meta)
    variables = named_variables(model)
    checks = check_variables(golden, model)
    before = {name: variables[name].numpy() for name in variables}
    images = tf.constant(golden["images"], tf.float32)
    with collect_batch_statistics() as statistics:
        end_points = model.backbone(images, training=training)
        logits = model.segment(end_points, training=training)
    tolerance = TRAIN_TOLERANCE if training else INFERENCE_TOLERANCE
    noise = golden.meta["perturb_1e-6_max_abs_diff"]
    outputs = {"logits": logits, "cls_logits": model.classify(end_points)}
    for key, value in outputs.items():
        checks.append(golden.compare(key, value, tolerance, noise=noise[key]))
    checks += _check_end_points(golden, model, end_points, tolerance)
    checks += _check_predictions(golden, logits, tuple(images.shape[1:3]))
    if training:
        statistics.apply()
        checks += _check_updates(golden, before, variables)
    return checks


def check_variables(golden: Golden, model: tf.Module) -> list[Check]:
    """Compares names and shapes, what is trained and what weight decay shrinks."""
    variables = named_variables(model)
    regularized = {variable.ref() for variable in model.regularized_variables}
    names = golden.names("var_names")
    shapes = [str(json.loads(shape)) for shape in golden.names("var_shapes")]
    return [
        compare_names(
            f"{len(names)} variables, names and shapes",
            [f"{name} {v.shape.as_list()}" for name, v in variables.items()],
            [f"{name} {shape}" for name, shape in zip(names, shapes)],
        ),
        compare_names(
            "trainable variables",
            [name for name, variable in variables.items() if variable.trainable],
            [n for n, trained in zip(names, golden["var_trainable"]) if trained],
        ),
        compare_names(
            "regularized variables",
            [name for name, v in variables.items() if v.ref() in regularized],
            [n for n, shrunk in zip(names, golden["var_regularized"]) if shrunk],
        ),
    ]


def _check_end_points(
    golden: Golden, model: DeepLabV3Plus, end_points: EndPoints, tolerance: float
) -> list[Check]:
    checks = []
    for key in sorted(golden.keys):
        if "endpoint_" not in key or "__" in key:
            continue
        stride = int(key.split("_")[-1])
        if key.startswith("decoder"):
            value = end_points[model.low_level_end_point]
        else:
            value = model.end_point(end_points, stride)
        checks.append(golden.compare(key, value, tolerance))
    names = golden.names("ep_names")
    checks.append(compare_names("names of end points", list(end_points), names))
    shapes, errors = [], []
    for name, statistics in zip(names, golden["ep_stats"]):
        value = end_points[name].numpy().astype(np.float64)
        shapes.append(f"{name} {list(value.shape)}")
        ours = [value.mean(), value.std(), np.abs(value).max()]
        errors.append(relative_error(ours, statistics, statistics[2]))
    reference = [
        f"{name} {json.loads(shape)}"
        for name, shape in zip(names, golden.names("ep_shapes"))
    ]
    checks.append(compare_names("shapes of end points", shapes, reference))
    checks.append(
        Check("mean, std, largest of end points", float(np.max(errors)), tolerance)
    )
    return checks


def _check_predictions(golden: Golden, logits: tf.Tensor, size) -> list[Check]:
    if "semantic" not in golden:
        return []
    logits = resize_bilinear(logits, size)
    wrong = np.mean(tf.argmax(logits, -1).numpy() != golden["semantic"])
    return [
        Check("semantic: pixels that differ", float(wrong), ARGMAX_TOLERANCE),
        golden.compare("semantic_prob", tf.nn.softmax(logits), INFERENCE_TOLERANCE),
    ]


def _check_updates(golden: Golden, before, variables) -> list[Check]:
    """L2 norms of the moving averages and of their change, relative, each."""
    names = golden.names("bn_names")
    after = {name: variables[name].numpy().astype(np.float64) for name in names}
    ours = {
        "bn_l2_after": [np.linalg.norm(after[name]) for name in names],
        "bn_l2_delta": [np.linalg.norm(after[name] - before[name]) for name in names],
    }
    return [
        Check(
            key,
            relative_error(np.array(values) / golden[key], np.ones(len(names))),
            UPDATE_TOLERANCE,
        )
        for key, values in ours.items()
    ]
