"""What U2PL's published code computes: losses, memory banks, schedules."""

import numpy as np
import tensorflow as tf

from tests.parity.common import LOSS_TOLERANCE, Check, Golden
from wss.methods.components import memory_bank, reliability
from wss.models import ema
from wss.ops import losses

COUNT_TOLERANCE = 0.0
SCHEDULE_TOLERANCE = 1e-6


def check_losses(golden: Golden) -> list[Check]:
    """Losses for given outputs of student and teacher, and their inputs."""
    return [*_check_unsupervised(golden), *_check_contrastive(golden)]


def check_misc(golden: Golden) -> list[Check]:
    """Mining of hard pixels, and the schedules."""
    checks = []
    logits = tf.constant(golden["ohem_logits"])
    labels = tf.constant(golden["ohem_labels"].astype(np.int32))
    for key in sorted(k for k in golden.keys if k.endswith("_thresh_minkept")):
        name = key.split("_")[0]
        threshold, min_kept = golden[key]
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = losses.ohem_cross_entropy(
                logits,
                labels,
                ignore_label=golden.meta["ignore_label"],
                threshold=float(threshold),
                min_kept=int(min_kept),
            )
        norm = tf.norm(tape.gradient(loss, logits))
        checks.append(golden.compare(f"{name}_loss", loss, LOSS_TOLERANCE))
        checks.append(golden.compare(f"{name}_grad_l2", norm, LOSS_TOLERANCE))
    decays = [ema.decay_at(int(i), start_step=100) for i in golden["ema_iter"]]
    checks.append(golden.compare("ema_decay", decays, SCHEDULE_TOLERANCE))
    unreliable = reliability.unreliable_percent(golden["sched_epoch"] / 80)
    checks.append(golden.compare("sched_alpha_t", unreliable, SCHEDULE_TOLERANCE))
    checks.append(
        golden.compare("sched_drop_percent", 100.0 - unreliable, SCHEDULE_TOLERANCE)
    )
    return checks


def _check_unsupervised(golden: Golden) -> list[Check]:
    meta = golden.meta
    logits = tf.constant(golden["unsup_student_logits"])
    pseudo_label = tf.constant(golden["unsup_pseudo_label"].astype(np.int32))
    entropy = reliability.entropy(tf.nn.softmax(golden["unsup_teacher_logits"]))
    unreliable = reliability.unreliable_percent(
        meta["epoch_fraction"], 100 - meta["drop_percent"]
    )
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss, reliable, threshold = reliability.reliability_weighted_cross_entropy(
            logits,
            pseudo_label,
            entropy,
            # The files have CutOut's holes and no padding.
            tf.ones(pseudo_label.shape),
            100.0 - unreliable,
            meta["ignore_label"],
        )
    alpha = reliability.unreliable_percent(
        meta["epoch_fraction"], meta["low_entropy_threshold"]
    )
    known = pseudo_label != meta["ignore_label"]
    kept = np.count_nonzero(reliable)
    norm = tf.norm(tape.gradient(loss, logits))
    return [
        golden.compare("unsup_percent", 100.0 - unreliable, SCHEDULE_TOLERANCE),
        golden.compare("unsup_entropy_threshold", threshold, LOSS_TOLERANCE),
        golden.compare("unsup_kept_pixels", kept, COUNT_TOLERANCE),
        golden.compare("unsup_loss", loss, LOSS_TOLERANCE),
        golden.compare("unsup_grad_l2", norm, LOSS_TOLERANCE),
        golden.compare("contra_alpha_t", alpha, SCHEDULE_TOLERANCE),
        golden.compare(
            "contra_low_threshold",
            reliability.percentile(entropy, known, alpha),
            LOSS_TOLERANCE,
        ),
        golden.compare(
            "contra_high_threshold",
            reliability.percentile(entropy, known, 100.0 - alpha),
            LOSS_TOLERANCE,
        ),
    ]


def _check_contrastive(golden: Golden) -> list[Check]:
    meta = golden.meta
    classes = meta["num_classes"]
    one_hot = _flat(
        np.concatenate(
            [golden["contra_labeled_onehot"], golden["contra_unlabeled_onehot"]]
        )
    )
    roles = memory_bank.assign_roles(
        tf.constant(one_hot, tf.float32),
        tf.constant(_flat(golden["contra_low_entropy_mask"])[:, 0] > 0),
        tf.constant(_flat(golden["contra_high_entropy_mask"])[:, 0] > 0),
        tf.constant(_flat(golden["contra_prob"])),
        num_labeled=np.prod(golden["contra_labeled_onehot"].shape[:3]),
        low_rank=meta["low_rank"],
        high_rank=meta["high_rank"],
        min_probability=meta["delta_p"],
        negative_rule=meta["negative_rule"],
    )
    student = tf.constant(_flat(golden["contra_rep_student"]))
    teacher = tf.constant(_flat(golden["contra_rep_teacher"]))
    bank, keys = _filled_bank(golden, teacher, roles.negatives)
    present = np.any(roles.reliable, 0)
    with tf.GradientTape() as tape:
        tape.watch(student)
        loss = memory_bank.contrastive_loss(
            tf.gather(student, golden["contra_anchor_pixels"]),
            memory_bank.prototypes(teacher, roles.reliable),
            bank.take(tf.constant(golden["contra_negative_rows"])),
            usable=np.any(roles.anchors, 0) & (bank.sizes.numpy() > 0),
            present=present,
            temperature=meta["temperature"],
        )
    sizes = golden["contra_bank_after_sizes"]
    ages = np.tile(np.arange(sizes.max()), [classes, 1])
    rows = bank.take(tf.constant(ages)).numpy()
    after = np.concatenate([rows[c, :size] for c, size in enumerate(sizes)])
    anchors = np.count_nonzero(roles.anchors, 0)
    norm = tf.norm(tape.gradient(loss, student))
    return [
        golden.compare("contra_anchor_candidates", anchors, COUNT_TOLERANCE),
        golden.compare("contra_new_keys", keys, COUNT_TOLERANCE),
        golden.compare("contra_bank_after_sizes", bank.sizes, COUNT_TOLERANCE),
        golden.compare("contra_bank_after", after, 1e-6),
        golden.compare("contra_loss", loss, LOSS_TOLERANCE),
        golden.compare("contra_rep_grad", norm, LOSS_TOLERANCE),
    ]


def _filled_bank(golden: Golden, teacher: tf.Tensor, negatives: tf.Tensor):
    """The previous bank with the new keys pushed; their number per class."""
    depth = teacher.shape[1]
    bank = memory_bank.MemoryBank(golden["contra_queue_sizes"].tolist(), depth)
    sizes = golden["contra_bank_before_sizes"]
    present = np.arange(max(sizes)) < sizes[:, np.newaxis]
    rows = np.zeros([*present.shape, depth], np.float32)
    rows[present] = golden["contra_bank_before"]
    bank.push(tf.constant(rows), tf.constant(present))
    pixels = teacher.shape[0]
    chosen, are_keys = memory_bank.select_keys(negatives, tf.zeros([pixels]), pixels)
    bank.push(tf.gather(teacher, chosen), are_keys)
    return bank, np.count_nonzero(are_keys, 1)


def _flat(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])
