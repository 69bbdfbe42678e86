"""What UniMatch's published code computes: its losses, gradients, pasted images."""

import re

import numpy as np
import tensorflow as tf

from tests.parity.common import LOSS_TOLERANCE, Check, Golden
from wss.methods.components import cutmix
from wss.methods.components.consistency import (
    confidence_masked_cross_entropy,
    make_target,
    pasted,
)
from wss.ops import losses

IGNORE_LABEL = 255
OHEM_THRESHOLD = 0.7
PREDICTIONS = ("pred_x", "pred_u_s1", "pred_u_s2", "pred_u_w_fp")


def check(golden: Golden) -> list[Check]:
    """Compares every threshold, the pasted images and the mining of hard pixels."""
    logits = {name: channels_last(golden[f"in_{name}"]) for name in PREDICTIONS}
    labels = tf.constant(golden["in_mask_x"].astype(np.int32))
    boxes = [tf.constant(golden[f"in_cutmix_box{i}"] == 1) for i in (1, 2)]
    checks = []
    for key in sorted(golden.keys):
        if match := re.fullmatch(r"out_loss_(\d[\d.e+-]*)", key):
            checks += _check_losses(golden, match[1], logits, labels, boxes)
        elif match := re.fullmatch(r"out_ohem_(\d+)_(.+)", key):
            checks.append(_check_ohem(golden, *match.groups(), logits, labels))
    for i, box in enumerate(boxes, 1):
        images = cutmix.paste(box, channels_last(golden[f"in_img_u_s{i}"]))
        key = f"out_img{i}"
        checks.append(golden.compare(key, tf.transpose(images, [0, 3, 1, 2]), 0.0))
    return checks


def _check_losses(
    golden: Golden,
    threshold: str,
    logits: dict[str, tf.Tensor],
    labels: tf.Tensor,
    boxes: list[tf.Tensor],
) -> list[Check]:
    valid = tf.constant((golden["in_ignore_mask"] != IGNORE_LABEL).astype(np.float32))
    target = make_target(channels_last(golden["in_pred_u_w"]), valid)
    targets = [pasted(box, target) for box in boxes] + [target]
    with tf.GradientTape() as tape:
        tape.watch(logits)
        found = {
            "loss_x": losses.softmax_cross_entropy(
                logits["pred_x"], labels, ignore_label=IGNORE_LABEL
            )
        }
        for name, learned in zip(("u_s1", "u_s2", "u_w_fp"), targets):
            found[f"loss_{name}"] = confidence_masked_cross_entropy(
                logits[f"pred_{name}"], learned, float(threshold)
            )
        strong = 0.25 * (found["loss_u_s1"] + found["loss_u_s2"])
        total = 0.5 * (found["loss_x"] + strong + 0.5 * found["loss_u_w_fp"])
    gradients = tape.gradient(total, logits)
    checks = [
        golden.compare(f"out_{name}_{threshold}", loss, LOSS_TOLERANCE)
        for name, loss in {"loss": total, **found}.items()
    ]
    for name, gradient in gradients.items():
        gradient = tf.transpose(gradient, [0, 3, 1, 2])
        key = f"out_g_{name}_{threshold}"
        checks.append(golden.compare(key, gradient, LOSS_TOLERANCE))
    return checks


def _check_ohem(
    golden: Golden,
    min_kept: str,
    scale: str,
    logits: dict[str, tf.Tensor],
    labels: tf.Tensor,
) -> Check:
    """For scaled logits that are 4 larger for the true class."""
    logits = logits["pred_x"]
    true = tf.where(labels == IGNORE_LABEL, 0, labels)
    loss = losses.ohem_cross_entropy(
        float(scale) * logits + 4.0 * tf.one_hot(true, logits.shape[-1]),
        labels,
        ignore_label=IGNORE_LABEL,
        threshold=OHEM_THRESHOLD,
        min_kept=int(min_kept),
    )
    return golden.compare(f"out_ohem_{min_kept}_{scale}", loss, LOSS_TOLERANCE)


def channels_last(array: np.ndarray) -> tf.Tensor:
    return tf.transpose(tf.constant(array), [0, 2, 3, 1])
