"""SHA256SUMS: checksums of exported files, as `sha256sum` writes and checks them."""

import hashlib
import os
import re
from collections.abc import Sequence

from wss.errors import UserError

SUMS_FILE = "SHA256SUMS"
_BLOCK = 2**20


def of(folder: str, names: Sequence[str]) -> str:
    """A line with the checksum and the name of each file, names with slashes."""
    lines = [f"{_digest(os.path.join(folder, *n.split('/')))}  {n}\n" for n in names]
    return "".join(lines)


def check(path: str, sheets: Sequence[str]) -> None:
    """Compares a file with the checksums in files beside it.

    Args:
      path: of the file.
      sheets: names of files with lines as of `of`, among others. Those that are missing
        or do not name the file are skipped.

    Raises:
      UserError: the file has another checksum.
    """
    folder, name = os.path.split(path)
    pattern = re.compile(rf"^([0-9a-f]{{64}}) [ *]{re.escape(name)}$", re.M)
    for sheet in sheets:
        place = os.path.join(folder, sheet)
        if not os.path.isfile(place):
            continue
        with open(place, encoding="utf-8", errors="replace") as file:
            listed = pattern.findall(file.read())
        if listed and _digest(path) not in listed:
            raise UserError(
                f"{path} is damaged, or not the file that {place} describes: its "
                "SHA-256 is not the one listed there. Download or export both again."
            )


def _digest(path: str) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
