"""The same global batch gives the same numbers on any number of replicas."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training import tiny
from tests.training.pair import run_pair
from wss.methods.base import StepOutput
from wss.ops import distributed
from wss.training.train_step import TrainingStep

# For losses, the difference itself; the effect of rounding on this network is 1e-6.
TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def batches():
    return tiny.make_batches()


@pytest.fixture(scope="module")
def single(batches):
    """Curves and changes of one replica, and what rounding may do to each variable."""
    step = tiny.make_step()
    curves, changes = tiny.train(step, batches)
    # An update rounds a variable by up to half the distance of two numbers there, in
    # each of the two runs: near 1, where batch norm's scales are, 1.2e-7 in each step,
    # 2.4e-6 in all. On TensorFlow 2.21 the difference has been seen to be 2e-6, and
    # weights that begin 1e-7 apart end as far from each other as one and two replicas.
    rounding = {
        name: max(3e-7, tiny.STEPS * float(np.spacing(np.max(np.abs(variable)))))
        for name, variable in step._variables.items()
    }
    return curves, changes, rounding


def assert_same(first, second, rounding):
    """The same losses and monitors in each step, and the same changes of variables."""
    curves, others = first[0], second[0]
    assert curves.keys() == others.keys()
    assert len(curves["losses/total"]) == tiny.STEPS
    for tag in curves:
        tolerance = TOLERANCE if tag.startswith("losses/") else 1e-4
        np.testing.assert_allclose(
            curves[tag], others[tag], rtol=0, atol=tolerance, err_msg=tag
        )
    for name, change in first[1].items():
        tolerance = 1e-2 * np.max(np.abs(change)) + rounding[name]
        np.testing.assert_allclose(
            change, second[1][name], rtol=0, atol=tolerance, err_msg=name
        )


def test_two_replicas_give_the_numbers_of_one(batches, single, two_cpus):
    step = tiny.make_step(two_cpus, cross_replica_statistics=True)
    assert_same(single, tiny.train(step, batches, two_cpus), single[2])


def test_two_processes_give_the_numbers_of_one(single, tmp_path):
    # Each worker writes its own file.
    outputs = run_pair(["tests.training.tiny", str(tmp_path)])
    assert [output.returncode for output in outputs] == [0, 0], outputs
    for index in range(2):
        with np.load(tmp_path / f"{index}.npz") as stored:
            assert stored["chief"] == (index == 0)
            found = {name: stored[name] for name in stored.files if name != "chief"}
        curves = {name: found[name] for name in single[0]}
        changes = {name: found[name] for name in single[1]}
        assert_same(single, (curves, changes), single[2])


def test_portions_are_to_one_device_what_replicas_are_to_several(
    batches, single, two_cpus
):
    """By default, each has its own batch statistics, as on the original's GPUs."""
    portions = tiny.train(tiny.make_step(accumulation_steps=2), batches)
    on_two = tiny.train(tiny.make_step(two_cpus), batches, two_cpus)
    assert_same(portions, on_two, single[2])
    difference = np.abs(portions[0]["losses/total"] - single[0]["losses/total"])
    assert np.max(difference) > 100 * TOLERANCE


def test_gradients_reach_through_a_mean_over_replicas(two_cpus):
    x = two_cpus.experimental_distribute_values_from_function(
        lambda context: tf.constant(float(1 + context.replica_id_in_sync_group))
    )

    def replica(x):
        with tf.GradientTape() as tape, distributed.synchronized(True):
            tape.watch(x)
            loss = distributed.batch_mean(x) ** 2
        return loss, tape.gradient(loss, x), distributed.batch_mean(x)

    losses, gradients, own = tf.function(lambda: two_cpus.run(replica, args=(x,)))()
    local = two_cpus.experimental_local_results
    assert [float(value) for value in local(losses)] == [2.25, 2.25]
    # d(2 * mean^2) / dx_i, of the losses of both.
    assert [float(value) for value in local(gradients)] == [3.0, 3.0]
    assert [float(value) for value in local(own)] == [1.0, 2.0]


def test_ratio_of_classes_leaves_out_those_without_a_count():
    ratio = distributed.Ratio(
        tf.constant([1.0, 0.0, 3.0]), tf.constant([2.0, 0.0, 4.0])
    )
    assert float(ratio.result()) == pytest.approx(0.625)
    nothing = distributed.Ratio(tf.constant(0.0), tf.constant(0.0))
    assert float(nothing.result()) == 0.0


@pytest.mark.parametrize("portions", [1, 2])
def test_losses_are_means_over_the_global_batch(two_cpus, portions):
    """8 valid pixels, all in one part; the other parts have none."""

    class Method(tf.Module):
        def __init__(self):
            super().__init__()
            self.weight = tf.Variable(2.0, name="weight")
            self.regularized_variables = [self.weight]
            self.seen = tf.Variable(
                tf.zeros([2 * portions]),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )

        def loss_normalizers(self, batch):
            return {"pixels": tf.reduce_sum(batch["counted"])}

        def on_update_end(self, global_step, aux):
            context = tf.distribute.get_replica_context()
            self.seen.assign(context.all_gather(aux["loss"], axis=0))

        def compute_losses(self, batch, global_step, progress, seed, loss_normalizers):
            total = tf.reduce_sum(self.weight * batch["loss"] * batch["counted"])
            loss = tf.math.divide_no_nan(total, loss_normalizers["pixels"])
            aux = {"loss": tf.reduce_sum(batch["loss"])}
            return StepOutput(losses={"mean": loss}, aux=aux)

    with two_cpus.scope():
        method = Method()
        step = TrainingStep(
            method,
            {"weight": method.weight},
            two_cpus,
            total_steps=10,
            palette=np.zeros([1, 3], np.uint8),
            weight_decay=0.0,
            accumulation_steps=portions,
        )
    batch = {
        "loss": np.arange(8, dtype=np.float32)[:, np.newaxis] * np.ones([8, 4]),
        "counted": np.zeros([8, 4], np.float32),
    }
    batch["counted"][4:6] = 1.0
    values = two_cpus.experimental_distribute_values_from_function(
        lambda context: tf.nest.map_structure(
            lambda x: tf.constant(
                x[4 * context.replica_id_in_sync_group :][:4], tf.float32
            ),
            batch,
        )
    )
    results = tf.function(step.distributed_step, autograph=False)(values)
    assert float(results["losses"]["mean"]) == pytest.approx(2.0 * 4.5)
    assert float(results["monitors"]["gradient_norm"]) == pytest.approx(4.5)
    # The `aux` of each part reaches every replica after the update.
    sums = np.sum(batch["loss"].reshape([2 * portions, -1]), axis=1)
    for seen in two_cpus.experimental_local_results(method.seen):
        np.testing.assert_array_equal(seen, sums)
