"""The loop: arithmetic of a step, replicas, restarts, losses that are not finite."""

import contextlib
import glob

import numpy as np
import pytest
import tensorflow as tf

from tests.training import toy
from wss.errors import UserError
from wss.training.loop import Trainer
from wss.training.loss_scale import LossScale
from wss.training.train_step import TrainingStep

ONE_DEVICE = tf.distribute.OneDeviceStrategy("/cpu:0")


def make(
    model_dir,
    strategy=ONE_DEVICE,
    poison_step=None,
    total_steps=8,
    schedule_steps=8,
    weight_decay=0.1,
    **kwargs,
):
    """A trainer of the toy method and the method."""
    with strategy.scope():
        method = toy.ToyMethod(poison_step)
        step = TrainingStep(
            method,
            method.variables_by_name,
            strategy,
            total_steps=schedule_steps,
            seed=5,
            weight_decay=weight_decay,
        )
    settings = {"checkpoint_interval": 3, "log_interval": 2, "steps_per_loop": 2}
    trainer = Trainer(
        step,
        toy.batches(strategy),
        str(model_dir),
        total_steps=total_steps,
        images_per_step=4,
        items={"model": method.model, "method": method},
        **{**settings, **kwargs},
    )
    return trainer, method


def weights(method):
    return np.append(method.model.weights.numpy(), method.model.biases.numpy())


def expected_weights(steps):
    """The same training in numpy: gradients by hand."""
    w, b = np.array([1.0, -1.0]), 0.0
    slot_w, slot_b = np.zeros(2), 0.0
    for step in range(steps):
        x, y = (value.numpy().astype(np.float64) for value in toy.example(step))
        noise = float(tf.random.stateless_normal([], [5, step]))
        error = x @ w + b - y
        gradient_w = 1.5 * 2 * x.T @ error / 4 + 0.1 * w
        gradient_b = 1.5 * (2 * error.mean() + 0.01 * noise)
        rate = 0.007 * (1 - step / 8) ** 0.9
        slot_w = 0.9 * slot_w + gradient_w
        slot_b = 0.9 * slot_b + 2 * gradient_b  # The multiplier of biases.
        w, b = w - rate * slot_w, b - rate * slot_b
    return np.append(w, b)


def test_steps_are_what_arithmetic_says(tmp_path):
    trainer, method = make(tmp_path)
    trainer.train()
    np.testing.assert_allclose(weights(method), expected_weights(8), rtol=1e-5)
    assert method.model.unused.numpy() == 3.0


def test_two_replicas_average_their_halves_of_the_batch(tmp_path, two_cpus):
    trainer, method = make(tmp_path, two_cpus)
    trainer.train()
    np.testing.assert_allclose(weights(method), expected_weights(8), rtol=1e-5)


def test_a_restarted_run_equals_an_undisturbed_one(tmp_path, capsys):
    straight, undisturbed = make(tmp_path / "a")
    straight.train()
    make(tmp_path / "b", total_steps=5)[0].train()
    resumed, method = make(tmp_path / "b")
    resumed.train()
    assert "ckpt-5" in capsys.readouterr().out
    np.testing.assert_array_equal(weights(method), weights(undisturbed))


@contextlib.contextmanager
def input_errors():
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        raise UserError("The batch of step 6 can not be made.") from error


@pytest.mark.parametrize("replicas", [1, 2])
def test_what_comes_before_a_batch_that_fails_is_saved(
    tmp_path, capsys, replicas, two_cpus
):
    """The fault lies in the middle of a loop of steps."""
    strategy = {1: ONE_DEVICE, 2: two_cpus}[replicas]
    trainer, _ = make(
        tmp_path,
        strategy,
        input_errors=input_errors,
        checkpoint_interval=0,
        log_interval=8,
        steps_per_loop=7,
    )

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

    trainer.batches = failing
    trainer._quick_steps = 7  # As if there were a pace.
    with pytest.raises(UserError, match="step 6 can not be made"):
        trainer.train()
    saved = f"The state is saved in {tmp_path}/ckpt-6."
    assert saved in capsys.readouterr().out
    resumed, method = make(tmp_path, strategy)
    resumed.train()
    np.testing.assert_allclose(weights(method), expected_weights(8), rtol=1e-5)


def test_a_finished_run_says_so(tmp_path, capsys):
    make(tmp_path)[0].train()
    make(tmp_path)[0].train()
    assert "finished: it took its 8 steps" in capsys.readouterr().out


def test_an_evaluation_that_was_owed_is_made_up_for(tmp_path):
    calls = []

    def evaluate(step):
        calls.append(step)
        return step == 3

    settings = {"evaluate": evaluate, "eval_interval": 3}
    make(tmp_path, total_steps=3, **settings)[0].train()
    make(tmp_path, **settings)[0].train()
    assert calls == [3, 3, 6, 8]
    assert glob.glob(f"{tmp_path}/best-*.index") == [f"{tmp_path}/best-3.index"]


def test_a_loss_that_is_not_finite_is_named_and_never_saved(tmp_path):
    trainer, _ = make(tmp_path, poison_step=4, log_interval=100, checkpoint_interval=2)
    with pytest.raises(
        UserError, match="loss 'regression' is not finite in the step after step 4"
    ) as e:
        trainer.train()
    assert "last good checkpoint is" in str(e.value) and "ckpt-4" in str(e.value)
    assert sorted(glob.glob(f"{tmp_path}/ckpt-*.index")) == [
        f"{tmp_path}/ckpt-2.index",
        f"{tmp_path}/ckpt-4.index",
    ]


def test_the_batch_of_a_bad_step_is_written_down(tmp_path):
    calls = []

    def save_batch(step, problem):
        calls.append((step, problem))
        return "batch.json"

    trainer, _ = make(tmp_path, poison_step=4, save_batch=save_batch)
    with pytest.raises(UserError, match="are listed in batch.json. The last good"):
        trainer.train()
    assert calls == [
        (4, "The loss 'regression' is not finite in the step after step 4.")
    ]


def test_slow_steps_come_back_as_often_as_the_workers_agree(tmp_path, monkeypatch):
    trainer, _ = make(
        tmp_path,
        total_steps=12,
        log_interval=4,
        checkpoint_interval=0,
        steps_per_loop=3,
    )
    step = trainer.training_step
    run, asked, counts = step.run, [], []

    def counted(iterator, count):
        counts.append(int(count))
        return run(iterator, count)

    def agreed(quick):
        asked.append(quick)
        return {1: 1, 2: 2}.get(len(asked), 9)

    monkeypatch.setattr(step, "run", counted)
    monkeypatch.setattr(step, "mean_of_workers", agreed)
    trainer.train()
    assert asked[0] == 0 and asked[1] > 0  # Behind the first step there is no pace.
    assert counts == [0, 1, 1, 1, 1, 2, 2, 3, 1]  # None to prepare.


def test_what_happens_when(tmp_path, capsys):
    calls = []
    trainer, _ = make(
        tmp_path,
        begin=lambda step: calls.append(f"begin at {step}"),
        evaluate=lambda step: calls.append(step),
        eval_interval=3,
        keep_checkpoints=2,
    )
    trainer.train()
    assert calls == ["begin at 0", 3, 6, 8]
    assert len(glob.glob(f"{tmp_path}/ckpt-*.index")) == 2
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in lines] == ["1/8", "2/8", "4/8", "6/8", "8/8"]
    assert "images/s" in lines[-1] and "left" in lines[-1]


@pytest.mark.parametrize("intervals", [-3, 0])
def test_no_interval_leads_past_the_end(tmp_path, intervals):
    names = ("checkpoint_interval", "log_interval", "image_interval", "eval_interval")
    settings = {**dict.fromkeys(names, intervals), "steps_per_loop": intervals}
    evaluated = []
    trainer, method = make(tmp_path, evaluate=evaluated.append, **settings)
    trainer.train()
    assert int(trainer.training_step.step.numpy()) == 8
    assert evaluated == [8] and (tmp_path / "ckpt-8.index").exists()
    np.testing.assert_allclose(weights(method), expected_weights(8), rtol=1e-5)


def test_whole_numbers_are_fine_where_a_fraction_is_meant(tmp_path):
    trainer, method = make(tmp_path, total_steps=1, weight_decay=0)
    trainer.train()
    other_trainer, other = make(tmp_path / "other", total_steps=1, weight_decay=0.0)
    other_trainer.train()
    np.testing.assert_array_equal(weights(method), weights(other))
    scale = LossScale(initial=4)
    scale.update(tf.constant(False))
    assert scale.value.numpy() == 2.0


def test_curves_in_tensorboard(tmp_path):
    make(tmp_path)[0].train()
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
        "learning_rate",
        "performance/images_per_second",
        "performance/waiting_for_input",
        "monitors/weight_norm",
        "memory_gb/host",
        "samples/constant",
    }


def test_another_model_in_the_same_directory_is_a_user_error(tmp_path):
    make(tmp_path)[0].train()
    trainer, method = make(tmp_path)
    method.model.weights = tf.Variable([1.0, 2.0, 3.0])
    with pytest.raises(UserError, match="does not fit this configuration"):
        trainer.train()


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
    make(tmp_path)[0].train()
    warnings = capsys.readouterr().err.splitlines()
    assert [line.split(":")[1] for line in warnings if "no labeled pixel" in line] == [
        " step 1 found no labeled pixel",
        " step 2 found no labeled pixel",
        " step 4 found no labeled pixel",
    ]
