"""Cross entropy with its options, its gradient, and the learning rates."""

import numpy as np
import tensorflow as tf

from tests.parity import schedules
from tests.parity.common import LOSS_TOLERANCE, Check, Golden
from wss.ops.losses import softmax_cross_entropy


def check(golden: Golden) -> list[Check]:
    """Compares every variation of a `losses_schedules` file."""
    checks = []
    for index, variation in enumerate(golden.meta["loss_variations"]):
        loss, gradient = _loss_and_gradient(golden, variation)
        key = f"loss_v{index:02d}"
        checks += [
            golden.compare(key, loss, LOSS_TOLERANCE),
            golden.compare(f"{key}__grad", gradient, LOSS_TOLERANCE),
        ]
    return checks + schedules.check_learning_rates(golden, golden.meta)


@tf.function(reduce_retracing=True)
def _graph(logits, labels, options):
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = softmax_cross_entropy(logits, labels, **options)
    return loss, tape.gradient(loss, logits)


def _loss_and_gradient(golden: Golden, variation):
    labels = golden["labels"][..., 0]
    ignore_label = golden.meta["ignore_label"]
    if variation.get("all_ignored"):
        labels = np.full_like(labels, ignore_label)
    options = {"ignore_label": ignore_label}
    if "loss_weight" in variation:
        # One number stands for every class.
        classes = golden.meta["num_classes"]
        options["class_weights"] = (
            np.broadcast_to(variation["loss_weight"], [classes]).astype(float).tolist()
        )
    if "upsample_logits" in variation:
        options["upsample_logits"] = variation["upsample_logits"]
    if "top_k_percent_pixels" in variation:
        options["top_k_fraction"] = variation["top_k_percent_pixels"]
    if "hard_example_mining_step" in variation:
        options["mining_steps"] = variation["hard_example_mining_step"]
        options["step"] = tf.constant(variation["global_step"], tf.int64)
    return _graph(tf.constant(golden["logits"]), tf.constant(labels), options)
