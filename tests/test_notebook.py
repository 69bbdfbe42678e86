"""The notebook of the documentation runs, here without Jupyter and in two steps."""

import json
import pathlib
import subprocess
import sys
import types

NOTEBOOK = pathlib.Path(__file__).parents[1] / "docs" / "first_steps.ipynb"


def test_first_steps(tmp_path, monkeypatch, capsys):
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    shown = []
    display = types.SimpleNamespace(display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            run("".join(cell["source"]), names)
    assert len(shown) == 1
    assert shown[0].size == (2 * 6 * 65, 2 * 3 * 65)
    assert "mean IoU" in capsys.readouterr().out
    assert names["masks"].shape == (6, 65, 65)


def run(source, names):
    """Runs a cell; lines that begin with ! are the shell's."""
    source = source.replace("STEPS = 300", "STEPS = 2").replace("\\\n", "")
    lines = [
        f"shell(f{line[1:]!r})" if line.startswith("!") else line
        for line in source.splitlines()
    ]
    names["shell"] = shell
    exec("\n".join(lines), names)


def shell(command):
    command = command.replace("python", sys.executable, 1)
    if "data_prep.shapes" in command:
        command += " --num_images=64 --num_val=4"
    subprocess.run(command, shell=True, check=True)
