"""Detects large slowdowns in CI, from ratios within one run instead of absolute times.

    python -m benchmarks.guard

times small cases of training step, input and evaluation, each in turn with a reference
computation that does not depend on the project's code. It exits with status 1 if the
CPU time of a case exceeds that of its reference by more than the factor in LIMITS.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from benchmarks import evaluation, input_pipeline, measuring, training_step

# By case: its reference, and the maximum ratio of the CPU times: about 1.6 times the
# ratio measured when the limits were set. Raise a limit only for an intended cost.
LIMITS = {
    "PseudoSeg": ("convolutions", 5.5),
    "U2PL": ("convolutions", 16.0),
    "input": ("decoding", 8.0),
    "evaluation": ("prediction", 1.6),
}
_VARIANT = "resnet_v1_18_quarter_beta"
_BATCH, _BATCHES = 4, 4


def make(case: str, data_dir: str) -> Callable[[], Any]:
    """A function that runs a case or a reference; for `measuring.measure`."""
    if case == "convolutions":
        return make_convolutions()
    if case == "decoding":
        return make_decoding(os.path.join(data_dir, "photos"))
    if case == "input":
        return input_pipeline.make_input(
            data_dir, "train", "train", 257, _BATCH, _BATCHES
        )
    if case in ("prediction", "evaluation"):
        counts = case == "evaluation"
        return evaluation.make_evaluation(_VARIANT, (257, 257), 21, counts)
    return training_step.make_step(case, _VARIANT, 129, 21, 2, "float32", False)


def make_convolutions() -> Callable[[], Any]:
    """Forward and backward pass of a plain stack of convolutions."""
    import tensorflow as tf

    kernels = [
        tf.Variable(0.1 * tf.random.stateless_normal([3, 3, 64, 64], [0, i]))
        for i in range(8)
    ]
    images = tf.random.stateless_normal([4, 33, 33, 64], [1, 0])

    @tf.function
    def gradients():
        with tf.GradientTape() as tape:
            x = images
            for kernel in kernels:
                x = tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"))
            loss = tf.reduce_mean(tf.square(x))
        return tape.gradient(loss, kernels)

    return lambda: gradients()[0].numpy()


def make_decoding(folder: str) -> Callable[[], Any]:
    """Decodes and enlarges photos one by one, without an input pipeline."""
    import tensorflow as tf

    paths = sorted(name for name in os.listdir(folder) if name.endswith(".jpg"))

    def run():
        for path in paths[: _BATCH * _BATCHES]:
            image = tf.io.decode_jpeg(tf.io.read_file(os.path.join(folder, path)))
            tf.image.resize(image, (513, 513)).numpy()
        return len(paths)

    return run


def ratios(repeats: int) -> dict[str, float]:
    """CPU time of each case, divided by that of its reference."""
    found = {}
    with tempfile.TemporaryDirectory() as data_dir:
        input_pipeline.write_photos(data_dir)
        for case, (reference, _) in LIMITS.items():
            both = {
                name: dict(case=name, data_dir=data_dir) for name in (case, reference)
            }
            times = measuring.measure(make, both, repeats)
            found[case] = times[case]["cpu_seconds"] / times[reference]["cpu_seconds"]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--output", default="runs/guard.json")
    flags = parser.parse_args()
    found = ratios(flags.repeats)
    rows = [[case, ratio, *LIMITS[case]] for case, ratio in found.items()]
    header = ["case", "CPU time", "by that of", "limit"]
    measuring.print_table(header, [[c, r, name, x] for c, r, name, x in rows])
    measuring.write_json(flags.output, {"ratios": found})
    slow = [case for case, ratio in found.items() if ratio > LIMITS[case][1]]
    if slow:
        print(f"error: slower than LIMITS allows: {', '.join(slow)}", file=sys.stderr)
    return bool(slow)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
