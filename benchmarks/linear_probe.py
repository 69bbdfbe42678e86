"""Measures what a backbone knows before any fine-tuning: a linear probe.

    python -m benchmarks.linear_probe --data_dir=data/msrc --train_split=few40

trains a linear classifier of the frozen backbone's features, pixel by pixel, on the
masks of one split, and prints the mIoU on another. A run that starts from the same
weights and masks should do better.

The features are end points of one resolution, standardized per channel. Each photo is
seen once, whole and padded; padding and ignored pixels are left out. The loss is the
cross entropy at the resolution of the features and a penalty, half the sum of the
weights' squares times --penalty; full batches, Adam. Logits are resized to the photo
and scored as by `wss.eval`.
"""

import argparse
import os
from collections.abc import Sequence
from typing import Any, Callable

STEPS, RATE = 300, 0.01
LEAST_DEVIATION = 1e-3

Network = Callable[..., Any]


def make_features(variant: str, checkpoint: str, strides: Sequence[int]) -> Network:
    """A function from images [1, height, width, 3] in 0..255 to the features.

    Args:
      variant: of the backbone.
      checkpoint: "imagenet", or a file that INIT_CHECKPOINT takes; "" for random
        weights.
      strides: names of the end points, as for `DeepLabV3Plus.end_point`.
    """
    import tensorflow as tf

    from wss.models import pretrained, tf1_checkpoint
    from wss.models.backbone import create_backbone

    tf.keras.utils.set_random_seed(0)
    backbone = create_backbone(variant, output_stride=16)
    if pretrained.is_published(checkpoint):
        pretrained.restore(checkpoint, variant, backbone)
    elif checkpoint:
        tf1_checkpoint.restore(checkpoint, backbone)

    @tf.function(autograph=False)
    def features(images: Any) -> Any:
        end_points = backbone(images)
        return tf.concat([end_points[backbone.strides[s]] for s in strides], -1)

    return features


def collect(features: Network, predictor: Any, batches: Any, ignore: int) -> tuple:
    """The pixels of a split that have a class.

    Args:
      features: see `make_features`.
      predictor: a `Predictor`, which pads the photos.
      batches: of `input_pipeline.evaluation_batches`.
      ignore: the ignore label.

    Returns:
      Features [pixels, channels], float32, and labels [pixels], int32.
    """
    import tensorflow as tf

    from wss.ops.resize import resize_nearest

    found = []
    for batch in batches:
        fitted = predictor.fitted(batch["image"][0].numpy())
        seen = features(predictor.padded(fitted[tf.newaxis]))[0]
        size = tuple(fitted.shape[:2])
        label = resize_nearest(batch["label"], size, align_corners=True)[0]
        below = [[0, a - b] for a, b in zip(predictor.crop_size, size)]
        label = tf.pad(label, below, constant_values=ignore)[tf.newaxis]
        label = resize_nearest(label, tuple(seen.shape[:2]), align_corners=True)[0]
        known = label != ignore
        found.append((seen[known], label[known]))
    return tuple(tf.concat(parts, 0) for parts in zip(*found))


def fit(features: Any, labels: Any, classes: int, penalty: float) -> Network:
    """Trains the classifier; returns a function from features to logits.

    Args:
      features: [pixels, channels], float32.
      labels: [pixels], int32.
      classes: their number.
      penalty: factor of half the sum of the weights' squares.

    >>> import tensorflow as tf
    >>> features = tf.constant([[0.0, 5.0], [0.1, 5.0], [0.9, 5.0], [1.0, 5.0]])
    >>> logits = fit(features, tf.constant([0, 0, 1, 1]), 2, penalty=1e-3)(features)
    >>> print(tf.argmax(logits, -1).numpy())
    [0 0 1 1]
    """
    import tensorflow as tf

    mean = tf.reduce_mean(features, 0)
    deviation = tf.math.reduce_std(features, 0) + LEAST_DEVIATION
    weights = tf.Variable(tf.zeros([features.shape[1], classes]))
    biases = tf.Variable(tf.zeros([classes]))

    def logits(features: Any) -> Any:
        return tf.tensordot((features - mean) / deviation, weights, 1) + biases

    optimizer = tf.keras.optimizers.Adam(RATE)
    optimizer.build([weights, biases])

    @tf.function(autograph=False)
    def step() -> None:
        with tf.GradientTape() as tape:
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(
                labels, logits(features)
            )
            loss = tf.reduce_mean(loss) + penalty * tf.nn.l2_loss(weights)
        variables = [weights, biases]
        optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables))

    for _ in range(STEPS):
        step()
    return logits


def measure(options: argparse.Namespace) -> Any:
    """The `metrics.Scores` of the probe on the evaluation split."""
    from wss.data import datasets, input_pipeline
    from wss.evaluation.predictor import Predictor
    from wss.models.backbone import mean_pixel
    from wss.ops.metrics import ConfusionMatrix

    spec = datasets.get(options.data_set, options.data_dir)

    def batches(split: str) -> Any:
        return input_pipeline.evaluation_batches(options.data_dir, split, spec=spec)

    features = make_features(options.variant, options.checkpoint, options.strides)
    crop = (options.crop_size, options.crop_size)
    padding = mean_pixel(options.variant)
    pixels, labels = collect(
        features,
        Predictor(None, crop, padding),
        batches(options.train_split),
        spec.ignore_label,
    )
    logits = fit(pixels, labels, spec.num_classes, options.penalty)

    def network(images: Any, training: bool) -> Any:
        return logits(features(images))

    predictor = Predictor(network, crop, padding)
    confusion = ConfusionMatrix(spec.num_classes, spec.ignore_label)
    for batch in batches(options.eval_split):
        confusion.update(batch["label"][0], predictor.labels(batch["image"][0]))
    return confusion.result()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_set", default="folder")
    parser.add_argument("--data_dir", default="data/mine")
    parser.add_argument("--train_split", default="labeled")
    parser.add_argument("--eval_split", default="val")
    parser.add_argument("--variant", default="efficientnet_lite0")
    parser.add_argument("--checkpoint", default="imagenet")
    parser.add_argument(
        "--strides",
        type=int,
        nargs="+",
        default=[13, 14, 15],
        help="names of the end points",
    )
    parser.add_argument("--crop_size", type=int, default=321, help="as EVAL_CROP_SIZE")
    parser.add_argument("--penalty", type=float, default=0.01)
    options = parser.parse_args()
    scores = measure(options)
    print(
        f"linear probe of {options.variant}, {options.train_split}: mIoU "
        f"{100 * scores.mean_iou:.1f}, pixel accuracy "
        f"{100 * scores.pixel_accuracy:.1f} on {options.eval_split}"
    )


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
