"""Ctrl-C while a command starts."""

import signal
import subprocess
import sys

import pytest

COMMANDS = {
    "wss.train": ["--gin_file=shapes.gin"],
    "wss.data_service": ["--port=0"],
    "data_prep.verify": ["--data_dir=nowhere"],
}


@pytest.mark.parametrize("module", COMMANDS)
@pytest.mark.parametrize("behind", ["argparse", "absl.logging", "tensorflow.python."])
def test_no_traceback_while_modules_are_imported(module, behind, tmp_path):
    command = [sys.executable, "-X", "importtime", "-m", module, *COMMANDS[module]]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        cwd=tmp_path,
    )
    with process:
        for line in process.stderr:
            if line.split("|")[-1].strip().startswith(behind):
                break
        process.send_signal(signal.SIGINT)
        errors = process.stderr.read()
    assert process.returncode == 130
    assert errors.endswith("\nStopped.\n") and "Traceback" not in errors


def test_who_imports_the_package_has_signals_of_their_own():
    code = (
        "import wss, wss.cli, signal, os; "
        "assert signal.getsignal(signal.SIGINT) is signal.default_int_handler\n"
        "try: os.kill(os.getpid(), signal.SIGINT)\n"
        "except KeyboardInterrupt: print('theirs')"
    )
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, text=True) == "theirs\n"


def test_a_command_that_has_begun_gets_a_keyboard_interrupt(tmp_path):
    """The command may have to clean up."""
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("import wss")
    (tmp_path / "package" / "started.py").write_text(
        "import os, signal, sys\n"
        "from wss import cli\n"
        "def command():\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    finally: print('in order', flush=True)\n"
        "sys.exit(cli.run(command, resumable=True))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-m", "package.started"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ended.returncode == 130 and ended.stdout == "in order\n"
    assert ended.stderr == "\nStopped; the same command resumes from here.\n"
