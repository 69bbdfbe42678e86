"""Reads small text files that wss wrote; the error for a damaged one names it."""

import json
from typing import Any, Callable

from wss.errors import UserError
from wss.files import atomic


def read_text(path: str, advice: str) -> str:
    """Reads a text file.

    Args:
      path: of an existing file.
      advice: sentence on what to do if it is damaged.

    Raises:
      UserError: it is empty, not text or not a regular file.
    """
    # Processes that only read images import this module too, without TensorFlow.
    import tensorflow as tf

    atomic.refuse_special(path)
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    if not content.strip():
        raise UserError(f"{path} is empty. {advice}")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is damaged: it is not text. {advice}") from error
    if "\0" in text:  # A power cut can leave a file full of zeros.
        raise UserError(f"{path} is damaged: it is not text. {advice}")
    return text


def read_json(path: str, make: Callable[[Any], Any], advice: str) -> Any:
    """Reads a JSON file.

    Args:
      path, advice: see `read_text`.
      make: turns the parsed JSON into the result; a KeyError, TypeError, ValueError or
        AttributeError means that the file has other content.

    Raises:
      UserError: it is empty, not JSON, or has other content.
    """
    text = read_text(path, advice)
    try:
        return make(json.loads(text))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{path} is damaged, or another program's: it is not what wss writes "
            f"there. {advice}"
        ) from error
