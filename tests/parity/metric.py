"""Mean IoU as `eval.py` of the original computes it."""

import numpy as np
import tensorflow as tf

from tests.parity.common import Check, Golden
from wss.ops.metrics import ConfusionMatrix, multi_label_scores

TOLERANCE = 1e-6


def check(golden: Golden) -> list[Check]:
    """Feeds the batches of an `eval_metric` file one by one."""
    meta = golden.meta
    matrix = ConfusionMatrix(meta["num_classes"], meta["ignore_label"])
    for labels, predictions in zip(golden["labels"], golden["predictions"]):
        matrix.update(tf.constant(labels[..., 0]), tf.constant(predictions))
    scores = matrix.result()
    # The stored accuracy, precision and recall are of the image-level labels.
    image_scores = multi_label_scores(golden["cls_label"], golden["cls_logits"])
    return [
        golden.compare("miou", scores.mean_iou, TOLERANCE),
        golden.compare("class_iou", scores.class_iou, TOLERANCE),
        golden.compare(
            "cls_overall_precision_recall", np.array(image_scores), TOLERANCE
        ),
    ]
