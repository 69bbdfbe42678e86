"""The loop: arithmetic of a step, replicas, restarts, losses that are not finite."""

import contextlib
import glob

import numpy as np
import pytest
import tensorflow as tf

from tests.training import toy
from wss.errors import UserError
from wss.training import loop
from wss.training.optimizers import AdamW
from wss.training.profiling import ProfileWindow


def weights(method):
    return np.append(method.model.weights.numpy(), method.model.biases.numpy())


def gradients_by_hand(step, w, b):
    """Those of the losses, without weight decay, in numpy."""
    x, y = (value.numpy().astype(np.float64) for value in toy.example(step))
    noise = float(tf.random.stateless_normal([], [5, step]))
    error = x @ w + b - y
    return 1.5 * 2 * x.T @ error / 4, 1.5 * (2 * error.mean() + 0.01 * noise)


def expected_weights(steps):
    """The same run in numpy."""
    w, b = np.array([1.0, -1.0]), 0.0
    slot_w, slot_b = np.zeros(2), 0.0
    for step in range(steps):
        gradient_w, gradient_b = gradients_by_hand(step, w, b)
        gradient_w += 0.1 * w
        rate = 0.007 * (1 - step / 8) ** 0.9
        slot_w = 0.9 * slot_w + gradient_w
        slot_b = 0.9 * slot_b + 2 * gradient_b  # The multiplier of biases.
        w, b = w - rate * slot_w, b - rate * slot_b
    return np.append(w, b)


@pytest.mark.parametrize("steps_per_loop", [1, 2, 5])
def test_steps_are_what_arithmetic_says(tmp_path, steps_per_loop):
    method = toy.train(tmp_path, steps_per_loop=steps_per_loop)
    np.testing.assert_allclose(weights(method), expected_weights(8), rtol=1e-5)
    assert method.model.unused.numpy() == 3.0


def test_two_replicas_average_their_halves_of_the_batch(tmp_path, two_cpus):
    method = toy.train(tmp_path, two_cpus)
    np.testing.assert_allclose(weights(method), expected_weights(8), rtol=1e-5)


def adamw_weights(steps, clip_norm):
    """The run of AdamW in numpy: clipped gradients, twice the rate for biases."""
    values, first, second = np.array([1.0, -1.0, 0.0]), np.zeros(3), np.zeros(3)
    for step in range(steps):
        gradient = np.append(*gradients_by_hand(step, values[:2], values[2]))
        gradient *= min(1.0, clip_norm / np.linalg.norm(gradient))
        rate = 0.007 * (1 - step / 8) ** 0.9 * np.array([1.0, 1.0, 2.0])
        values -= rate * 0.1 * values
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        root = np.sqrt(second / (1 - 0.999 ** (step + 1)))
        values -= rate * first / (1 - 0.9 ** (step + 1)) / (root + 1e-8)
    return values


def train_adamw(
    folder, strategy=toy.ONE_DEVICE, clip_norm=0.0, total_steps=8, **options
):
    made = toy.make(strategy, optimizer=AdamW, clip_norm=clip_norm, **options)
    method = toy.train(folder, strategy, total_steps, made=made)
    assert method.model.unused.numpy() == 3.0
    return weights(method)


@pytest.mark.parametrize("clip_norm", [0.0, 2.0])
def test_adamw_does_what_arithmetic_says(tmp_path, clip_norm, two_cpus):
    expected = adamw_weights(8, clip_norm or np.inf)
    for number, (strategy, micro_batches) in enumerate(
        [(toy.ONE_DEVICE, 1), (two_cpus, 1), (toy.ONE_DEVICE, 2)]
    ):
        found = train_adamw(
            tmp_path / str(number),
            strategy,
            clip_norm,
            accumulation_steps=micro_batches,
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_restarted_run_of_adamw_equals_an_undisturbed_one(tmp_path):
    undisturbed = train_adamw(tmp_path / "a")
    train_adamw(tmp_path / "b", total_steps=5)
    np.testing.assert_array_equal(train_adamw(tmp_path / "b"), undisturbed)


def test_a_restarted_run_equals_an_undisturbed_one(tmp_path, capsys):
    undisturbed = toy.train(tmp_path / "a")
    toy.train(tmp_path / "b", total_steps=5, steps_per_loop=2)
    method = toy.train(tmp_path / "b")
    assert "Continuing from" in (printed := capsys.readouterr().out)
    assert "ckpt-5" in printed
    np.testing.assert_array_equal(weights(method), weights(undisturbed))


@contextlib.contextmanager
def input_errors():
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        raise UserError("The batch of step 6 cannot be made.") from error


@pytest.mark.parametrize("steps_per_loop", [1, 7])
@pytest.mark.parametrize("replicas", [1, 2])
def test_what_comes_before_a_batch_that_fails_is_saved(
    tmp_path, capsys, monkeypatch, replicas, steps_per_loop, two_cpus
):
    """With several steps in one call, the fault is in the middle of them."""
    strategy = {1: toy.ONE_DEVICE, 2: two_cpus}[replicas]

    def failing(step):
        def check(index, batch):
            tf.debugging.assert_less(index, tf.constant(6 * replicas, tf.int64))
            return batch

        def dataset(context):
            size = context.get_per_replica_batch_size(4)
            steps = tf.data.Dataset.range(step, 100).map(toy.example)
            parts = steps.unbatch().batch(size, drop_remainder=True)
            return parts.enumerate().map(check)

        return strategy.distribute_datasets_from_function(dataset)

    monkeypatch.setattr(loop.parsing, "user_errors", input_errors)
    settings = {"checkpoint_interval": 0, "log_interval": 8}
    with pytest.raises(UserError, match="step 6 cannot be made"):
        toy.train(
            tmp_path,
            strategy,
            begin_batches=failing,
            steps_per_loop=steps_per_loop,
            **settings,
        )
    saved = f"The state is saved in {tmp_path}/ckpt-6."
    assert saved in capsys.readouterr().out
    method = toy.train(tmp_path, strategy)
    np.testing.assert_allclose(weights(method), expected_weights(8), rtol=1e-5)


def test_a_finished_run_says_so(tmp_path, capsys):
    toy.train(tmp_path)
    toy.train(tmp_path)
    assert "already finished, after 8 steps" in capsys.readouterr().out


def test_an_evaluation_that_was_owed_is_made_up_for(tmp_path):
    calls = []

    def evaluate(step):
        calls.append(step)
        return step == 3

    settings = {"evaluate": evaluate, "eval_interval": 3}
    toy.train(tmp_path, total_steps=3, **settings)
    toy.train(tmp_path, **settings)
    assert calls == [3, 3, 6, 8]
    assert glob.glob(f"{tmp_path}/best-*.index") == [f"{tmp_path}/best-3.index"]


def test_a_loss_that_is_not_finite_is_named_and_never_saved(tmp_path):
    with pytest.raises(
        UserError, match="loss 'regression' is not finite in the step after step 4"
    ) as e:
        toy.train(tmp_path, poison_step=4, log_interval=100, checkpoint_interval=2)
    assert "last good checkpoint is" in str(e.value) and "ckpt-4" in str(e.value)
    assert "are listed in batch.json. The last good" in str(e.value)
    assert sorted(glob.glob(f"{tmp_path}/ckpt-*.index")) == [
        f"{tmp_path}/ckpt-2.index",
        f"{tmp_path}/ckpt-4.index",
    ]


def test_steps_come_back_to_python_when_something_is_due():
    schedule = loop.Schedule(
        20, log=4, images=0, checkpoint=6, evaluation=0, steps_per_loop=5
    )
    step, ends = 0, []
    while step < 20:
        step += schedule.steps_to_next(step, ProfileWindow((9, 11), "nowhere"))
        ends.append(step)
    assert ends == [4, 6, 8, 9, 11, 12, 16, 18, 20]


def test_what_happens_when(tmp_path, capsys):
    calls = []
    toy.train(
        tmp_path,
        evaluate=calls.append,
        calls=calls,
        eval_interval=3,
        keep_checkpoints=2,
        steps_per_loop=2,
    )
    assert calls == ["load", "describe", "show", 3, 6, 8, "describe", "record"]
    assert len(glob.glob(f"{tmp_path}/ckpt-*.index")) == 2
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    steps = [line[1] for line in lines if line[0] == "step"]
    assert steps == ["1/8", "2/8", "4/8", "6/8", "8/8"]
    assert "images/s" in lines[-1] and "left" in lines[-1]


@pytest.mark.parametrize("intervals", [-3, 0])
def test_no_interval_leads_past_the_end(tmp_path, intervals):
    names = ("checkpoint_interval", "log_interval", "image_interval", "eval_interval")
    settings = {**dict.fromkeys(names, intervals), "steps_per_loop": intervals}
    evaluated = []
    method = toy.train(tmp_path, evaluate=evaluated.append, **settings)
    assert evaluated == [8] and (tmp_path / "ckpt-8.index").exists()
    np.testing.assert_allclose(weights(method), expected_weights(8), rtol=1e-5)


def test_whole_numbers_are_fine_where_a_fraction_is_meant(tmp_path):
    method = toy.train(tmp_path, total_steps=1, weight_decay=0)
    other = toy.train(tmp_path / "other", total_steps=1, weight_decay=0.0)
    np.testing.assert_array_equal(weights(method), weights(other))


def test_curves_in_tensorboard(tmp_path):
    toy.train(tmp_path)
    tags = set()
    for path in glob.glob(f"{tmp_path}/train/events*"):
        for event in tf.compat.v1.train.summary_iterator(path):
            tags |= {value.tag for value in event.summary.value}
    assert tags >= {
        "losses/regression",
        "losses/weight_decay",
        "losses/total",
        "monitors/error",
        "monitors/gradient_norm",
        "monitors/learning_rate",
        "monitors/images_per_second",
        "performance/seconds_per_step",
        "performance/waiting_for_input",
        "monitors/weight_norm",
        "performance/memory_gb/host",
        "samples/constant",
        "samples/error",
    }
    assert {tag.split("/")[0] for tag in tags} <= {
        "losses",
        "monitors",
        "performance",
        "samples",
    }


def test_another_model_in_the_same_directory_is_a_user_error(tmp_path):
    toy.train(tmp_path)
    made = toy.make()
    made[0].model.weights = tf.Variable([1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="does not fit this configuration"):
        toy.train(tmp_path, made=made)


def test_masks_without_a_class_are_warned_of(tmp_path, capsys, monkeypatch):
    class AllIgnored(toy.ToyMethod):
        def compute_losses(self, batch, global_step, progress, seed, loss_normalizers):
            output = super().compute_losses(
                batch, global_step, progress, seed, loss_normalizers
            )
            seen = tf.cast(global_step >= 4, tf.float32)
            output.losses["supervised"] = seen * output.losses["regression"]
            return output

    monkeypatch.setattr(toy, "ToyMethod", AllIgnored)
    toy.train(tmp_path)
    warnings = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in warnings if "no labeled pixel" in line] == [
        " the masks of step 1 have no labeled pixel",
        " the masks of step 2 have no labeled pixel",
        " the masks of step 4 have no labeled pixel",
    ]
