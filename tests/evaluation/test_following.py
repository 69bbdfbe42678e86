"""Following a run that trains somewhere else."""

import threading
import types

import pytest
import tensorflow as tf

from wss import eval
from wss.errors import UserError
from wss.evaluation import following


class Run:
    """A run that saves its next checkpoint while one is evaluated."""

    def __init__(self, folder, monkeypatch, *steps):
        self.experiment = types.SimpleNamespace(model_dir=str(folder), train_steps=30)
        self.folder = folder
        self.steps = list(steps)
        self.evaluated = []
        evaluator = types.SimpleNamespace(evaluate=self.evaluate)
        monkeypatch.setattr(following, "CheckpointEvaluator", lambda _: evaluator)

    def save(self, step):
        tf.train.Checkpoint(step=tf.Variable(step)).write(f"{self.folder}/ckpt-{step}")
        (self.folder / "checkpoint").write_text(
            f'model_checkpoint_path: "ckpt-{step}"\n'
        )
        return self

    def evaluate(self, checkpoint):
        while self.steps:
            step = self.steps.pop(0)
            self.save(abs(step))
            if step < 0:  # Only this one is kept.
                for path in self.folder.glob("ckpt-1*"):
                    path.unlink()
        tf.train.load_checkpoint(checkpoint)
        step = int(checkpoint.rsplit("-", 1)[1])
        self.evaluated.append(step)
        return step


def test_waits_for_the_run_and_ends_with_it(tmp_path, capsys, monkeypatch):
    run = Run(tmp_path, monkeypatch, 20, 30)
    begin = threading.Timer(0.5, run.save, [10])
    begin.start()
    following.wait_for_first(str(tmp_path))
    begin.join()
    following.follow(run.experiment)
    assert run.evaluated == [10, 30]
    printed = capsys.readouterr().out
    assert "Waiting for checkpoints in" in printed
    assert "The run is finished after 30 steps." in printed


def test_a_run_that_does_not_go_on(tmp_path, monkeypatch):
    run = Run(tmp_path, monkeypatch).save(10)
    with pytest.raises(UserError, match="no new checkpoint in .* for 2 s"):
        following.follow(run.experiment, timeout=2.0)
    assert run.evaluated == [10]


def test_a_file_is_no_folder_to_wait_for(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file is not a folder"):
        following.wait_for_first(str(tmp_path / "file"))


def test_a_list_that_names_nothing_is_told(tmp_path):
    (tmp_path / "checkpoint").write_text("")
    with pytest.raises(UserError, match="checkpoint is damaged: it names no checkp"):
        following.wait_for_first(str(tmp_path))


def test_a_checkpoint_that_vanishes_is_passed_over(tmp_path, monkeypatch):
    run = Run(tmp_path, monkeypatch, -30).save(10)
    following.follow(run.experiment)
    assert run.evaluated == [30]


def test_no_run_in_time_is_status_2(tmp_path, capsys):
    flags = [f"--model_dir={tmp_path}", "--continuous", "--timeout=0"]
    assert eval.main(flags) == 2
    assert "error: There was no new checkpoint in" in capsys.readouterr().err
