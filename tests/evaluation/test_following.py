"""Following a training that runs somewhere else."""

import types

import pytest
import tensorflow as tf

from wss import eval
from wss.errors import UserError
from wss.evaluation import following


class Training:
    """A training that writes something whenever the follower sleeps."""

    def __init__(self, folder, events):
        self.folder = folder
        self.events = list(events)
        self.evaluated = []
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)
        if self.events:
            self.events.pop(0)()

    def write_config(self):
        (self.folder / "config.gin").write_text("")

    def save(self, step):
        tf.train.Checkpoint(step=tf.Variable(step)).write(f"{self.folder}/ckpt-{step}")
        (self.folder / "checkpoint").write_text(
            f'model_checkpoint_path: "ckpt-{step}"\n'
        )

    def evaluate(self, checkpoint):
        tf.train.load_checkpoint(checkpoint)
        step = int(checkpoint.rsplit("-", 1)[1])
        self.evaluated.append(step)
        return step

    def follow(self, timeout=None):
        opened = types.SimpleNamespace(
            train_steps=30, repeated_evaluation=lambda: self.evaluate
        )
        following.follow(lambda: opened, str(self.folder), timeout, self.sleep)


def test_waits_for_the_training_and_ends_with_it(tmp_path, capsys):
    training = Training(tmp_path, [])
    training.events = [
        lambda: None,
        training.write_config,
        lambda: training.save(10),
        lambda: (training.save(20), training.save(30)),
    ]
    training.follow()
    assert training.evaluated == [10, 30]
    printed = capsys.readouterr().out
    assert "Waiting for a new checkpoint in" in printed
    assert "The training has taken its 30 steps." in printed


def test_a_training_that_does_not_go_on(tmp_path):
    training = Training(tmp_path, [])
    training.write_config()
    training.save(10)
    with pytest.raises(UserError, match="no new checkpoint in .* for 25 s"):
        training.follow(timeout=25.0)
    assert training.evaluated == [10] and sum(training.slept) == 25.0


def test_a_file_is_no_folder_to_wait_for(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is no folder"):
        Training(tmp_path / "file", []).follow()


def test_a_checkpoint_that_vanishes_is_passed_over(tmp_path):
    training = Training(tmp_path, [lambda: training.save(30)])
    training.write_config()
    training.save(10)
    sound, calls = training.evaluate, []

    def evaluate(checkpoint):
        calls.append(checkpoint)
        if len(calls) == 1:
            for path in tmp_path.glob("ckpt-10*"):
                path.unlink()
            training.save(30)
        return sound(checkpoint)

    training.evaluate = evaluate
    training.follow()
    assert len(calls) == 2 and training.evaluated == [30]


def test_no_training_in_time_is_status_2(tmp_path, capsys):
    flags = [f"--model_dir={tmp_path}", "--continuous", "--timeout=0"]
    assert eval.main(flags) == 2
    assert "error: There was no new checkpoint in" in capsys.readouterr().err
