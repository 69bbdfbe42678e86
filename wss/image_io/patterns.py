"""Patterns of file names: `label_{id}` means label_1.png, whose id is 1."""

import os
import re
import unicodedata
from typing import Optional

from wss.errors import UserError

_ID = "{id}"


class Pattern:
    """A pattern of the paths of files below a folder, and the id of each file.

    >>> Pattern("{id}_json/label").id_of("sub/a_json/label.png")
    'sub/a'

    Attributes:
      text: pattern of the end of the paths, with or without the files' ending. `{id}`
        matches a part of one name; folders above those in the text belong to the id.

    Raises:
      UserError: the text does not have `{id}` exactly once.
    """

    def __init__(self, text: str = _ID):
        self.text = unicodedata.normalize("NFC", text.replace("\\", "/"))
        if self.text.count(_ID) != 1:
            raise UserError(
                f"The pattern '{text}' must have {_ID} in it once, as in 'label_{_ID}'."
            )
        before, after = map(re.escape, self.text.split(_ID))
        self._regex = re.compile(f"((?:.*/)?){before}([^/]+){after}", re.DOTALL)

    def id_of(self, path: str) -> Optional[str]:
        """The id of a file, by its path below the folder; None: it does not match."""
        path = unicodedata.normalize("NFC", path)
        match = self._regex.fullmatch(os.path.splitext(path)[0])
        match = match or self._regex.fullmatch(path)
        return match and match[1] + match[2]

    @property
    def is_special(self) -> bool:
        """Whether it is a pattern other than the default."""
        return self.text != _ID


# Every file; its path without the ending is the id.
ANY = Pattern()
