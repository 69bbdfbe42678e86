"""The errors that a user can correct, and the text of other errors."""

import re


class UserError(ValueError):
    """A mistake of the user: in the configuration, a path or the data.

    The message names the thing, the place and the next step. The commands print it in
    one line, without a stack trace, and exit with status 2.
    """


class NotFiniteError(UserError):
    """A loss, the gradient or a variable is NaN or infinite.

    Attributes:
      step: number of the step whose batch led to it, 0 for the first.
    """

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class Stopped(BaseException):
    """A signal ended a run, whose state is saved.

    Like KeyboardInterrupt it is not an `Exception`, so that no handler mistakes it for
    a failure.

    Attributes:
      signal: number of the signal.
    """

    def __init__(self, signal: int):
        super().__init__(f"Stopped by signal {signal}.")
        self.signal = signal


def first_line(error: Exception) -> str:
    """The first line of an error's message, without TensorFlow's operation names."""
    # The text of a SyntaxError includes the place.
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    line = (text.strip() or type(error).__name__).splitlines()[0].strip()
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:\w+\]( name:.*)?", "", line)


def reason(error: Exception) -> str:
    """Why a file could not be read or written: the system's message, if it has one."""
    return getattr(error, "strerror", None) or first_line(error)
