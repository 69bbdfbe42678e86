"""Measures each optimization against the straightforward implementation.

    python -m benchmarks.levers
    python -m benchmarks.levers --levers cam confusion

times two implementations of the same computation, at the sizes of a crop of 513 x 513:
first ours, then the straightforward one.

    cam        Grad-CAM: one product with the classifier's kernel; one backward pass per
               class
    pass       forward and backward pass of the labeled images: once for both heads;
               once per head
    atrous     the pyramid's depthwise convolutions and their gradients, at a crop of
               129: only central weights where the others see padding, and the input is
               split again in the backward pass; TensorFlow's, which keeps the parts
    loss       cross entropy with its gradient: from class ids; from one-hot labels at
               full size
    resize     resizing of logits to the image, with gradient: TensorFlow's operation;
               two matrix products
    confusion  confusion matrix for mean IoU: one histogram; one pass per class
"""

import argparse
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import measuring

WAYS = {
    "cam": ("closed form", "backward passes"),
    "pass": ("one pass", "two passes"),
    "atrous": ("weights that see the image", "all weights"),
    "loss": ("class numbers", "one-hot labels"),
    "resize": ("one operation", "matrix products"),
    "confusion": ("one histogram", "class by class"),
}
_SIDE, _BATCH = 513, 2


def make(way: str, classes: int, variant: str) -> Callable[[], Any]:
    """A function that runs one of `WAYS`; for `measuring.measure`."""
    import tensorflow as tf

    makers = {
        "closed form": _make_closed_form,
        "backward passes": _make_backward_passes,
        "one pass": lambda _: _make_passes(variant, 1),
        "two passes": lambda _: _make_passes(variant, 2),
        "weights that see the image": lambda _: _make_pyramid(plain=False),
        "all weights": lambda _: _make_pyramid(plain=True),
        "class numbers": _make_loss,
        "one-hot labels": _make_one_hot_loss,
        "one operation": _make_resize,
        "matrix products": _make_products,
        "one histogram": _make_histogram,
        "class by class": _make_class_by_class,
    }
    timed = tf.function(makers[way](classes))

    def run():
        return tf.nest.map_structure(lambda x: x.numpy(), timed())

    return run


def _normal(*shape: int) -> Any:
    import tensorflow as tf

    # A variable, because TensorFlow would fold constants when it builds the graph.
    return tf.Variable(tf.random.stateless_normal(shape, [0, 1]))


def _labels(seed: int, classes: int) -> Any:
    import tensorflow as tf

    shape = [_BATCH, _SIDE, _SIDE]
    return tf.Variable(
        tf.random.stateless_uniform(shape, [seed, 0], 0, classes, tf.int32)
    )


def _cam_inputs(classes: int) -> tuple[Any, Any, Any]:
    import tensorflow as tf

    features = tf.Variable(tf.nn.relu(_normal(_BATCH, 33, 33, 2048)))
    return features, _normal(2048, classes - 1), tf.ones([_BATCH, classes - 1])


def _make_closed_form(classes: int) -> Callable[[], Any]:
    from wss.methods.components import refined_grad_cam

    features, kernel, image_labels = _cam_inputs(classes)
    return lambda: refined_grad_cam.class_activation_maps(
        features, kernel, image_labels
    )


def _make_backward_passes(classes: int) -> Callable[[], Any]:
    import tensorflow as tf

    from wss.methods.components import refined_grad_cam

    variable, kernel, image_labels = _cam_inputs(classes)

    def maps():
        features = variable.read_value()
        scores = tf.matmul(tf.reduce_mean(features, [1, 2]), kernel)
        return refined_grad_cam.gradient_class_activation_maps(
            features,
            lambda index: tf.gradients(scores[:, index], features)[0],
            image_labels,
        )

    return maps


def _make_passes(variant: str, passes: int) -> Callable[[], Any]:
    """At 129 x 129, to keep repeats short; the ratio is the same."""
    import tensorflow as tf

    from wss.models.batch_norm import collect_batch_statistics
    from wss.models.deeplab import DeepLabV3Plus

    tf.keras.utils.set_random_seed(0)
    model = DeepLabV3Plus(21, variant)
    images = _normal(_BATCH, 129, 129, 3)

    def gradients():
        with tf.GradientTape() as tape, collect_batch_statistics():
            ends = [model.backbone(images, training=True) for _ in range(passes)]
            logits = model.segment(ends[0], training=True, dropout_seeds=None)
            image_logits = model.classify(ends[-1])
            loss = tf.reduce_mean(logits) + tf.reduce_mean(image_logits)
        weights = [v for v in model.trainable_variables if "kernel" in v.name]
        return [
            tf.reduce_sum(gradient)
            for gradient in tape.gradient(loss, weights)
            if gradient is not None
        ]

    return gradients


def _make_pyramid(plain: bool) -> Callable[[], Any]:
    import tensorflow as tf

    from wss.models.batch_norm import BatchNorm
    from wss.models.layers import Convolution, truncated_normal

    tf.keras.utils.set_random_seed(0)
    features = _normal(_BATCH, 9, 9, 2048)
    layers = {
        rate: Convolution(
            f"rate_{rate}_depthwise",
            2048,
            None,
            3,
            rate=rate,
            initializer=truncated_normal(0.33),
            batch_norm=functools.partial(BatchNorm, 0.9997, 1e-3),
        )
        for rate in (6, 12, 18)
    }
    kernels = [layer.convolution.depthwise_kernel for layer in layers.values()]

    def convolve(layer: Any, rate: int) -> Any:
        if not plain:
            return layer(features, training=True)
        outputs = tf.nn.depthwise_conv2d(
            features,
            layer.convolution.depthwise_kernel,
            [1, 1, 1, 1],
            "SAME",
            dilations=[rate, rate],
        )
        return tf.nn.relu(layer.batch_norm(outputs, training=True))

    def gradients():
        with tf.GradientTape() as tape:
            outputs = [convolve(layer, rate) for rate, layer in layers.items()]
            loss = tf.add_n([tf.nn.l2_loss(x) for x in outputs])
        return tape.gradient(loss, [features, *kernels])

    return gradients


def _loss_inputs(classes: int) -> tuple[Any, Any]:
    return _normal(_BATCH, 129, 129, classes), _labels(0, classes)


def _make_loss(classes: int) -> Callable[[], Any]:
    from wss.ops import losses

    logits, labels = _loss_inputs(classes)
    return _with_gradient(
        lambda: losses.softmax_cross_entropy(logits, labels, ignore_label=255), logits
    )


def _make_one_hot_loss(classes: int) -> Callable[[], Any]:
    import tensorflow as tf

    from wss.ops.resize import resize_bilinear

    logits, labels = _loss_inputs(classes)

    def loss():
        truth = tf.reshape(tf.one_hot(labels, classes), [-1, classes])
        large = tf.reshape(resize_bilinear(logits, (_SIDE, _SIDE)), [-1, classes])
        pixels = tf.nn.softmax_cross_entropy_with_logits(truth, large)
        return tf.reduce_mean(pixels)

    return _with_gradient(loss, logits)


def _with_gradient(loss: Callable[[], Any], logits: Any) -> Callable[[], Any]:
    import tensorflow as tf

    def both():
        with tf.GradientTape() as tape:
            value = loss()
        return value, tape.gradient(value, logits)

    return both


def _make_resize(classes: int) -> Callable[[], Any]:
    import tensorflow as tf

    from wss.ops.resize import resize_bilinear

    logits = _normal(_BATCH, 129, 129, classes)
    return _with_gradient(
        lambda: tf.nn.l2_loss(resize_bilinear(logits, (_SIDE, _SIDE))), logits
    )


def _make_products(classes: int) -> Callable[[], Any]:
    import tensorflow as tf

    logits = _normal(_BATCH, 129, 129, classes)
    places = np.arange(_SIDE)[:, np.newaxis] * 128 / (_SIDE - 1)
    shares = np.maximum(0.0, 1.0 - np.abs(places - np.arange(129)))
    shares = tf.constant(shares, tf.float32)

    def loss():
        tall = tf.einsum("yh,bhwc->bywc", shares, logits)
        return tf.nn.l2_loss(tf.einsum("xw,bywc->byxc", shares, tall))

    return _with_gradient(loss, logits)


def _make_histogram(classes: int) -> Callable[[], Any]:
    from wss.ops.metrics import ConfusionMatrix

    matrix = ConfusionMatrix(classes, ignore_label=255)
    labels, predictions = _labels(0, classes), _labels(1, classes)

    def count():
        matrix.update(labels, predictions)
        return labels[0, 0, 0]

    return count


def _make_class_by_class(classes: int) -> Callable[[], Any]:
    import tensorflow as tf

    labels, predictions = _labels(0, classes), _labels(1, classes)

    def count():
        counts = []
        for index in range(classes):
            labeled, predicted = labels == index, predictions == index
            for pixels in (labeled & predicted, labeled, predicted):
                counts.append(tf.math.count_nonzero(pixels))
        return counts

    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--levers", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--variant", default="xception_65", help="backbone of `pass`")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--output", default="runs/levers.json")
    flags = parser.parse_args()
    found = {}
    for lever in flags.levers:
        shared = dict(classes=flags.classes, variant=flags.variant)
        ways = {way: {"way": way, **shared} for way in WAYS[lever]}
        pair = measuring.measure(make, ways, flags.repeats)
        ours, plain = (pair[way] for way in WAYS[lever])
        for way, one in pair.items():
            one["gain"] = plain["seconds"] / ours["seconds"] if one is ours else 1.0
            found[f"{lever}: {way}"] = one
    columns = {"s": "seconds", "CPU s": "cpu_seconds", "Peak GB": "gigabytes"}
    measuring.report(found, {**columns, "times faster": "gain"}, flags.output, "lever")


if __name__ == "__main__":
    main()
