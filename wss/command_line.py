"""What the command lines share: quiet logs, and mistakes told in one line."""

import logging
import os
import sys
from typing import Callable


def run(command: Callable[[], None]) -> int:
    """Runs a command and returns its exit status.

    0 when all went well, 2 with one line `error: ...` for a mistake of the user's, 130
    after Ctrl-C. Anything else is a fault of ours and keeps its stack trace.
    """
    # Imported late, so that --help answers at once.
    from wss.errors import UserError

    # What of TensorFlow's C++ matters comes as a Python exception as well.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on from here.", file=sys.stderr)
        return 130
    return 0
