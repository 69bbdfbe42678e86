"""Losses that a method gives one by one are differentiated one by one."""

import numpy as np
import pytest
import tensorflow as tf

from wss.methods.base import StepOutput
from wss.models.recompute import recomputed
from wss.training import distribution
from wss.training.gradients import differentiate
from wss.training.train_step import TrainingStep

A, B, X, DECAY = 2.0, 5.0, 3.0, 0.1


class Cubic(tf.Module):
    """The losses x a^3 and (a^2 + x) b, of the weights a and b and the batch's x."""

    other_variables = ()

    def __init__(self):
        super().__init__()
        self.weights = {
            name: tf.Variable(value, name=name)
            for name, value in (("a", A), ("b", B), ("c", 1.0))
        }
        self.regularized_variables = [self.weights["a"], self.weights["c"]]

    def loss_normalizers(self, batch):
        return {}

    def on_update_end(self, global_step, aux):
        assert list(aux) == ["x"]

    def losses(self, batch):
        a, b, _ = self.weights.values()
        x = tf.reduce_mean(batch)
        square = a**2
        yield StepOutput(losses={"first": x * a * square}, aux={"x": x})
        with tf.name_scope("second"):
            yield StepOutput(losses={"second": (square + x) * b})


class OneByOne(Cubic):
    def compute_losses(self, batch, global_step, progress, seed, loss_normalizers):
        yield from self.losses(batch)


class Together(Cubic):
    def compute_losses(self, batch, global_step, progress, seed, loss_normalizers):
        first, second = self.losses(batch)
        first.add(second)
        return first


def make(method, strategy=None, **settings):
    distribution.configure_determinism()
    strategy = strategy or tf.distribute.get_strategy()
    with strategy.scope():
        method = method()
        return TrainingStep(
            method,
            method.weights,
            strategy,
            total_steps=10,
            palette=np.zeros([1, 3], np.uint8),
            weight_decay=DECAY,
            **settings,
        )


@pytest.mark.parametrize("where", ["eagerly", "graph", "two replicas"])
@pytest.mark.parametrize("portions", [1, 2])
# From the second loss, through the square, which the first pass computed.
@pytest.mark.parametrize("method, late", [(OneByOne, 0.0), (Together, 2 * A * B)])
def test_gradients(two_cpus, method, late, portions, where):
    strategy = two_cpus if where == "two replicas" else None
    step = make(method, strategy, accumulation_steps=portions)
    take_step = tf.function(step.distributed_step, autograph=False)
    tf.config.run_functions_eagerly(where == "eagerly")
    try:
        results = take_step(tf.fill([4], X))
    finally:
        tf.config.run_functions_eagerly(False)
    assert float(results["losses"]["first"]) == X * A**3
    assert float(results["losses"]["second"]) == (A**2 + X) * B
    # The first step of momentum is one of gradient descent.
    a, b, c = (
        (begin - float(weight.numpy())) / float(results["learning_rate"])
        for begin, weight in zip((A, B, 1.0), step._trainable.values())
    )
    assert a == pytest.approx(3 * X * A**2 + late + DECAY * A, rel=1e-4)
    assert b == pytest.approx(A**2 + X, rel=1e-3)
    # Only the weight decay reaches it.
    assert c == pytest.approx(DECAY, rel=1e-3)


def test_the_second_pass_waits_for_the_gradients_of_the_first():
    step = make(OneByOne)
    normalizers = {}
    graph = tf.function(step._compute, autograph=False).get_concrete_function(
        tf.TensorSpec([4]), tf.TensorSpec([], tf.int64), normalizers, None
    )
    graph = graph.graph
    (begin,) = (o for o in graph.get_operations() if o.name == "second/add")
    before, found = [begin], set()
    while before:
        operation = before.pop()
        if operation.name not in found:
            found.add(operation.name)
            before += operation.control_inputs
            before += [tensor.op for tensor in operation.inputs]
    assert any(name.startswith("gradient_tape/") for name in found)


@pytest.mark.parametrize("where", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_a_weight_that_is_used_twice_and_computed_again(where):
    weight, other = tf.Variable(A), tf.Variable(B)

    def compute():
        for name in ("first", "second"):
            x = weight**2 * other + recomputed(lambda x: weight * x, weight * X)
            yield StepOutput(losses={name: x})

    @where
    def run():
        output, gradients = differentiate(compute, {"w": weight, "other": other}, 0.5)
        return output.losses, gradients

    losses, gradients = run()
    assert float(losses["first"]) == float(losses["second"]) == A**2 * B + A**2 * X
    assert float(gradients["w"]) == 2 * A * B + 2 * A * X  # Half of two losses.
    assert float(gradients["other"]) == A**2


def test_two_losses_of_one_name_are_an_error():
    output = StepOutput(losses={"supervised": tf.constant(1.0)})
    with pytest.raises(ValueError, match="two losses called 'supervised'"):
        output.add(StepOutput(losses={"supervised": tf.constant(2.0)}))
