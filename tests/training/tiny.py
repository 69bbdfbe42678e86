"""A tiny PseudoSeg that trains for a few steps, on any devices, in any process.

    python -m tests.training.tiny OUTPUT.npz

takes part in a training of several workers (TF_CONFIG) and stores what it gave.
"""

import sys

import numpy as np
import tensorflow as tf

from wss.methods.pseudoseg import PseudoSeg
from wss.models import tf1_checkpoint
from wss.models.batch_norm import collect_batch_statistics
from wss.models.deeplab import DeepLabV3Plus
from wss.training import distribution
from wss.training.step import TrainingStep

CLASSES, SIDE, BATCH, STEPS = 4, 33, 4, 20
ONE_DEVICE = tf.distribute.OneDeviceStrategy("/cpu:0")


def make_method(method=PseudoSeg, variant="resnet_v1_18_quarter_beta", **options):
    """A method with its variables, the same each time."""
    tf.keras.utils.set_random_seed(1)
    model = DeepLabV3Plus(
        CLASSES,
        variant=variant,
        aspp_channels=16,
        decoder_channels=16,
        batch_norm_decay=0.9,
    )
    model.backbone.prelogits_keep = 0.5  # As Xception.
    made = method(model, ignore_label=255, **options)
    made.build()
    return made


def make_batches(steps=STEPS, batch=BATCH, side=SIDE, seed=0):
    """Batches [steps, batch, ...] whose images have unlike numbers of valid pixels."""
    random = np.random.RandomState(seed)

    def images():
        # Smooth, as pictures are: noise alone has no features.
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


def make_step(strategy=ONE_DEVICE, method=None, **options):
    """A training step of a tiny PseudoSeg, or of the method that `method` makes."""
    with strategy.scope():
        made = (method or make_method)()
        return TrainingStep(
            made,
            tf1_checkpoint.named_variables(made),
            strategy,
            total_steps=STEPS,
            collect_statistics=collect_batch_statistics,
            render=lambda panels: {},
            **options,
        )


def distribute(strategy, batches):
    """The batches as the input pipeline gives them: each worker its own rows."""

    def dataset(context):
        rows = batches["labeled"]["label"].shape[1]
        size = rows // context.num_input_pipelines
        first = context.input_pipeline_id * size
        return (
            tf.data.Dataset.from_tensor_slices(batches)
            .map(lambda b: tf.nest.map_structure(lambda x: x[first : first + size], b))
            .unbatch()
            .batch(rows // context.num_replicas_in_sync, drop_remainder=True)
        )

    return iter(strategy.distribute_datasets_from_function(dataset))


def train(step, batches, strategy=ONE_DEVICE):
    """Losses and monitors of each step, [steps] by name, and the variables at last."""
    iterator, curves = distribute(strategy, batches), []
    for _ in range(batches["labeled"]["label"].shape[0]):
        results = step.run(iterator, tf.constant(1))
        curves.append({**results["losses"], **results["monitors"]})
    step.check_finite()
    curves = {name: np.array([float(c[name]) for c in curves]) for name in curves[0]}
    return curves, {name: v.numpy() for name, v in step._variables.items()}


def main(output: str) -> None:
    strategy = distribution.get_strategy()
    step = make_step(strategy, synchronized=True)
    curves, variables = train(step, make_batches(), strategy)
    np.savez(output, chief=distribution.is_chief(strategy), **curves, **variables)


if __name__ == "__main__":
    main(sys.argv[1])
