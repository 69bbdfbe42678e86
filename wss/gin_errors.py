"""Explains gin's errors: its first line, a hint, the closest known name."""

import difflib
from collections.abc import Iterable
from typing import Callable

import gin

from wss.errors import first_line

# Names that config.gin files of older runs may have.
_RENAMED = {
    "Trainer": "run_training",
    "synchronized": "cross_replica_statistics",
}


def explain_syntax(error: SyntaxError) -> str:
    """gin's message, with a hint at the most common mistake."""
    hint = "Strings need quotes: NAME = 'value'."
    if "Failed to parse token" in error.msg:
        token = error.msg.split("'")[-2]
        return f"{token} is not a value. {hint}"
    if "Unable to parse value" in error.msg:
        return f"The value cannot be read. {hint}"
    return f"{first_line(error)} A line is one statement: NAME = value."


def explain(error: Exception, parameters: Callable[[str], Iterable[str]]) -> str:
    """gin's first line and the closest known name.

    Args:
      error: what gin raised for a statement.
      parameters: returns the names of a configurable's parameters.
    """
    message = first_line(error)
    quoted = message.split("'")[1::2]
    if message.startswith("No configurable matching"):
        known = [
            selector.split(".")[-1] for selector, _ in gin.config._REGISTRY.items()
        ]
        name = quoted[0].strip("@()").split("/")[-1]
        return message + closest(name, known)
    # The apostrophe of "doesn't" splits too.
    configurable, name = (
        (message.split("'")[i] for i in (1, -2)) if quoted else 2 * [""]
    )
    if "doesn't have a parameter named" in message:
        known = [each for each in parameters(configurable) if each != "self"]
        return message + closest(name, known)
    if "denylist" in message or "allowlist" in message:
        return f"{configurable}.{name} cannot be set; leave it out."
    return message


def closest(
    name: str, known: Iterable[str], key: Callable[[str], str] = str.lower
) -> str:
    """What `name` is called now, or the closest known name as a question, or ""."""
    if name in _RENAMED:
        return f" It is called {_RENAMED[name]} now."
    # Macros are in capitals; a name in the wrong case is still the name.
    by_key = {key(candidate): candidate for candidate in known}
    matches = difflib.get_close_matches(key(name), by_key, n=1)
    return f" Did you mean {by_key[matches[0]]}?" if matches else ""
