"""Curves, also of a run that was started again; waiting; a disk that is full."""

import glob
import re
import time
import types

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import plugin_event_accumulator

from wss.training import summaries


def tags(directory):
    found = set()
    for path in glob.glob(f"{directory}/events*"):
        for event in tf.compat.v1.train.summary_iterator(path):
            found |= {value.tag for value in event.summary.value}
    return found


def test_a_folder_that_can_not_be_written_gives_one_warning(tmp_path, capsys):
    (tmp_path / "train").write_text("in the way")
    events = summaries.Summaries(str(tmp_path / "train"))
    events.scalars({"a": 1.0}, 1)
    events.images({"b": tf.zeros([1, 2, 2, 3], tf.uint8)}, 1)
    events.text("c", "text")
    events.flush()
    events.flush()
    printed = capsys.readouterr().out
    assert printed.count("warning: TensorBoard events cannot be written to") == 1
    assert printed.count("\n") == 1 and "The run goes on without them." in printed
    assert "{{" not in printed and "[Op:" not in printed


def test_a_disk_that_fills_up_ends_the_curves_only(tmp_path, capsys, monkeypatch):
    events = summaries.Summaries(str(tmp_path))
    events.scalars({"before": 1.0}, 1)
    full = tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    def fail(*_):
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(tf.summary, "scalar", fail)
        events.scalars({"during": 1.0}, 2)
    events.scalars({"after": 1.0}, 3)
    assert capsys.readouterr().out.count("No space left on device") == 1
    assert tags(tmp_path) == {"before"}


def test_a_mistake_of_ours_is_not_hidden(tmp_path):
    with pytest.raises(ValueError):
        summaries.Summaries(str(tmp_path)).scalars({"a": [[1.0]]}, 1)


def test_progress_line_tells_of_waiting():
    arguments = (5, 10, {"total": 1.0, "one": 1.0}, 0.1, 8.0, 2.0)
    assert "waiting" not in summaries.progress_line(*arguments, 0.04)
    line = summaries.progress_line(*arguments, 0.37)
    assert line.endswith("8.0 images/s  0:00:02 left  37% waiting for input")


def test_waits_add_up_and_the_time_of_the_steps_does_not_count(tmp_path, capsys):
    experiment = types.SimpleNamespace(images_per_step=2, train_steps=9)
    progress = summaries.Progress(experiment, str(tmp_path))
    results = {"losses": {"total": 1.0}, "monitors": {}, "learning_rate": 0.1}
    progress.start(1)
    for _ in range(2):
        with progress.waiting():
            time.sleep(0.15)
        time.sleep(0.15)
    progress.log(3, results, 1.0)
    (share,) = re.findall(r"(\d+)% waiting for input", capsys.readouterr().out)
    assert 25 < int(share) < 75
    time.sleep(0.1)
    progress.log(4, results, 1.0)  # Steps in one call: their waiting times are unknown.
    assert "waiting" not in capsys.readouterr().out


def test_a_stall_is_told_while_it_lasts(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(summaries, "_STALL_SECONDS", 0.2)
    progress = summaries.Progress(types.SimpleNamespace(), str(tmp_path))
    with progress.waiting():
        pass
    time.sleep(0.4)
    assert "warning" not in capsys.readouterr().err
    with progress.waiting():
        time.sleep(0.6)
        printed = capsys.readouterr().err
    assert printed.count("warning: the step has waited for its batch for ") == 1


def draw(directory, values, second, tag="loss"):
    """Draws as a run that started at a second since 1970."""
    writer = tf.summary.create_file_writer(str(directory / "new"))
    with writer.as_default():
        for step, value in values.items():
            tf.summary.scalar(tag, value, step)
    writer.close()
    (path,) = (directory / "new").glob("events.*")
    path.rename(directory / f"events.out.tfevents.{second}.host.v2")
    (directory / "new").rmdir()


def shown(directory):
    """Points (step, value) of the curve as TensorBoard has them."""
    events = plugin_event_accumulator.EventAccumulator(str(directory)).Reload()
    points = events.Tensors("loss") if "loss" in events.Tags()["tensors"] else []
    return [(p.step, float(tf.make_ndarray(p.tensor_proto))) for p in points]


def test_points_behind_the_restored_step_are_dropped(tmp_path):
    draw(tmp_path, {0: 4.0, 10: 3.0, 20: 2.0}, 1000000000)
    summaries.forget_from(str(tmp_path), 11)
    assert shown(tmp_path) == [(0, 4.0), (10, 3.0)]
    draw(tmp_path, {20: 2.5, 30: 1.0}, 9999999999)
    assert shown(tmp_path) == [(0, 4.0), (10, 3.0), (20, 2.5), (30, 1.0)]


def test_curves_are_read_by_step_and_each_step_once(tmp_path):
    draw(tmp_path, {20: 2.0, 30: 1.0}, 1000000000, "losses/total")
    draw(tmp_path, {0: 4.0, 20: 2.0}, 1000005000, "losses/total")
    points = summaries.read_curves(str(tmp_path), "losses")["total"]
    assert points == [(0, 4.0), (20, 2.0), (30, 1.0)]


def test_a_clock_that_was_set_back(tmp_path):
    draw(tmp_path, {0: 4.0, 10: 3.0}, 9999999990)
    draw(tmp_path, {20: 2.0, 30: 1.5}, 9999999999)
    summaries.forget_from(str(tmp_path), 21)
    draw(tmp_path, {30: 2.5, 40: 1.0}, int(time.time()) + 1)
    assert shown(tmp_path) == [(0, 4.0), (10, 3.0), (20, 2.0), (30, 2.5), (40, 1.0)]


def test_a_new_start_drops_all(tmp_path):
    draw(tmp_path, {0: 4.0, 10: 3.0}, 1000000000)
    summaries.forget_from(str(tmp_path), 0)
    assert shown(tmp_path) == []


def test_curves_are_read_back(tmp_path):
    draw(tmp_path, {0: 4.0, 10: 3.0}, 1000000000)
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        for step in (0, 10, 20):
            tf.summary.scalar("losses/total", step / 4, step)
            tf.summary.image("losses/picture", tf.zeros([1, 2, 2, 3]), step)
    writer.close()
    assert summaries.read_curves(str(tmp_path), "losses") == {
        "total": [(0, 0.0), (10, 2.5), (20, 5.0)]
    }
    assert summaries.read_curves(str(tmp_path / "other"), "losses") == {}


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    summaries.forget_from(str(tmp_path / "train"), 0)
    assert not (tmp_path / "train").exists()
