"""The error that a user can mend."""

import re


class UserError(ValueError):
    """A mistake in what the user gave: the configuration, a path, the data.

    The message names the thing, the place and the next step. The command lines print
    it as one line and exit with status 2; a stack trace would only hide it.
    """


class NotFiniteError(UserError):
    """A loss, the gradient or a variable is NaN or infinite.

    Attributes:
      step: number of the step, 0 for the first, whose batch led to it.
    """

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class Stopped(BaseException):
    """A signal ended a run, and nothing is lost.

    No `Exception`, like KeyboardInterrupt: nobody is to mistake it for a failure.

    Attributes:
      signal: its number.
    """

    def __init__(self, signal: int):
        super().__init__(f"Stopped by signal {signal}.")
        self.signal = signal


def first_line(error: Exception) -> str:
    """What an error of TensorFlow or Python says, without names of operations."""
    # A SyntaxError's text repeats the place.
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    line = (text.strip() or type(error).__name__).splitlines()[0].strip()
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\]( name:.*)?", "", line)


def reason(error: Exception) -> str:
    """Why a file could not be read or written: the system's words, if it said any."""
    return getattr(error, "strerror", None) or first_line(error)
