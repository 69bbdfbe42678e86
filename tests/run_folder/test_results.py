"""What evaluations leave in a folder, by one process or several."""

import json
import subprocess
import sys

import pytest

from wss.run_folder import results

SCRIPT = """
import sys
from wss.run_folder import results
for step in range(int(sys.argv[2]), 40, 2):
    one = {"step": step, "split": "val", "protocol": "p", "mean_iou": step / 100}
    results.remember(sys.argv[1], one)
"""


def evaluated(step, split="val", mean_iou=0.5):
    return {"step": step, "split": split, "protocol": "p", "mean_iou": mean_iou}


def test_two_processes_lose_no_evaluation(tmp_path):
    commands = [[sys.executable, "-c", SCRIPT, str(tmp_path), str(i)] for i in (0, 1)]
    processes = [subprocess.Popen(command) for command in commands]
    assert [process.wait() for process in processes] == [0, 0]
    found = results.read_evaluations(str(tmp_path))
    assert [one["step"] for one in found] == list(range(40))


def test_a_repeated_evaluation_replaces_the_earlier(tmp_path):
    folder = str(tmp_path)
    for one in (evaluated(2), evaluated(1), evaluated(2, mean_iou=0.7)):
        results.remember(folder, one)
    results.remember(folder, evaluated(2, "train", 0.9))
    assert results.best(folder, "val", "p") == evaluated(2, mean_iou=0.7)
    results.forget(folder, lambda one: one["split"] == "val" and one["step"] > 1)
    assert results.read_evaluations(folder) == [
        evaluated(1),
        evaluated(2, "train", 0.9),
    ]


@pytest.mark.parametrize(
    "content", [b"", b'[{"step": 1', b"\xff\x00", b"{}", b"[1]", b'[{"step": 1}]']
)
def test_a_damaged_list_is_set_aside(tmp_path, capsys, content):
    path = tmp_path / "evaluations.json"
    path.write_bytes(content)
    assert results.read_evaluations(str(tmp_path)) == []
    assert results.best(str(tmp_path), "val", "p") is None
    results.remember(str(tmp_path), evaluated(3))
    assert results.read_evaluations(str(tmp_path)) == [evaluated(3)]
    (copy,) = tmp_path.glob("evaluations.json.damaged-*")
    assert copy.read_bytes() == content
    printed = capsys.readouterr().out
    assert f"warning: {path} is damaged" in printed and str(copy) in printed


def test_damaged_metrics_are_none(tmp_path, capsys):
    (tmp_path / "metrics.json").write_bytes(b"\x00" * 10)
    assert results.read_metrics(str(tmp_path)) is None
    assert "metrics.json is damaged" in capsys.readouterr().out
    results.write_metrics(str(tmp_path), {"mean_iou": 0.5})
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"mean_iou": 0.5}
