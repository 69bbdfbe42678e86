"""A whole training step: as a static graph, under XLA, in half precision."""

import re

import numpy as np
import pytest
import tensorflow as tf

from tests.training import tiny
from wss.methods.supervised import Supervised
from wss.models import layers, xception

STEPS = 3


@pytest.fixture(scope="module")
def batches():
    return tiny.make_batches(steps=STEPS, batch=2)


def make_in(precision):
    def make_method():
        with layers.precision_policy(precision):
            return tiny.make_method()

    return tiny.make_step(method=make_method, scales_loss=precision == "mixed_float16")


def trained_in(precision):
    """A fixture: a step of this precision, its curves and its changes.

    The step is as before the first one again, but traced, which takes the time.
    """

    @pytest.fixture(scope="module")
    def trained(batches):
        step = make_in(precision)
        state = [step.step, *step._variables.values(), *step.optimizer.variables]
        start = [variable.numpy() for variable in state]
        curves, changes = tiny.train(step, batches)
        for variable, value in zip(state, start):
            variable.assign(value)
        return step, curves, changes

    return trained


float32, mixed_float16, mixed_bfloat16 = map(
    trained_in, ("float32", "mixed_float16", "mixed_bfloat16")
)


def first(batches):
    return tf.nest.map_structure(lambda x: x[0], batches)


def lower(step, batch):
    """The whole step lowered to XLA, not compiled yet."""

    @tf.function(jit_compile=True, autograph=False)
    def replica_step(*arguments):
        return step._strategy.run(step._replica_step, args=arguments)

    arguments = (batch, step.step.read_value(), tf.constant(0.007))
    return replica_step.experimental_get_compiler_ir(*arguments)(stage="hlo")


@pytest.mark.parametrize(
    "options, portions",
    [
        ({"method": Supervised}, 1),
        ({"weakly": True}, 2),
        ({"variant": "resnet_v1_18_quarter_beta"}, 1),
        ({"variant": "xception_65"}, 1),
    ],
    ids=str,
)
def test_the_whole_step_is_one_computation_of_xla(
    batches, options, portions, monkeypatch
):
    # The 16 units of Xception's middle flow are the same.
    blocks = [b._replace(units=min(b.units, 2)) for b in xception.XCEPTION_65]
    monkeypatch.setattr(xception, "XCEPTION_65", blocks)
    step = tiny.make_step(
        method=lambda: tiny.make_method(**options), accumulation_steps=portions
    )
    program = lower(step, first(batches))
    assert program.count(" convolution(") > 30
    # Calls of the host, and shapes like [<=4, 33] that change.
    found = re.findall(r"custom-call|infeed|outfeed| send\(| recv\(|\[<=", program)
    assert not found


def test_no_shape_changes_and_no_python_runs_in_the_step(batches):
    step = tiny.make_step()
    graph = tiny.graph_of(step, batches)
    operations = graph.get_operations()
    assert len(operations) > 1000
    assert not [op.name for op in operations if "PyFunc" in op.type]
    unknown = {
        (operation.type, index)
        for operation in operations
        for index, output in enumerate(operation.outputs)
        if not output.shape.is_fully_defined()
    }
    # Kept for batch norm's gradient on some GPUs only.
    assert unknown <= {("FusedBatchNormV3", 5), ("ZerosLike", 0)}


def test_steps_one_by_one_and_in_one_call_are_the_same_to_the_bit(batches, float32):
    together, single = float32[0], tiny.make_step()
    iterator = tiny.distribute(tiny.one_device(), batches)
    results = together.run(iterator, tf.constant(STEPS))
    iterator = tiny.distribute(tiny.one_device(), batches)
    for _ in range(STEPS):
        last = single.run_once(next(iterator))
    assert int(together.step.numpy()) == int(single.step.numpy()) == STEPS
    for name, variable in together._variables.items():
        np.testing.assert_array_equal(variable, single._variables[name], err_msg=name)
    for name, loss in results["losses"].items():
        assert float(loss) == float(last["losses"][name]), name
    assert single.run_once.experimental_get_tracing_count() == 1


def test_xla_gives_the_same_losses_in_several_steps_of_one_call(batches, float32):
    compiled = tiny.make_step(jit_compile=True)
    _, curves, changes = float32
    start = {name: v.numpy() for name, v in compiled._variables.items()}
    iterator = tiny.distribute(tiny.one_device(), batches)
    results = compiled.run(iterator, tf.constant(STEPS))
    assert int(compiled.step.numpy()) == STEPS
    for name, value in results["losses"].items():
        assert float(value) == pytest.approx(curves[f"losses/{name}"][-1], abs=1e-5)
    for name, change in changes.items():
        tolerance = 1e-2 * np.max(np.abs(change)) + 3e-7
        moved = compiled._variables[name] - start[name]
        np.testing.assert_allclose(moved, change, rtol=0, atol=tolerance, err_msg=name)


# Relative; float16 has 11 digits in base 2, bfloat16 8.
@pytest.mark.parametrize(
    "precision, loss, norm",
    [("mixed_float16", 1e-3, 4e-3), ("mixed_bfloat16", 8e-3, 3e-2)],
)
def test_half_precision_gives_nearly_the_same(request, float32, precision, loss, norm):
    _, exact, _ = float32
    _, curves, _ = request.getfixturevalue(precision)
    for tag in exact:
        if tag.startswith("losses/"):
            np.testing.assert_allclose(curves[tag], exact[tag], rtol=loss, err_msg=tag)
    gradients = curves["monitors/gradient_norm"]
    np.testing.assert_allclose(gradients, exact["monitors/gradient_norm"], rtol=norm)
    assert np.any(curves["losses/total"] != exact["losses/total"])


# Attention, Grad-CAM, fusion, losses, and the updated weights.
DELICATE = {
    "BatchMatMulV2",
    "Einsum",
    "Max",
    "Pow",
    "ResourceApplyMomentum",
    "Rsqrt",
    "Softmax",
    "SoftmaxCrossEntropyWithLogits",
    "SparseSoftmaxCrossEntropyWithLogits",
}


def test_what_is_delicate_stays_float32(batches, mixed_bfloat16):
    step, *_ = mixed_bfloat16
    graph = tiny.graph_of(step, batches)
    types, convolutions = {}, []
    for operation in graph.get_operations():
        if operation.type in DELICATE:
            types.setdefault(operation.get_attr("T"), set()).add(operation.type)
        if operation.type == "FusedBatchNormV3":
            assert operation.get_attr("U") == tf.float32  # Of the statistics.
        if operation.type == "Conv2D":
            convolutions.append(operation.get_attr("T"))
    assert set(types) == {tf.float32}
    assert types[tf.float32] >= {"Softmax", "Max", "SoftmaxCrossEntropyWithLogits"}
    assert convolutions.count(tf.bfloat16) > len(convolutions) / 2
    assert {v.dtype for v in step._variables.values()} == {tf.float32}


def test_a_gradient_that_overflows_is_left_out_and_halves_the_scale(
    batches, mixed_float16
):
    step, *_ = mixed_float16
    step._loss_scale.value.assign(2.0**100)
    first_batches = tf.nest.map_structure(lambda x: x[:1], batches)
    _, changes = tiny.train(step, first_batches)
    assert all(not np.any(change) for change in changes.values())
    assert not any(np.any(slot) for slot in step.optimizer.accumulators.values())
    assert float(step._loss_scale.value.numpy()) == 2.0**99
    step._loss_scale.value.assign(2.0**10)
    _, changes = tiny.train(step, first_batches)
    assert np.any(changes["logits/semantic/weights"])
    assert int(step.step.numpy()) == 2
