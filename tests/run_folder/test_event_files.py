"""Event files: failures to write, resumed runs, curves read back."""

import glob
import time

import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import plugin_event_accumulator

from wss.run_folder import event_files


def tags(directory):
    found = set()
    for path in glob.glob(f"{directory}/events*"):
        for event in tf.compat.v1.train.summary_iterator(path):
            found |= {value.tag for value in event.summary.value}
    return found


def test_a_folder_that_can_not_be_written_gives_one_warning(tmp_path, capsys):
    (tmp_path / "train").write_text("in the way")
    events = event_files.Summaries(str(tmp_path / "train"))
    events.scalars({"a": 1.0}, 1)
    events.images({"b": tf.zeros([1, 2, 2, 3], tf.uint8)}, 1)
    events.text("c", "text")
    events.flush()
    events.flush()
    printed = capsys.readouterr().out
    assert printed.count("warning: TensorBoard events cannot be written to") == 1
    assert printed.count("\n") == 1 and "The run continues without them." in printed
    assert "{{" not in printed and "[Op:" not in printed


def test_a_disk_that_fills_up_ends_the_curves_only(tmp_path, capsys, monkeypatch):
    events = event_files.Summaries(str(tmp_path))
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
        event_files.Summaries(str(tmp_path)).scalars({"a": [[1.0]]}, 1)


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
    event_files.forget_from(str(tmp_path), 11)
    assert shown(tmp_path) == [(0, 4.0), (10, 3.0)]
    draw(tmp_path, {20: 2.5, 30: 1.0}, 9999999999)
    assert shown(tmp_path) == [(0, 4.0), (10, 3.0), (20, 2.5), (30, 1.0)]


def test_the_alphabet_sorts_groups_by_their_importance():
    groups = [
        event_files.EVALUATION,
        event_files.LOSSES,
        event_files.MONITORS,
        event_files.OTHER_SCORES,
        event_files.PERFORMANCE,
        event_files.SAMPLES,
        event_files.SINGLE_CLASSES,
    ]
    assert groups == sorted(groups) and len(set(groups)) == 7
    assert event_files.tagged(groups[1], {"total": 2.0}) == {"losses/total": 2.0}


def test_curves_are_read_by_step_and_each_step_once(tmp_path):
    draw(tmp_path, {20: 2.0, 30: 1.0}, 1000000000, "losses/total")
    draw(tmp_path, {0: 4.0, 20: 2.0}, 1000005000, "losses/total")
    points = event_files.read_curves(str(tmp_path), "losses")["total"]
    assert points == [(0, 4.0), (20, 2.0), (30, 1.0)]


def test_a_clock_that_was_set_back(tmp_path):
    draw(tmp_path, {0: 4.0, 10: 3.0}, 9999999990)
    draw(tmp_path, {20: 2.0, 30: 1.5}, 9999999999)
    event_files.forget_from(str(tmp_path), 21)
    draw(tmp_path, {30: 2.5, 40: 1.0}, int(time.time()) + 1)
    assert shown(tmp_path) == [(0, 4.0), (10, 3.0), (20, 2.0), (30, 2.5), (40, 1.0)]


def test_a_new_start_drops_all(tmp_path):
    draw(tmp_path, {0: 4.0, 10: 3.0}, 1000000000)
    event_files.forget_from(str(tmp_path), 0)
    assert shown(tmp_path) == []


def test_curves_are_read_back(tmp_path):
    draw(tmp_path, {0: 4.0, 10: 3.0}, 1000000000)
    writer = tf.summary.create_file_writer(str(tmp_path))
    with writer.as_default():
        for step in (0, 10, 20):
            tf.summary.scalar("losses/total", step / 4, step)
            tf.summary.image("losses/picture", tf.zeros([1, 2, 2, 3]), step)
    writer.close()
    assert event_files.read_curves(str(tmp_path), "losses") == {
        "total": [(0, 0.0), (10, 2.5), (20, 5.0)]
    }
    assert event_files.read_curves(str(tmp_path / "other"), "losses") == {}


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    event_files.forget_from(str(tmp_path / "train"), 0)
    assert not (tmp_path / "train").exists()
