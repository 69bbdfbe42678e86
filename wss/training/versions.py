"""Which code runs, and by which command."""

import functools
import os
import platform
import shlex
import subprocess
import sys

import tensorflow as tf

from wss.version import __version__


@functools.lru_cache(maxsize=1)
def code_version() -> str:
    """The package's version, with the git commit if it runs from a clone.

    The commit is followed by "-dirty" if files differ from it.
    """
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    if not os.path.exists(os.path.join(root, ".git")):
        return __version__
    try:
        commit = subprocess.run(
            ["git", "-C", root, "describe", "--always", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return __version__
    return f"{__version__} ({commit})"


def versions() -> dict[str, str]:
    """Versions of the software that determines the numbers, by name."""
    return {
        "wss": code_version(),
        "tensorflow": tf.__version__,
        "python": platform.python_version(),
    }


def command() -> str:
    """The command line of this process, which can be pasted into a shell."""
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    start = ["python", "-m", spec.name] if spec else ["python", sys.argv[0]]
    return " ".join(map(_quote, [*start, *sys.argv[1:]]))


def _quote(word: str) -> str:
    """Quotes a word like the documentation, which keeps gin's own quotes readable."""
    if "'" in word and not set(word) & set('"$`\\!'):
        return f'"{word}"'
    return shlex.quote(word)
