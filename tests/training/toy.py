"""A linear regression that looks like a method of segmentation to the loop."""

import types
from unittest import mock

import numpy as np
import tensorflow as tf

from wss.methods.base import ImageSummary, StepOutput
from wss.training import loop
from wss.training.train_step import TrainingStep

# With a slow checkpoint after each step, so that kills hit it.
SLOWLY = {
    "checkpoint_interval": 1,
    "log_interval": 10,
    "image_interval": 20,
    "evaluate": lambda step: step == 300,
    "eval_interval": 300,
}

ONE_DEVICE = tf.distribute.OneDeviceStrategy("/cpu:0")


class ToyMethod(tf.Module):
    """Learns y = x . w by gradient descent, with noise that depends on the step."""

    evaluated_networks = ()

    def __init__(self, poison_step=None):
        super().__init__()
        self.model = tf.Module()
        self.model.weights = tf.Variable([1.0, -1.0], name="weights")
        self.model.biases = tf.Variable(0.0, name="biases")
        self.model.unused = tf.Variable(3.0, name="unused")
        self._poison_step = poison_step

    @property
    def variables_by_name(self):
        return {
            "logits/weights": self.model.weights,
            "logits/biases": self.model.biases,
            "unused/weights": self.model.unused,
        }

    @property
    def regularized_variables(self):
        return [self.model.weights]

    other_variables = ()

    def loss_normalizers(self, batch):
        return {}

    def on_update_end(self, global_step, aux):
        assert not aux

    def compute_losses(self, batch, global_step, progress, seed, loss_normalizers):
        noise = tf.random.stateless_normal([], [seed, tf.cast(global_step, tf.int32)])
        x, y = batch
        error = tf.linalg.matvec(x, self.model.weights) + self.model.biases - y
        loss = tf.reduce_mean(error**2) + 0.01 * noise * self.model.biases
        if self._poison_step is not None:
            loss *= tf.where(global_step == self._poison_step, float("nan"), 1.0)
        return StepOutput(
            losses={"regression": loss, "other": 0.5 * loss},
            monitors={"error": tf.reduce_mean(error)},
            histograms={"error": error},
            images={"constant": ImageSummary("rgb", tf.zeros([1, 4, 4, 3]))},
        )


def example(step):
    """One global batch of 4 examples, which depends only on the step."""
    x = tf.random.stateless_uniform([4, 2], [7, tf.cast(step, tf.int32)], -1.0, 1.0)
    return x, tf.linalg.matvec(x, tf.constant([2.0, 3.0])) + 1.0


def batches(strategy):
    """Distributed batches that begin at any step."""

    def begin(start_step):
        def dataset(context):
            size = context.get_per_replica_batch_size(4)
            steps = tf.data.Dataset.range(start_step, 1 << 40)
            return steps.map(example).unbatch().batch(size, drop_remainder=True)

        return strategy.distribute_datasets_from_function(dataset)

    return begin


class ToyEvaluator:
    """Calls a function with the step; it returns whether this is the best so far."""

    def __init__(self, evaluate):
        self._evaluate = evaluate
        self._is_best = False
        self._step = None

    def forget_after(self, step):
        pass

    def has_evaluated(self, step):
        return False

    def evaluate(self, step, print_table):
        self._step, self._is_best = step, self._evaluate(step)

    def best_step(self):
        return self._step if self._is_best else -1


def make(
    strategy=ONE_DEVICE,
    poison_step=None,
    schedule_steps=8,
    weight_decay=0.1,
    **options,
):
    """The toy and its step; `options` of `TrainingStep`."""
    with strategy.scope():
        method = ToyMethod(poison_step)
        step = TrainingStep(
            method,
            method.variables_by_name,
            strategy,
            total_steps=schedule_steps,
            palette=np.zeros([1, 3], np.uint8),
            seed=5,
            weight_decay=weight_decay,
            **options,
        )
    return method, step


def _instead(made, begin_batches, evaluate):
    """Makes `run_training` train the result of `make`; supplies the rest."""
    method, step = made
    return mock.patch.multiple(
        loop,
        build_method=lambda experiment: method,
        build_training_step=lambda experiment, method: step,
        build_evaluator=lambda experiment, networks: ToyEvaluator(evaluate),
        distributed_batches=lambda experiment, start_step: begin_batches(start_step),
        run_card=mock.DEFAULT,
        description=mock.DEFAULT,
        starting_point=mock.DEFAULT,
    )


def train(
    model_dir,
    strategy=ONE_DEVICE,
    total_steps=8,
    evaluate=None,
    begin_batches=None,
    made=None,
    calls=None,
    *,
    poison_step=None,
    schedule_steps=8,
    weight_decay=0.1,
    **intervals,
):
    """Trains the toy in a folder and returns it.

    `calls` gets the names of the functions called besides evaluations, in order.
    """
    made = made or make(strategy, poison_step, schedule_steps, weight_decay)
    calls = [] if calls is None else calls
    experiment = types.SimpleNamespace(
        model_dir=str(model_dir),
        strategy=strategy,
        train_steps=total_steps,
        images_per_step=4,
        spec=types.SimpleNamespace(class_names=()),
    )
    settings = {"checkpoint_interval": 3, "log_interval": 2, **intervals}
    save_batch = mock.patch.object(
        loop.diagnostics, "save_batch", return_value="batch.json"
    )
    with save_batch, _instead(
        made, begin_batches or batches(strategy), evaluate
    ) as mocks:
        rest = types.SimpleNamespace(**mocks)
        rest.run_card.describe.return_value = "method   ToyMethod"
        for name, function in {
            "load": rest.starting_point.load,
            "describe": rest.description.write,
            "show": rest.run_card.show_start,
            "record": rest.run_card.write_record,
        }.items():
            function.side_effect = lambda *_, name=name: calls.append(name)
        loop.run_training(experiment, evaluate is not None, **settings)
    return made[0]
