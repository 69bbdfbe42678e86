"""The installed commands run the modules."""

import pathlib
import runpy
import subprocess
import sys

import pytest

from wss import commands

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture
def ran(monkeypatch):
    """What was run, with its arguments, instead of running it."""
    runs = []
    monkeypatch.setattr(
        commands, "_run", lambda name: runs.append((name, sys.argv[1:]))
    )
    return runs


def test_setup_names_every_command(monkeypatch):
    setuptools = pytest.importorskip("setuptools")
    given = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    scripts = dict(s.split(" = ") for s in given["entry_points"]["console_scripts"])
    expected = {"prepare", "train", "eval", "predict", "vis", "export"}
    assert set(scripts) == {f"wss-{name}" for name in expected}
    for target in scripts.values():
        module, function = target.split(":")
        assert module == "wss.commands" and callable(getattr(commands, function))
    assert "py.typed" in given["package_data"]["wss"]


@pytest.mark.parametrize(
    "command, module",
    [
        (commands.train, "wss.train"),
        (commands.evaluate, "wss.eval"),
        (commands.predict, "wss.predict"),
        (commands.visualize, "wss.vis"),
        (commands.export, "wss.export"),
    ],
)
def test_a_command_is_its_module(ran, monkeypatch, command, module):
    monkeypatch.setattr(sys, "argv", ["wss", "--help"])
    command()
    assert ran == [(module, ["--help"])]


def test_prepare_takes_the_name_of_a_converter(ran, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["wss-prepare", "folder", "--images=a"])
    commands.prepare()
    assert ran == [("data_prep.folder", ["--images=a"])]
    monkeypatch.setattr(sys, "argv", ["wss-prepare"])
    commands.prepare()
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("camvid", "coco", "folder", "shapes", "voc"))
    assert "pairing" not in listed and len(ran) == 1


def test_prepare_suggests_what_was_meant(ran, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["wss-prepare", "foldr"])
    with pytest.raises(SystemExit, match="Did you mean .?folder"):
        commands.prepare()
    assert not ran


def test_the_module_runs_as_the_main_program(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["wss-prepare", "shapes", "--help"])
    with pytest.raises(SystemExit) as ended:
        commands.prepare()
    assert ended.value.code == 0
    assert "python -m data_prep.shapes" in capsys.readouterr().out


def test_no_help_waits_for_tensorflow():
    parts = ("train", "eval", "predict", "vis", "export", "demo", "data_service")
    code = (
        "import contextlib, runpy, sys\n"
        "for name in sys.argv[1:]:\n"
        "    sys.argv = [name, '--help']\n"
        "    with contextlib.suppress(SystemExit):\n"
        "        runpy.run_module(name, run_name='__main__')\n"
        "    assert 'tensorflow' not in sys.modules, name\n"
    )
    names = [f"wss.{part}" for part in parts]
    names += [f"data_prep.{name}" for name in commands._converters()]
    shown = subprocess.run(
        [sys.executable, "-c", code, *names], capture_output=True, text=True
    )
    assert shown.returncode == 0, shown.stderr
    assert all(f"python -m {name}" in shown.stdout for name in names)
