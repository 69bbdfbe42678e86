"""What is not finite is named, with the first step where it was so."""

import numpy as np
import pytest
import tensorflow as tf

from wss.errors import NotFiniteError
from wss.training.finiteness import FinitenessCheck

NAN, INF = np.nan, np.inf


@pytest.fixture
def check():
    weight, names = tf.Variable([1.0, 2.0]), tf.Variable(["no number"])
    return FinitenessCheck(
        {"w": weight, "names": names}, tf.Variable(3, dtype=tf.int64)
    )


def record(check, **losses):
    check.record({name: tf.constant(value) for name, value in losses.items()})


def test_finite_values_pass(check):
    record(check, supervised=1.0, gradient=2.0)
    check.check()


def test_the_first_bad_loss_of_the_first_bad_step_is_named(check):
    record(check, supervised=1.0, consistency=NAN, gradient=INF)
    check._step.assign(4)
    record(check, supervised=INF, consistency=1.0, gradient=1.0)
    with pytest.raises(NotFiniteError) as caught:
        check.check()
    assert str(caught.value) == (
        "The loss 'consistency' is not finite in the step after step 3."
    )
    assert caught.value.step == 3


def test_a_bad_gradient_is_named(check):
    record(check, supervised=1.0, gradient=INF)
    with pytest.raises(NotFiniteError, match="^The gradient is not finite"):
        check.check()


def test_a_bad_weight_is_named_with_the_step_before(check):
    check._variables["w"].assign([1.0, NAN])
    with pytest.raises(NotFiniteError, match="variable w .* after step 3") as caught:
        check.check()
    assert caught.value.step == 2
