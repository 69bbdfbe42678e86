"""Curves, the pace, and what happens where they can not be written."""

import glob

import pytest
import tensorflow as tf

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
    assert printed.count("warning: TensorBoard events can not be written to") == 1
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
