"""Curves, also of a run that was started again; waiting; a disk that is full."""

import re
import time
import types

import pytest

from wss.training import summaries


def test_progress_line_tells_of_waiting():
    arguments = (5, 10, {"total": 1.0, "one": 1.0}, 0.1, 8.0, 2.0)
    assert "wait" not in summaries.progress_line(*arguments, 0.04)
    line = summaries.progress_line(*arguments, 0.37)
    assert line.endswith("8.0 images/s  0:00:02 left  37% input wait")


FEW = {"supervised": 0.8123, "weight_decay": 0.0431, "total": 0.8554}
MANY = {
    "consistency": 0.0,
    "supervised": 1.5961,
    "attention": 1.9148,
    "classifier": 0.7312,
    "weight_decay": 0.0589,
    "total": 4.3009,
}


@pytest.mark.parametrize(
    ("losses", "steps", "waiting", "line"),
    [
        (
            {"one": 0.8123, "two": 0.0431, "total": 0.8554},
            60,
            0.0,
            "step  6/60  loss 0.855 (one 0.812, two 0.043)  lr 7.10e-03"
            "  8.0 images/s  0:00:27 left",
        ),
        (
            FEW,
            30000,
            0.0,
            "step     6/30000  loss 0.855 (supervised 0.812 ...)  lr 7.10e-03"
            "  8.0 images/s  4:09:57 left",
        ),
        (
            MANY,
            30000,
            0.0,
            "step     6/30000  loss 4.301 (consistency 0.000, supervised 1.596 ...)"
            "  8.0 images/s  4:09:57 left",
        ),
        (
            MANY,
            30000,
            0.5,
            "step     6/30000  loss 4.301 (consistency 0.000 ...)"
            "  8.0 images/s  4:09:57 left  50% input wait",
        ),
        (
            {"a_very_long_name_of_a_loss_that_someone_chose": 2e30, "total": 2e30},
            30000,
            0.0,
            "step     6/30000  loss 2e+30  lr 7.10e-03  8.0 images/s  4:09:57 left",
        ),
    ],
)
def test_a_progress_line_fits_a_terminal(losses, steps, waiting, line):
    found = summaries.progress_line(6, steps, losses, 7.1e-3, 8.0, 2.0, waiting)
    assert found == line and len(line) <= 100


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
    (share,) = re.findall(r"(\d+)% input wait", capsys.readouterr().out)
    assert 25 < int(share) < 75
    time.sleep(0.1)
    progress.log(4, results, 1.0)  # Steps in one call: their waiting times are unknown.
    assert "wait" not in capsys.readouterr().out


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
