"""A device that is out of memory, explained."""

import contextlib
from collections.abc import Iterator
from typing import Callable

import tensorflow as tf

from wss.errors import UserError


@contextlib.contextmanager
def explained_memory(advice: Callable[[], str]) -> Iterator[None]:
    """Turns the device's "out of memory" into a `UserError` with advice.

    Args:
      advice: returns sentences that say what reduces the need for memory.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if "No space left" in str(error):  # A full disk raises the same exception.
            raise
        raise UserError(f"The device is out of memory. {advice()}") from error
