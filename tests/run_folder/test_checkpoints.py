"""Checkpoints that were torn, damaged or lost, and a disk that is full."""

import errno
import os
import shutil

import pytest
import tensorflow as tf

from wss.errors import UserError
from wss.evaluation import following
from wss.models import tf1_checkpoint
from wss.run_folder import checkpoints
from wss.run_folder.checkpoints import Checkpoints


class Run:
    """A run whose only variable is ten times its step."""

    def __init__(self, directory, keep=3):
        self.step = tf.Variable(0, dtype=tf.int64)
        self.value = tf.Variable(tf.zeros([1000]))
        self.checkpoints = Checkpoints(
            str(directory), self.step, keep, value=self.value
        )

    def save(self, *steps):
        for step in steps:
            self.step.assign(step)
            self.value.assign(tf.fill([1000], 10.0 * step))
            self.checkpoints.save()
        return self

    def restored_step(self):
        assert self.checkpoints.restore()
        step = int(self.step.numpy())
        assert self.value.numpy().tolist() == [10.0 * step] * 1000
        return step


def cut(path, size):
    path.write_bytes(path.read_bytes()[:size])


def flip(path, position):
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def test_a_folder_that_vanishes_is_told_and_saved_to_again(tmp_path, capsys):
    folder = tmp_path / "run"
    run = Run(folder).save(2)
    shutil.rmtree(folder)
    run.save(4)
    printed = capsys.readouterr().out
    assert f"warning: {folder}/ckpt-2 is gone. Has {folder} been emptied?" in printed
    assert Run(folder).restored_step() == 4
    run.save(6)
    assert "is gone" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: cut(folder / "ckpt-4.data-00000-of-00001", 2000),
        lambda folder: cut(folder / "ckpt-4.index", 100),
        lambda folder: cut(folder / "ckpt-4.index", 0),
        lambda folder: flip(folder / "ckpt-4.data-00000-of-00001", 2000),
        lambda folder: flip(folder / "ckpt-4.index", 20),
        lambda folder: (folder / "ckpt-4.data-00000-of-00001").unlink(),
        lambda folder: (folder / "ckpt-4.index").unlink(),
    ],
    ids=["short", "short index", "no index", "bit", "index bit", "no data", "lost"],
)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    tmp_path, capsys, damage
):
    Run(tmp_path).save(2, 4)
    damage(tmp_path)
    run = Run(tmp_path)
    assert run.restored_step() == 2
    line = capsys.readouterr().out
    assert f"warning: the checkpoint {tmp_path}/ckpt-4 cannot be read (" in line
    assert line.count("\n") == 1
    assert run.checkpoints.latest == f"{tmp_path}/ckpt-2"
    run.save(4)
    assert Run(tmp_path).restored_step() == 4


def test_no_run_begins_anew_where_none_can_be_read(tmp_path):
    Run(tmp_path).save(2, 4)
    for step in (2, 4):
        flip(tmp_path / f"ckpt-{step}.data-00000-of-00001", 2000)
    with pytest.raises(UserError, match="None of the checkpoints in .* with another"):
        Run(tmp_path).checkpoints.restore()


def test_no_run_begins_anew_where_all_are_lost(tmp_path, capsys):
    Run(tmp_path).save(2)
    for path in tmp_path.glob("ckpt-2.*"):
        path.unlink()
    with pytest.raises(UserError, match="Put back a copy of .*ckpt-2"):
        Run(tmp_path).checkpoints.restore()


def test_a_first_checkpoint_that_was_never_finished_is_none(tmp_path):
    (tmp_path / "ckpt-2_temp").mkdir()
    (tmp_path / "ckpt-2_temp" / "part-00000-of-00001.index").write_text("")
    (tmp_path / "ckpt-2.data-00000-of-00001").write_text("torn")
    run = Run(tmp_path)
    assert not checkpoints.exist(str(tmp_path)) and not run.checkpoints.restore()
    run.save(4)
    assert sorted(os.listdir(tmp_path)) == [
        "checkpoint",
        "ckpt-4.data-00000-of-00001",
        "ckpt-4.index",
    ]


def test_the_last_ones_and_the_best_are_kept(tmp_path):
    run = Run(tmp_path, keep=2).save(1, 2)
    run.checkpoints.save_best()
    run.save(3)
    run.checkpoints.save_best()
    run.save(9, 10)
    assert sorted(path.stem for path in tmp_path.glob("*.index")) == [
        "best-3",
        "ckpt-10",
        "ckpt-9",
    ]
    assert checkpoints.find_best(str(tmp_path)) == f"{tmp_path}/best-3"
    assert tf.train.latest_checkpoint(str(tmp_path)) == f"{tmp_path}/ckpt-10"
    assert Run(tmp_path).restored_step() == 10


def test_no_other_is_deleted_before_a_checkpoint_is_on_the_disk(tmp_path, monkeypatch):
    run = Run(tmp_path, keep=1).save(1)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left.*good checkpoint is .*-1"):
            run.save(2)
    assert Run(tmp_path).restored_step() in (1, 2)
    run.save(3)
    assert Run(tmp_path).restored_step() == 3


def test_the_best_without_an_evaluation(tmp_path):
    Run(tmp_path).save(1)
    with pytest.raises(UserError, match="Use the last one, --checkpoint=latest"):
        checkpoints.find(str(tmp_path), "best")
    with pytest.raises(UserError, match="Train first"):
        checkpoints.find(str(tmp_path / "none"), "best")


def test_a_full_disk_is_told_and_harms_no_other_checkpoint(tmp_path, monkeypatch):
    run = Run(tmp_path).save(2)

    def fail(self, path):
        # Like TensorFlow's: partly written.
        os.mkdir(f"{path}_temp")
        message = "{{function_node __wrapped__SaveV2_}} No space left on device [Op:S]"
        raise tf.errors.ResourceExhaustedError(None, None, message)

    with monkeypatch.context() as patch:
        patch.setattr(tf.train.Checkpoint, "write", fail)
        with pytest.raises(UserError) as raised:
            run.save(4)
    message = str(raised.value)
    assert f"{tmp_path}/ckpt-4 cannot be written (No space left on device)" in message
    assert f"the last good checkpoint is {tmp_path}/ckpt-2." in message
    assert not (tmp_path / "ckpt-4_temp").exists()
    assert Run(tmp_path).restored_step() == 2


def test_whatever_else_lies_there_stays(tmp_path):
    for name in ("notes.txt", "ckpt-a.index", "ckpt-old-3.index", "best.index"):
        (tmp_path / name).write_text("mine")
    Run(tmp_path, keep=1).save(1, 2, 3)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "notes.txt",
        "ckpt-a.index",
        "ckpt-old-3.index",
        "best.index",
    }


def test_the_latest_is_looked_for_again_beside_a_fast_training(
    tmp_path, monkeypatch, capsys
):
    """Another process deletes the file being read, during and after the search."""
    run, sound, read = Run(tmp_path, keep=1).save(1), checkpoints.problem, []
    is_fast = iter([True, True, False, True])

    def problem(path):
        if next(is_fast, False):
            run.save(int(run.step) + 1)
        return sound(path)

    def action(path):
        read.append(path)
        if len(read) == 1:
            run.save(int(run.step) + 1)
        if not os.path.exists(f"{path}.index"):
            raise UserError("There is no such checkpoint.")
        return path

    monkeypatch.setattr(checkpoints, "problem", problem)
    path = checkpoints.use(str(tmp_path), "latest", action)
    assert read == [f"{tmp_path}/ckpt-3", f"{tmp_path}/ckpt-5"]
    assert path == read[-1] and "warning" not in capsys.readouterr().out


def test_what_is_wrong_with_a_checkpoint_that_stays_is_told(tmp_path):
    Run(tmp_path).save(1)

    def action(path):
        raise UserError("another network")

    for which in ("latest", str(tmp_path / "ckpt-1"), str(tmp_path / "missing")):
        with pytest.raises(UserError, match="another network"):
            checkpoints.use(str(tmp_path), which, action)


def test_no_run_begins_anew_beside_a_best(tmp_path):
    checkpoints.check_latest(str(tmp_path))  # Nothing to lose.
    run = Run(tmp_path).save(2)
    run.checkpoints.save_best()
    checkpoints.check_latest(str(tmp_path))
    for path in [*tmp_path.glob("ckpt-*"), tmp_path / "checkpoint"]:
        path.unlink()
    with pytest.raises(UserError, match="no ckpt-.* INIT_CHECKPOINT = .*best-2'"):
        checkpoints.check_latest(str(tmp_path))
    with pytest.raises(UserError, match="Use it, --checkpoint=best"):
        checkpoints.find(str(tmp_path), "latest")
    assert checkpoints.find(str(tmp_path), "best") == str(tmp_path / "best-2")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_list_that_is_no_file_is_not_waited_for(tmp_path, make):
    make(tmp_path / "checkpoint")
    for find in (
        checkpoints.find_latest,
        tf1_checkpoint.find,
        following.wait_for_first,
    ):
        with pytest.raises(UserError, match="checkpoint cannot be read: it is not a"):
            find(str(tmp_path))
