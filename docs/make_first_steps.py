"""Runs docs/first_steps.ipynb and stores its outputs, in it and as pictures.

    pip install nbclient ipykernel
    python -m docs.make_first_steps

takes about ten minutes on two CPU cores. It writes the notebook, and the pictures that
it shows: docs/pictures/first_steps_*.jpg.
"""

import argparse
import base64
import io
import pathlib
import re
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from PIL import Image

DOCS = pathlib.Path(__file__).resolve().parent
NOTEBOOK = DOCS / "first_steps.ipynb"
# Of the cells that show a picture, in their order.
PICTURES = ("first_steps_contact_sheet.jpg", "first_steps_predicted.jpg")
_WIDTH, _QUALITY = 1000, 80
_PACKAGES = re.compile(r"/[^\s']*/site-packages/")
_COMMIT = re.compile(r"(?<=\bwss )([\d.]+) \([^)]*\)")
_COLORS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def tidy(text: str) -> str:
    r"""What a terminal shows in the end: of progress bars, the last state.

    Folders of the machine and the commit of the code are left out.

    >>> tidy("a\r\n 10%|#  |\rtwo\r\n")
    'a\ntwo\n'
    >>> tidy("/home/ada/.venv/lib/site-packages/a.pth, wss 0.1 (1b53c7b)")
    '.../site-packages/a.pth, wss 0.1'
    """
    lines = _COLORS.sub("", text).replace("\r\n", "\n").split("\n")
    # A bar that is erased at its end leaves blanks.
    last = [line.rstrip("\r").split("\r")[-1].rstrip() for line in lines]
    shown = [line for line, raw in zip(last, lines) if line or "\r" not in raw]
    return _COMMIT.sub(r"\1", _PACKAGES.sub(".../site-packages/", "\n".join(shown)))


def clean(notebook: Any) -> None:
    """Joins the printed lines of each cell, tidies them, and makes pictures small."""
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # Times of the machine.
        if cell.cell_type != "code":
            continue
        printed = [one for one in cell.outputs if one.output_type == "stream"]
        shown = [one for one in cell.outputs if one.output_type == "display_data"]
        if printed:
            printed[0].name = "stdout"
            printed[0].text = tidy("".join(one.text for one in printed))
        for one in shown:
            content = smaller(base64.b64decode(one.data["image/png"]))
            one.data = {"image/jpeg": base64.b64encode(content).decode()}
        cell.outputs = [*printed[:1], *shown]


def smaller(content: bytes) -> bytes:
    """A picture as a JPEG of limited width."""
    picture = Image.open(io.BytesIO(content)).convert("RGB")
    picture.thumbnail((_WIDTH, picture.height))
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=_QUALITY, optimize=True)
    return file.getvalue()


def pictures(cells: Sequence[Mapping[str, Any]]) -> list[bytes]:
    """The JPEG files that the cells of a cleaned notebook show."""
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return [
        base64.b64decode("".join(output["data"]["image/jpeg"]))
        for output in outputs
        if output["output_type"] == "display_data"
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
    for name, content in zip(PICTURES, pictures(notebook.cells)):
        (DOCS / "pictures" / name).write_bytes(content)


if __name__ == "__main__":
    main()
