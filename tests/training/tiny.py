"""A tiny PseudoSeg that trains for a few steps, on any devices, in any process.

    python -m tests.training.tiny FOLDER

takes part in a training of several workers (TF_CONFIG) and stores what it gave in
FOLDER/<number of the worker>.npz.
"""

import contextlib
import functools
import sys
from unittest import mock

import numpy as np
import tensorflow as tf

from wss.data.datasets.spec import pascal_palette
from wss.methods.base import StepOutput, outputs
from wss.methods.pseudoseg import PseudoSeg
from wss.models import backbone, tf1_checkpoint
from wss.models.batch_norm import BatchNorm
from wss.models.deeplab import DeepLabV3Plus
from wss.models.layers import Convolution, truncated_normal
from wss.training import distribution
from wss.training.train_step import TrainingStep

CLASSES, SIDE, BATCH, STEPS = 4, 33, 4, 20


def merged(returned):
    """All outputs of a method's step, merged."""
    merged = StepOutput(losses={})
    for output in outputs(returned):
        merged.add(output)
    return merged


class Plain(backbone.Backbone):
    """Four 3x3 convolutions without shortcuts.

    Quick to trace, and rounding errors stay small: in a deep network with random
    weights and batch norm over a few pixels, they grow within a few steps.
    """

    scope = "plain"
    prelogits_keep = 0.5  # Like Xception.
    channels = 16
    strides = {15: "plain/conv3", 16: "plain/conv4"}
    decoder_end_points = {4: ("plain/conv2", 16)}

    def __init__(self, output_stride, multi_grid, batch_norm_decay):
        super().__init__()
        self.classifier_initializer = truncated_normal(0.01)
        units = backbone.atrous_strides([2, 2, 2, 2], output_stride)
        self.convolutions = [
            Convolution(
                f"plain/conv{number}",
                3 if number == 1 else 16,
                16,
                3,
                stride=stride,
                rate=rate,
                initializer=tf.keras.initializers.HeNormal(),
                batch_norm=functools.partial(BatchNorm, batch_norm_decay or 0.9, 1e-3),
            )
            for number, (stride, rate) in enumerate(units, 1)
        ]

    def __call__(self, images, training=False):
        end_points = {}
        outputs = backbone.zero_mean_unit_range(images)
        for convolution in self.convolutions:
            outputs = convolution(outputs, training, end_points)
        return end_points


@contextlib.contextmanager
def plain_backbone():
    """Within this context, `Plain` is the variant "plain"."""
    backbone.variants()  # Finds the others.
    with mock.patch.dict(backbone._variants):
        register = backbone.register_backbone(
            "plain", mean_pixel=backbone.MID_GRAY, last_units=1
        )
        register(Plain)
        yield


def make_method(method=PseudoSeg, variant="plain", frozen="none", **options):
    """A method with its variables, always the same; `frozen`: `frozen_batch_norm`."""
    tf.keras.utils.set_random_seed(1)
    with plain_backbone():
        model = DeepLabV3Plus(
            CLASSES,
            variant=variant,
            atrous_rates=(2,),
            aspp_channels=16,
            decoder_channels=16,
            batch_norm_decay=0.9,
            frozen_batch_norm=frozen,
        )
        made = method(model, ignore_label=255, **options)
        made.build()
    return made


def make_batches(steps=STEPS, batch=BATCH, side=SIDE, seed=0):
    """Batches [steps, batch, ...]; the images' numbers of valid pixels differ."""
    random = np.random.RandomState(seed)

    def images():
        # Smooth, like photos: noise has no features.
        coarse = random.uniform(0, 255, [steps * batch, 5, 5, 3])
        fine = tf.image.resize(coarse, [side, side])
        return tf.reshape(fine, [steps, batch, side, side, 3])

    def truth():
        labels = random.randint(0, CLASSES, [steps, batch, side, side])
        valid = np.ones([steps, batch, side, side], np.float32)
        for image in range(batch):
            labels[:, image, : image * side // batch] = 255
            valid[:, image, : image * side // batch] = 0.0
        return {
            "label": tf.constant(labels, tf.int32),
            "valid": tf.constant(valid),
            "image_labels": tf.constant(
                random.randint(0, 2, [steps, batch, CLASSES - 1]), tf.float32
            ),
            "position": tf.reshape(
                tf.range(steps * batch, dtype=tf.int64), [-1, batch]
            ),
        }

    return {
        "labeled": {"image": images(), **truth()},
        "unlabeled": {"weak": images(), "strong": images(), **truth()},
    }


@functools.cache
def one_device():
    """Always the same, as a step is traced again for batches of another strategy.

    Not created on import: several workers must be the first use of TensorFlow.
    """
    return tf.distribute.OneDeviceStrategy("/cpu:0")


def make_step(strategy=None, method=None, **options):
    """A training step of a tiny PseudoSeg, or of the method that `method` makes."""
    strategy = strategy or one_device()
    with strategy.scope():
        made = (method or make_method)()
        return TrainingStep(
            made,
            tf1_checkpoint.named_variables(made),
            strategy,
            total_steps=STEPS,
            palette=pascal_palette(CLASSES),
            **options,
        )


def graph_of(step, batches):
    """The graph of a step."""
    batch = next(distribute(one_device(), batches))
    take_step = tf.function(step.distributed_step, autograph=False)
    return take_step.get_concrete_function(batch).graph


def distribute(strategy, batches):
    """The batches as the input pipeline delivers them: each worker its own rows."""

    def dataset(context):
        rows = batches["labeled"]["label"].shape[1]
        size = rows // context.num_input_pipelines
        first = context.input_pipeline_id * size
        return (
            tf.data.Dataset.from_tensor_slices(batches)
            .map(lambda b: tf.nest.map_structure(lambda x: x[first : first + size], b))
            .unbatch()
            .batch(rows // context.num_replicas_in_sync, drop_remainder=True)
            .repeat()
            .apply(
                tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
            )
        )

    return iter(strategy.distribute_datasets_from_function(dataset))


def train(step, batches, strategy=None):
    """Losses and monitors, [steps] by tag, and how far each variable has moved."""
    iterator, curves = distribute(strategy or one_device(), batches), []
    start = {name: v.numpy() for name, v in step._variables.items()}
    for _ in range(batches["labeled"]["label"].shape[0]):
        results = step.run(iterator, tf.constant(1))
        curves.append(
            {
                f"{kind}/{name}": float(value)
                for kind in ("losses", "monitors")
                for name, value in results[kind].items()
            }
        )
    step.check_finite()
    curves = {name: np.array([point[name] for point in curves]) for name in curves[0]}
    return curves, {name: step._variables[name] - start[name] for name in start}


def main(folder: str) -> None:
    strategy = distribution.get_strategy()
    output = f"{folder}/{strategy.cluster_resolver.task_id}.npz"
    step = make_step(strategy, cross_replica_statistics=True)
    curves, changes = train(step, make_batches(), strategy)
    np.savez(output, chief=distribution.is_chief(strategy), **curves, **changes)


if __name__ == "__main__":
    main(sys.argv[1])
