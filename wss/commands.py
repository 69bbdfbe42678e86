"""The installed commands: `wss-train` is `python -m wss.train`, and so on.

`wss-prepare folder` is `python -m data_prep.folder`; without a name it lists them.
"""

import importlib.util
import pathlib
import runpy
import sys

from wss.gin_errors import closest


def train() -> None:
    """`python -m wss.train`."""
    _run("wss.train")


def evaluate() -> None:
    """`python -m wss.eval`."""
    _run("wss.eval")


def predict() -> None:
    """`python -m wss.predict`."""
    _run("wss.predict")


def visualize() -> None:
    """`python -m wss.vis`."""
    _run("wss.vis")


def export() -> None:
    """`python -m wss.export`."""
    _run("wss.export")


def prepare() -> None:
    """`python -m data_prep.<name>`, with the name as the first argument."""
    known = _converters()
    if len(sys.argv) > 1 and sys.argv[1] in known:
        _run(f"data_prep.{sys.argv.pop(1)}")
        return
    listed = f"Usage: wss-prepare NAME ...\nNAME is one of: {', '.join(known)}."
    if sys.argv[1:] in ([], ["-h"], ["--help"]):
        print(f"{listed}\n`wss-prepare NAME --help` explains one.")
        return
    wrong = sys.argv[1]
    sys.exit(
        f"error: there is no {wrong!r} to prepare.{closest(wrong, known)}\n{listed}"
    )


def _converters() -> list[str]:
    """The modules of `data_prep` that are commands."""
    package = importlib.util.find_spec("data_prep")
    return sorted(
        path.stem
        for folder in package.submodule_search_locations
        for path in pathlib.Path(folder).glob("*.py")
        if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
    )


def _run(module: str) -> None:
    runpy.run_module(module, run_name="__main__", alter_sys=True)
