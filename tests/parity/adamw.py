"""What `torch.optim.AdamW` computes with the two groups of UniMatch V2's code."""

import tensorflow as tf

from tests.parity.common import Check, Golden
from wss.training.optimizers import AdamW

TOLERANCE = 1e-6
# 1 - beta_2 has four digits in float32. The correction has the same, so that the
# variables agree.
SECOND_MOMENT_TOLERANCE = 2e-5


def check(golden: Golden) -> list[Check]:
    """Compares variables after some updates, and the moments after the last."""
    meta = golden.meta
    variables = {name: tf.Variable(golden[f"in_{name}"]) for name in meta["names"]}
    heads = [name for name in variables if name.startswith("head/")]
    factors = dict.fromkeys(heads, meta["multiplier"])
    optimizer = AdamW(variables, factors, meta["weight_decay"])
    checks = []
    for step in range(meta["steps"]):
        gradients = {
            name: tf.constant(golden[f"in_g_{name}_{step}"]) for name in variables
        }
        rate = tf.constant(golden["in_rates"][step], tf.float32)
        optimizer.apply(gradients, rate)
        checks += [
            golden.compare(f"out_{name}_{step}", variable, TOLERANCE)
            for name, variable in variables.items()
            if f"out_{name}_{step}" in golden
        ]
    for key, moments, tolerance in (
        ("m", optimizer.first_moments, TOLERANCE),
        ("v", optimizer.second_moments, SECOND_MOMENT_TOLERANCE),
    ):
        for name, moment in moments.items():
            checks.append(golden.compare(f"out_{key}_{name}", moment, tolerance))
    return checks
