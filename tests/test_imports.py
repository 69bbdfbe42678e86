"""The import rule of docs/architecture.md: one direction, no circle."""

import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("importlinter", reason="needs Python 3.11")

ROOT = pathlib.Path(__file__).parent.parent


def lint(config):
    """Exit status and report; a process of its own, for it rearranges output."""
    program = "from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-c", program, f"--config={config}", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_the_import_rule():
    status, report = lint(".importlinter")
    assert status == 0, report


def test_a_broken_rule_is_found(tmp_path):
    rule = (ROOT / ".importlinter").read_text().replace("\n    ops\n", "\n", 1)
    rule = rule.replace("    errors | version\n", "    errors | version\n    ops\n")
    (tmp_path / "rule").write_text(rule)
    status, report = lint(tmp_path / "rule")
    assert status == 1 and "wss.ops is not allowed to import wss.errors" in report
