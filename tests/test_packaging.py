"""The wheel has every file of the packages, also as the Dockerfile makes it.

No image is built here: docs/releasing.md says how, without a daemon.
"""

import importlib.util
import json
import pathlib
import re
import runpy
import shutil
import subprocess
import sys
import zipfile

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PACKAGES = ("wss", "data_prep", "gin_configs")


def dockerfile():
    """The instructions of the Dockerfile: name and arguments, lines joined."""
    text = (ROOT / "Dockerfile").read_text()
    text = re.sub(r"^#.*\n", "", text, flags=re.M).replace("\\\n", " ")
    return [line.split(None, 1) for line in text.splitlines() if line.strip()]


def test_the_wheel_of_what_the_dockerfile_copies_is_complete(tmp_path):
    pytest.importorskip("wheel")
    for name, arguments in dockerfile():
        if name != "COPY":
            continue
        *sources, target = arguments.split()
        place = tmp_path / target.lstrip("/")
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place)
            else:
                place.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / source, place)
    built = ["setup.py", "-q", "bdist_wheel", f"--dist-dir={tmp_path}/dist"]
    subprocess.run(
        [sys.executable, *built],
        cwd=tmp_path / "opt" / "wss",
        check=True,
        capture_output=True,
    )
    (wheel,) = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(wheel) as file:
        names = {*file.namelist()}
    expected = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert len(expected) > 300
    assert not expected - names
    assert any(name.endswith("/NOTICE") for name in names)


def test_the_dockerfile_names_what_exists(monkeypatch):
    given = {}
    monkeypatch.setattr("setuptools.setup", given.update)
    runpy.run_path(str(ROOT / "setup.py"))
    steps = dockerfile()
    run = next(arguments for name, arguments in steps if name == "RUN")
    (extras,) = re.findall(r"'/opt/wss\[([\w,]+)\]'", run)
    assert {*extras.split(",")} <= {*given["extras_require"]}
    command = json.loads(next(arguments for name, arguments in steps if name == "CMD"))
    assert command[:2] == ["python", "-m"] and importlib.util.find_spec(command[2])
