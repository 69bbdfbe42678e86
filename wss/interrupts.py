"""Ctrl-C before a command has started ends it without a traceback."""

import os
import signal
import sys
from types import FrameType
from typing import Optional

_begun = False


def expect_command() -> None:
    """Makes Ctrl-C end the process quietly, before the command and during imports.

    Only if `python -m` is about to run a command: programs that import the package
    handle signals themselves.
    """
    is_command = sys.argv[:1] == ["-m"]  # As long as Python looks for the module.
    if is_command and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)


def begin(begun: bool = True) -> None:
    """Makes Ctrl-C a KeyboardInterrupt from here on; with False no longer."""
    global _begun
    _begun = begun


def _interrupt(number: int, frame: Optional[FrameType]) -> None:
    # An interrupted import of TensorFlow fails in many different ways.
    if not _begun or _imports(frame):
        os.write(2, b"\nStopped.\n")
        os._exit(128 + number)
    raise KeyboardInterrupt


def _imports(frame: Optional[FrameType]) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back
    return False
