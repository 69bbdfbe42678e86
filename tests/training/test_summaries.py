"""Curves, also of a run that was started again; waiting; a disk that is full."""

import re
import time
import types

from wss.training import summaries


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
