"""What the commands share: Ctrl-C is one line, whenever it comes."""

import os
import signal
import subprocess
import sys

import pytest

import wss
from wss import command_line

INTERRUPTED = """
import os, signal, sys
sys.argv = {argv!r}
import {package}
os.kill(os.getpid(), signal.SIGINT)
"""


def interrupted(*argv, package="wss"):
    script = INTERRUPTED.format(argv=list(argv), package=package)
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True
    )


@pytest.mark.parametrize("package", ["wss", "data_prep"])
def test_while_a_command_is_imported(package):
    ended = interrupted("-m", package=package)  # As Python has it for `-m`.
    assert (ended.returncode, ended.stderr) == (130, "\nStopped.\n")


def test_programs_that_import_the_package_keep_their_own_way():
    ended = interrupted("program.py")
    assert ended.stderr.endswith("KeyboardInterrupt\n")


def test_once_a_command_runs(capsys):
    before = signal.signal(signal.SIGINT, wss._stop_at_once)
    try:
        status = command_line.run(lambda: os.kill(os.getpid(), signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert status == 130 and capsys.readouterr().err == "\nStopped.\n"
