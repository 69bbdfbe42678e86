"""Runs docs/first_steps.ipynb and stores its outputs, in it and as pictures.

    pip install nbclient ipykernel
    python -m docs.make_first_steps

takes about ten minutes on two CPU cores. It writes the notebook, and the pictures that
it shows: docs/pictures/first_steps_*.png.
"""

import argparse
import base64
import pathlib
import re
import tempfile
from typing import Any, Optional

DOCS = pathlib.Path(__file__).resolve().parent
NOTEBOOK = DOCS / "first_steps.ipynb"
# Of the cells that show a picture, in their order.
PICTURES = ("first_steps_contact_sheet.png", "first_steps_predicted.png")
_COLORS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def tidy(text: str) -> str:
    """What a terminal shows in the end: progress bars are replaced by their last state.

    >>> tidy("a\\r\\n 10%|#  |\\rtwo\\r\\n")
    'a\\ntwo\\n'
    """
    lines = _COLORS.sub("", text).replace("\r\n", "\n").split("\n")
    # A bar that is erased at its end leaves blanks.
    last = [line.rstrip("\r").split("\r")[-1].rstrip() for line in lines]
    shown = [line for line, raw in zip(last, lines) if line or "\r" not in raw]
    return "\n".join(shown)


def clean(notebook: Any) -> None:
    """Joins the printed lines of each cell, tidies them, and drops what varies."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # Times of the machine.
        if cell.cell_type != "code":
            continue
        printed = [one for one in cell.outputs if one.output_type == "stream"]
        others = [one for one in cell.outputs if one.output_type == "display_data"]
        if printed:
            printed[0].name = "stdout"
            printed[0].text = tidy("".join(one.text for one in printed))
        for one in others:
            one.data = {"image/png": one.data["image/png"]}
        cell.outputs = [*printed[:1], *others]


def pictures(notebook: Any) -> list[bytes]:
    """The PNG files that the notebook shows."""
    shown = [one for cell in notebook.cells for one in cell.get("outputs", [])]
    return [
        base64.b64decode(one.data["image/png"])
        for one in shown
        if one.output_type == "display_data"
    ]


def main(arguments: Optional[list[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--executed", metavar="FILE", help="a copy that was run elsewhere, to store"
    )
    flags = parser.parse_args(arguments)
    import nbformat

    notebook = nbformat.read(flags.executed or NOTEBOOK, as_version=4)
    if not flags.executed:
        import nbclient

        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "gin_configs").symlink_to(
                DOCS.parent / "gin_configs"
            )
            resources = {"metadata": {"path": folder}}
            nbclient.NotebookClient(notebook, None, resources=resources).execute()
    clean(notebook)
    nbformat.write(notebook, NOTEBOOK)
    for name, content in zip(PICTURES, pictures(notebook)):
        (DOCS / "pictures" / name).write_bytes(content)


if __name__ == "__main__":
    main()
