"""The notebook of the documentation runs, here without Jupyter and in two steps.

Its commands run in this process, and operation by operation: without the imports and
the tracing.
"""

import json
import pathlib
import sys
import types

import pytest

from docs import make_first_steps
from tests import test_your_own_dataset as commands

NOTEBOOK = make_first_steps.NOTEBOOK


def code_cells():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.usefixtures("eagerly")
def test_first_steps(tmp_path, monkeypatch):
    shown = []
    display = types.SimpleNamespace(display=shown.append)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    monkeypatch.chdir(tmp_path)
    names = {"shell": lambda command: shell(monkeypatch, command)}
    for cell in code_cells():
        run("".join(cell["source"]), names)
    contact_sheet, predicted = shown
    assert contact_sheet.width > 500
    assert predicted.size == (6 * 129, 2 * 129)
    results = tmp_path / "first_steps" / "predicted" / "masks"
    assert len(list(results.iterdir())) == 6


def run(source, names):
    """Runs a cell; lines that begin with ! are the shell's."""
    source = source.replace("STEPS = 300", "STEPS = 2").replace("\\\n", "")
    lines = [
        f"shell(f{line[1:]!r})" if line.startswith("!") else line
        for line in source.splitlines()
    ]
    exec("\n".join(lines), names)


# A network that is built in less time.
SMALL = (
    "MODEL_VARIANT = 'resnet_v1_18_quarter_beta'",
    "INIT_CHECKPOINT = None",
    "FROZEN_BATCH_NORM = 'none'",
    "BATCH_SIZE = 2",
    "CROP_SIZE = 33",
)


def shell(monkeypatch, command):
    if "wss.train" in command:
        command += "".join(f' --gin_bindings="{binding}"' for binding in SMALL)
    commands.run(monkeypatch, command)


def test_outputs_are_stored():
    shown = [cell for cell in code_cells() if cell["outputs"]]
    printed = "".join(
        "".join(output.get("text", "")) for cell in shown for output in cell["outputs"]
    )
    for text in ("No problem was found.", "mIoU", "first_steps/predicted"):
        assert text in printed
    assert "\r" not in printed and "\x1b" not in printed and " /" not in printed


def test_the_pictures_of_the_pages_are_the_notebooks():
    stored = make_first_steps.pictures(code_cells())
    assert len(stored) == len(make_first_steps.PICTURES)
    for name, content in zip(make_first_steps.PICTURES, stored):
        path = pathlib.Path(make_first_steps.DOCS, "pictures", name)
        assert path.read_bytes() == content
        assert len(content) < 200_000


def test_a_progress_bar_leaves_its_last_state():
    text = "a\r\n 10%|#   |\r100%|####|\r       \rdone\r\n\r 5%|\r     \r\nb\n"
    assert make_first_steps.tidy(text) == "a\ndone\nb\n"
