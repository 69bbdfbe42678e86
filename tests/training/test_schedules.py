"""Learning rates against the original's and against arithmetic."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from tests.parity import schedules as parity
from wss.errors import UserError
from wss.training import schedules

GOLDEN = pathlib.Path(__file__).parents[1] / "golden" / "losses_schedules.npz"


def test_learning_rates_and_multipliers_of_the_original():
    golden = np.load(GOLDEN)
    checks = parity.check_learning_rates(golden, json.loads(str(golden["meta"])))
    assert len(checks) == 10
    assert not [check for check in checks if not check.passed]


@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_linear_slow_start_meets_the_decay(run):
    @run
    def rate(step):
        return schedules.learning_rate(
            step,
            1100,
            base=0.01,
            power=1.0,
            slow_start_steps=100,
            slow_start_rate=0.001,
            slow_start_burn_in="linear",
        )

    rates = [float(rate(tf.constant(step, tf.int64))) for step in (0, 50, 100, 600)]
    np.testing.assert_allclose(rates, [0.001, 0.0055, 0.01, 0.005], rtol=1e-5)


@pytest.mark.parametrize("settings", [{"policy": "cos"}, {"slow_start_burn_in": "x"}])
def test_unknown_names_are_user_errors(settings):
    with pytest.raises(UserError, match="has to be"):
        schedules.learning_rate(tf.constant(0), 10, **settings)
