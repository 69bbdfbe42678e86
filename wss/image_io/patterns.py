"""Patterns of file names: `label_{id}` matches label_1.png, whose id is 1."""

import os
import re
import unicodedata
from typing import Optional

from wss.errors import UserError

_ID = "{id}"


class Pattern:
    """A pattern of file paths in a folder, which gives each file an id.

    >>> Pattern("{id}_json/label").id_of("sub/a_json/label.png")
    'sub/a'

    Attributes:
      text: pattern of the end of the paths, with or without the extension. `{id}`
        matches part of a name; folders above those in the text belong to the id.

    Raises:
      UserError: the text does not contain `{id}` exactly once.
    """

    def __init__(self, text: str = _ID):
        self.text = unicodedata.normalize("NFC", text.replace("\\", "/"))
        if self.text.count(_ID) != 1:
            raise UserError(
                f"The pattern '{text}' must contain {_ID} once, as in 'label_{_ID}'."
            )
        before, after = map(re.escape, self.text.split(_ID))
        self._regex = re.compile(f"((?:.*/)?){before}([^/]+){after}", re.DOTALL)

    def id_of(self, path: str) -> Optional[str]:
        """The id of a file, from its path in the folder; None if it does not match."""
        path = unicodedata.normalize("NFC", path)
        match = self._regex.fullmatch(os.path.splitext(path)[0])
        match = match or self._regex.fullmatch(path)
        return match and match[1] + match[2]

    @property
    def is_special(self) -> bool:
        """Whether it is not the default pattern."""
        return self.text != _ID


# Every file; its path without the extension is the id.
ANY = Pattern()
