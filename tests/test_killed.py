"""Trainings that end in the middle, by SIGKILL and by signals that can be caught."""

import fcntl
import os
import re
import signal
import subprocess
import sys
import termios

import pytest

from tests import killed
from tests.training import toy
from wss.run_folder import checkpoints

TOY = """
import sys
from tests.training import toy
from wss import cli
steps = int(sys.argv[2])
train = lambda: toy.train(
    sys.argv[1], total_steps=steps, schedule_steps=steps, **toy.SLOWLY
)
sys.exit(cli.run(train, resumable=True))
"""


def command(folder, steps):
    return [sys.executable, "-c", TOY, str(folder), str(steps)]


def test_a_killed_run_gives_the_numbers_of_an_undisturbed_one(tmp_path):
    alone, stopped = str(tmp_path / "alone"), str(tmp_path / "killed")
    toy.train(alone, total_steps=400, schedule_steps=400, **toy.SLOWLY)
    kills = killed.run_killed(
        command(stopped, 400), stopped, times=4, seconds=1.0, seed=1
    )
    assert kills.times == 4
    assert killed.differences(alone, stopped) == []


def wait_for_a_step(process):
    assert any(line.startswith("step") for line in process.stdout)


def take_hang_ups():
    """For a child: the tests themselves may run under nohup, which ignores them."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.parametrize(
    "number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)]
)
def test_a_signal_ends_a_run_behind_a_step_that_is_saved(tmp_path, number, status):
    process = subprocess.Popen(
        command(tmp_path, 1 << 20),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=take_hang_ups,
    )
    wait_for_a_step(process)
    process.send_signal(number)
    try:
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status, errors
    name = signal.Signals(number).name
    assert f"Stopped by {name}. The state is saved; the same command" in errors
    assert "Traceback" not in errors
    assert re.search(r"ckpt-\d+$", checkpoints.find_latest(str(tmp_path)))


def test_a_closed_terminal_costs_no_step(tmp_path):
    terminal, side = os.openpty()
    process = subprocess.Popen(
        command(tmp_path, 1 << 20),
        stdout=side,
        stderr=side,
        preexec_fn=lambda: (
            take_hang_ups(),
            os.setsid(),
            fcntl.ioctl(1, termios.TIOCSCTTY, 0),
        ),
    )
    os.close(side)
    while b"step " not in os.read(terminal, 1 << 16):
        pass
    os.close(terminal)
    assert process.wait(60) == 129
    assert re.search(r"ckpt-\d+$", checkpoints.find_latest(str(tmp_path)))


def test_nohup_lets_a_run_go_on(tmp_path):
    process = subprocess.Popen(
        ["nohup", *command(tmp_path, 20)], stdout=subprocess.PIPE, text=True
    )
    wait_for_a_step(process)
    process.send_signal(signal.SIGHUP)
    process.stdout.read()
    assert process.wait(60) == 0
    assert checkpoints.find_latest(str(tmp_path)) == f"{tmp_path}/ckpt-20"
