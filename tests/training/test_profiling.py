"""The window of steps that the profiler records."""

import pytest
import tensorflow as tf

from wss.errors import UserError
from wss.training.profiling import ProfileWindow, parse_window


def test_window():
    assert parse_window("100,105") == (100, 105)
    for text in ("100", "5,5", "0,3", "a,b", "7,3"):
        with pytest.raises(UserError, match=f"--profile_steps={text}: give two steps"):
            parse_window(text)


def test_starts_and_stops_at_its_steps(tmp_path, monkeypatch, capsys):
    calls = []
    profiler = tf.profiler.experimental
    monkeypatch.setattr(profiler, "start", lambda path: calls.append(path))
    monkeypatch.setattr(profiler, "stop", lambda: calls.append("stop"))
    window = ProfileWindow((3, 5), str(tmp_path))
    assert [window.steps_to_next(step) for step in range(6)] == [3, 2, 1, 2, 1, None]
    for step in range(1, 8):
        window.update(step)
        assert (
            calls
            == [[], [str(tmp_path)], [str(tmp_path), "stop"]][(step >= 3) + (step >= 5)]
        )
    assert "The profile is in" in capsys.readouterr().out


def test_no_window():
    window = ProfileWindow(None, "nowhere")
    assert window.steps_to_next(1) is None
    window.update(1)
    window.stop()


def test_a_profiler_that_does_not_start_is_told(monkeypatch, capsys):
    def fail(_):
        raise tf.errors.AlreadyExistsError(None, None, "another runs")

    monkeypatch.setattr(tf.profiler.experimental, "start", fail)
    window = ProfileWindow((1, 2), "nowhere")
    window.update(1)
    window.update(2)
    assert "the profiler cannot be started: another runs" in capsys.readouterr().out
