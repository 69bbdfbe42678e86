"""Measures the evaluation of an image, and the share of the confusion matrix.

    python -m benchmarks.evaluation
    python -m benchmarks.evaluation --crop 1025 2049 --classes 19 \\
        --variant resnet_v1_101_beta

evaluates one synthetic image at a time: prediction with confusion matrix, as
`python -m wss.eval` does with its default protocol, and prediction alone; both take
turns. "share" is the time that the network's convolutions and matrix products would
take at the rate of one large float32 matrix product, divided by the prediction time.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks import measuring


def make_evaluation(
    variant: str, crop: Sequence[int], classes: int, counts: bool
) -> Callable[[], Any]:
    """A function that evaluates an image, or only predicts it."""
    import tensorflow as tf

    from benchmarks import cost
    from wss.evaluation.predictor import Predictor
    from wss.models import networks
    from wss.models.backbone import mean_pixel
    from wss.ops import metrics

    model = networks.create(classes, variant, 16)
    predictor = Predictor(model, tuple(crop), mean_pixel(variant))
    confusion = metrics.ConfusionMatrix(classes, ignore_label=255)
    size = [side - 1 for side in crop]
    image = tf.random.stateless_uniform([*size, 3], [0, 0], 0, 256, tf.int32)
    image = tf.cast(image, tf.uint8)
    label = tf.random.stateless_uniform(size, [0, 1], 0, classes, tf.int32)

    def run():
        labels = predictor.labels(image)
        if counts:
            confusion.update(label, labels)
        return labels.numpy()

    operations = cost.of_forward_pass(model, tuple(crop))
    run.facts = {"gigaflops": operations / 1e9}
    return run


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="xception_65")
    parser.add_argument(
        "--crop", type=int, nargs=2, default=[513, 513], help="EVAL_CROP_SIZE"
    )
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--output", default="runs/evaluation.json")
    flags = parser.parse_args()
    case = dict(variant=flags.variant, crop=flags.crop, classes=flags.classes)
    ceilings = measuring.ceilings()
    found = measuring.measure(
        make_evaluation,
        {
            "prediction": {**case, "counts": False},
            "prediction and counting": {**case, "counts": True},
        },
        flags.repeats,
    )
    measuring.add_shares(found, ceilings)
    columns = {
        "s/image": "seconds",
        "CPU s/image": "cpu_seconds",
        "share": "share",
        "peak GB": "gigabytes",
        "startup s": "start_seconds",
    }
    measuring.report(found, columns, flags.output, ceilings=ceilings)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
