"""Steps with frozen batch norm of the backbone, with every method.

Operation by operation, which is quicker than to trace them.
"""

import gin
import numpy as np
import pytest
import tensorflow as tf

from tests.training import tiny
from wss.methods.pseudoseg import PseudoSeg
from wss.methods.supervised import Supervised
from wss.methods.u2pl import U2PL
from wss.methods.unimatch import UniMatch
from wss.models.tf1_checkpoint import named_variables

pytestmark = pytest.mark.usefixtures("eagerly")

CASES = [
    (Supervised, {}, "statistics"),
    (PseudoSeg, {"weakly": True}, "all"),
    (UniMatch, {}, "statistics"),
    (U2PL, {"teacher_statistics": "average"}, "all"),
    (U2PL, {"teacher_statistics": "own"}, "statistics"),
]
AVERAGES = ("moving_mean", "moving_variance")


def values(module):
    return {name: v.numpy() for name, v in named_variables(module).items()}


def batches(steps):
    made = tiny.make_batches(steps, batch=2)
    made["unlabeled"]["strong_2"] = made["unlabeled"]["strong"]
    return made


def make_step(frozen, *arguments, **options):
    """A step of a backbone whose statistics and scales are not the initial ones."""

    def method():
        made = tiny.make_method(*arguments, frozen=frozen, **options)
        for network in [made.model, *([made.teacher] if made.has_teacher else [])]:
            for i, (name, variable) in enumerate(
                sorted(named_variables(network).items())
            ):
                if "BatchNorm" in name:
                    variable.assign(tf.fill(variable.shape, 0.9 + 0.01 * (i % 7)))
        return made

    gin.bind_parameter("Contrast.depth", 8)
    return tiny.make_step(method=method)


@pytest.mark.parametrize("method, options, frozen", CASES)
def test_the_backbones_stays_and_the_rest_learns(method, options, frozen):
    step = make_step(frozen, method, **options)
    method = step._method
    before = values(method)
    tiny.train(step, batches(2))
    kept = AVERAGES if frozen == "statistics" else (*AVERAGES, "gamma", "beta")
    for variable, value in values(method).items():
        *_, kind = variable.split("/")
        is_frozen = variable.startswith("plain/conv") and kind in kept
        if variable.startswith(("plain/conv", "aspp", "decoder")):
            same = np.array_equal(value, before[variable])
            assert same == is_frozen, variable
        slot = variable in step.optimizer.accumulators
        assert slot == (kind not in AVERAGES and not is_frozen), variable
    if method.has_teacher:
        teacher = values(method.teacher)
        for variable, value in teacher.items():
            if variable.startswith("plain/conv") and variable.endswith(kept):
                # A weighted mean of equal numbers.
                np.testing.assert_allclose(value, before[variable], rtol=1e-6)


def test_names_in_checkpoints_do_not_change():
    plain, *others = (
        {
            name: v.shape
            for name, v in named_variables(tiny.make_method(frozen=f)).items()
        }
        for f in ("none", "statistics", "all")
    )
    assert plain == others[0] == others[1]


def test_a_resumed_run_takes_the_same_steps(tmp_path):
    step = make_step("all", Supervised)
    saver = tf.train.Checkpoint(
        step=step.step, method=step._method, optimizer=step.optimizer
    )
    first, rest = batches(2), tf.nest.map_structure(lambda x: x[2:], batches(4))
    tiny.train(step, first)
    path = saver.write(str(tmp_path / "ckpt"))
    tiny.train(step, rest)
    undisturbed = values(step._method)
    saver.read(path).assert_consumed()
    tiny.train(step, rest)
    for name, value in values(step._method).items():
        np.testing.assert_array_equal(value, undisturbed[name], err_msg=name)
