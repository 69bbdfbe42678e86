"""What UniMatch V2's published code computes: losses, dropout, the teacher's decay."""

import numpy as np
import tensorflow as tf

from tests.parity.common import LOSS_TOLERANCE, Check, Golden
from tests.parity.unimatch import IGNORE_LABEL, channels_last
from wss.methods.components import complementary_dropout, cutmix
from wss.methods.components.consistency import (
    confidence_masked_cross_entropy,
    make_target,
    pasted,
)
from wss.models import ema
from wss.ops import losses

PREDICTIONS = ("pred_x", "pred_u_s1", "pred_u_s2")


def check(golden: Golden) -> list[Check]:
    """Compares every threshold, the pasted images, the dropout and the decay."""
    checks = []
    for threshold in golden.meta["thresholds"]:
        checks += _check_losses(golden, threshold)
    for i in (1, 2):
        box = tf.constant(golden[f"in_cutmix_box{i}"] == 1)
        images = cutmix.paste(box, channels_last(golden[f"in_img_u_s{i}"]))
        key = f"out_img{i}"
        checks.append(golden.compare(key, tf.transpose(images, [0, 3, 1, 2]), 0.0))
    for pairs in golden.meta["pairs"]:
        factors = complementary_dropout.factors(
            tf.constant(golden[f"in_drop_channels_{pairs}"]),
            tf.constant(golden[f"in_drop_whole_{pairs}"]),
        )
        for layer in (0, 3):
            features = golden[f"in_drop_features_{layer}_{pairs}"]
            key = f"out_drop_{layer}_{pairs}"
            checks.append(golden.compare(key, features * factors, 0.0))
    steps = tf.constant(golden["in_ema_steps"])
    decay = ema.decay_at(steps, limit=0.996)
    checks.append(golden.compare("out_ema_ratio", decay, 1e-7))
    return checks


def _check_losses(golden: Golden, threshold: float) -> list[Check]:
    logits = {name: channels_last(golden[f"in_{name}"]) for name in PREDICTIONS}
    labels = tf.constant(golden["in_mask_x"].astype(np.int32))
    valid = tf.constant((golden["in_ignore_mask"] != IGNORE_LABEL).astype(np.float32))
    target = make_target(channels_last(golden["in_pred_u_w"]), valid)
    boxes = [tf.constant(golden[f"in_cutmix_box{i}"] == 1) for i in (1, 2)]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        supervised = losses.softmax_cross_entropy(
            logits["pred_x"], labels, ignore_label=IGNORE_LABEL
        )
        strong = [
            confidence_masked_cross_entropy(
                logits[f"pred_u_s{i}"], pasted(box, target), threshold
            )
            for i, box in enumerate(boxes, 1)
        ]
        total = 0.5 * supervised + 0.25 * strong[0] + 0.25 * strong[1]
    found = {
        "loss_x": supervised,
        "loss_u_s1": strong[0],
        "loss_u_s2": strong[1],
        "loss": total,
        "fixmatch_loss_u_s": strong[0],
        "fixmatch_loss": 0.5 * supervised + 0.5 * strong[0],
    }
    for name, gradient in tape.gradient(total, logits).items():
        found[f"g_{name}"] = tf.transpose(gradient, [0, 3, 1, 2])
    return [
        golden.compare(f"out_{name}_{threshold}", value, LOSS_TOLERANCE)
        for name, value in found.items()
    ]
