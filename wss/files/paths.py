"""Paths to which TensorFlow can write a checkpoint, but not read it."""

import os

from wss.errors import UserError

# With these characters TensorFlow takes the path of a checkpoint for a pattern.
_SIGNS = [sign for sign in "*?[\\" if sign != os.sep]


def check(name: str, path: str) -> None:
    """Refuses a path that TensorFlow would take for a pattern when it reads it.

    Args:
      name: of the flag or setting, for the message.
      path: of a checkpoint, or of a folder with checkpoints.

    Raises:
      UserError: the path has such a character.

    >>> check("--model_dir", "runs/lr=0.1, second")
    """
    found = [sign for sign in _SIGNS if sign in path]
    if found:
        raise UserError(
            f"{name} {path!r}: TensorFlow takes the {found[0]} for part of a pattern "
            "and cannot read a checkpoint there. Choose a path without any of "
            f"{' '.join(_SIGNS)}, or rename the existing one."
        )
