"""All modules can be imported, by docs/architecture.md's rule: one way, no circle."""

import importlib
import pathlib
import pkgutil
import subprocess
import sys

import pytest

import data_prep
import wss

ROOT = pathlib.Path(__file__).parent.parent


def lint(config):
    """Exit status and report; a process of its own, for it rearranges output."""
    pytest.importorskip("importlinter", reason="needs Python 3.11")
    program = "from importlinter.cli import lint_imports_command as lint; lint()"
    command = [sys.executable, "-c", program, f"--config={config}", "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_every_module_can_be_imported():
    for package in (wss, data_prep):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            importlib.import_module(module.name)


def test_the_import_rule():
    status, report = lint(".importlinter")
    assert status == 0, report


def test_a_broken_rule_is_found(tmp_path):
    rule = (ROOT / ".importlinter").read_text().replace("\n    ops\n", "\n", 1)
    rule = rule.replace("    errors | version\n", "    errors | version\n    ops\n")
    (tmp_path / "rule").write_text(rule)
    status, report = lint(tmp_path / "rule")
    assert status == 1 and "wss.ops is not allowed to import wss.errors" in report
