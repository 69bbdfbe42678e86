"""Conversions that are killed or interrupted: nothing is left over, nothing differs."""

import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.data_prep import readers, trees

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX signals")
KILLS = int(os.environ.get("WSS_TEST_KILLS", "3"))
LONGEST = 2.5  # seconds that a conversion takes once TensorFlow has loaded, about


def start(folder):
    """Starts a conversion; returns when it has begun to write."""
    command = [sys.executable, "-m", "tests.data_prep.readers", str(folder)]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    hidden = folder / ".train.partial"
    while not hidden.exists() and process.poll() is None:
        time.sleep(0.02)
    return process


def workers(folder):
    """The processes that have read something and still run."""
    pids = pathlib.Path(f"{folder}.pids")
    return [int(path.name) for path in pids.iterdir() if is_alive(int(path.name))]


def is_alive(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2]
        return state.split()[0] != "Z"  # Dead, but not waited for.
    except OSError:
        return False


def wait_until_gone(folder):
    for _ in range(100):
        if not workers(folder):
            return
        time.sleep(0.05)
    raise AssertionError(f"still run: {workers(folder)}")


def has_all_shards(folder):
    """Whether a run was killed while moving shards, or after that."""
    hidden = folder / ".train.partial"
    return not hidden.exists() or (hidden / "whole.json").exists()


def whole(folder, monkeypatch):
    """The folder of an uninterrupted run."""
    monkeypatch.setattr(readers.time, "sleep", lambda seconds: None)
    monkeypatch.setattr("sys.argv", ["readers", str(folder)])
    readers.main()
    monkeypatch.undo()
    return trees.contents(folder)


def test_killed_at_random_moments(tmp_path, monkeypatch):
    undisturbed = whole(tmp_path / "undisturbed" / "out", monkeypatch)
    rng = random.Random(time.time_ns())
    folder = tmp_path / "killed" / "out"
    kills = 0
    while kills < KILLS:
        process = start(folder)
        time.sleep(rng.uniform(0, LONGEST))
        process.kill()
        process.communicate()
        wait_until_gone(folder)
        if process.returncode == 0:  # It was faster: start again.
            assert trees.contents(folder) == undisturbed
            shutil.rmtree(folder)
            continue
        kills += 1
        assert not trees.shards(folder, "train") or has_all_shards(folder)
    assert whole(folder, monkeypatch) == undisturbed


def test_ctrl_c(tmp_path, monkeypatch):
    folder = tmp_path / "out"
    monkeypatch.setenv("READ_SECONDS", "0.1")  # 20 seconds if not stopped.
    process = start(folder)
    while not list(pathlib.Path(f"{folder}.pids").iterdir()):
        time.sleep(0.02)
    time.sleep(0.6)
    os.killpg(process.pid, signal.SIGINT)
    _, printed = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Stopped; the same command resumes from here." in printed
    assert "Traceback" not in printed
    assert not workers(folder)
    assert not list((folder / ".train.partial").glob("*.tmp"))
    assert len(whole(folder, monkeypatch)) == 9
