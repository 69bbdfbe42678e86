"""Learning rates and gradient multipliers of the original."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tests.parity.common import Check, relative_error
from wss.training import optimizers

TOLERANCE = 1e-5
# The scopes of each named setting of the golden: logits only, or all that DeepLab
# adds to the backbone.
ALL_LAST_LAYERS = (
    "logits",
    "image_pooling",
    "aspp",
    "concat_projection",
    "decoder",
    "meta_architecture",
)


def check_learning_rates(npz: Any, meta: Mapping[str, Any]) -> list[Check]:
    """Learning rates at the stored steps, then the gradient multipliers.

    Args:
      npz: a mapping with `lr_steps` [steps] and `lr_table` [schedules, steps].
      meta: settings of the run: `schedules`, `gradient_multipliers`.
    """
    checks = []
    for index, settings in enumerate(meta["schedules"]):
        rates = [_learning_rate(int(step), settings) for step in npz["lr_steps"]]
        error = relative_error(rates, npz["lr_table"][index])
        name = f"learning rate {index} ({settings['learning_policy']})"
        checks.append(Check(name, error, TOLERANCE))
    for name, expected in meta.get("gradient_multipliers", {}).items():
        checks.append(_check_multipliers(name, expected))
    return checks


def _learning_rate(step: int, settings: Mapping[str, Any]) -> np.ndarray:
    return optimizers.learning_rate(
        tf.constant(step, tf.int64),
        settings["training_number_of_steps"],
        policy=settings["learning_policy"],
        base=settings["base_learning_rate"],
        end=settings["end_learning_rate"],
        power=settings["learning_power"],
        decay_steps=settings["decay_steps"],
        decay_factor=settings["learning_rate_decay_factor"],
        decay_interval=settings["learning_rate_decay_step"],
        slow_start_steps=settings["slow_start_step"],
        slow_start_rate=settings["slow_start_learning_rate"],
        slow_start_burn_in=settings["slow_start_burnin_type"],
    ).numpy()


def _check_multipliers(name: str, expected: Mapping[str, float]) -> Check:
    """The setting's name ends with the multiplier; variables not listed have 1."""
    layers, multiplier = name.rsplit("_", 1)
    actual = optimizers.gradient_multipliers(
        list(expected) + ["xception_65/entry_flow/conv1_1/weights"],
        last_layers=ALL_LAST_LAYERS if layers == "all_last" else ("logits",),
        last_layer_multiplier=float(multiplier),
    )
    expected = {variable: value for variable, value in expected.items() if value != 1.0}
    differences = [
        abs(actual.get(variable, 1.0) - expected.get(variable, 1.0))
        for variable in set(actual) | set(expected)
    ]
    return Check(f"gradient multipliers {name}", max(differences), 0.0)
