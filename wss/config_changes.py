"""Finds the changed settings with which a run must not resume."""

import inspect
import io
import os
import sys
import tokenize
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import tensorflow as tf
from gin import config_parser

from wss import config
from wss.errors import UserError
from wss.files import stored_files

# Settings that may change on resume: no step depends on them.
_WITHOUT_EFFECT = {
    "run_training",
    "Evaluator",
    "Predictor",
    "Experiment.data_dir",
    "Experiment.machine",
    "training_batches.max_broken_records",
    "training_batches.data_service",
}

# What a damaged config.gin raises, and what to do about it.
DAMAGED = (SyntaxError, ValueError, tokenize.TokenError)
ADVICE = (
    "Put back a copy, or move it away and run the same command again: then a new one "
    "is written, and the settings are not compared."
)


def check(model_dir: str) -> None:
    """Refuses to resume a run with settings that would change its steps.

    Args:
      model_dir: folder of the run, to be resumed with the current configuration.

    Raises:
      UserError: the run started with another configuration, or its config.gin is
        damaged.
    """
    path = os.path.join(model_dir, config.CONFIG_FILE)
    if not tf.io.gfile.exists(path):
        print(
            f"warning: there is no {path}, so the settings cannot be compared with "
            "those of the checkpoints. A new one is written; if you have a copy, stop "
            "and put it back.",
            file=sys.stderr,
            flush=True,
        )
        return
    old = stored_files.read_text(path, ADVICE)
    try:
        changes = find(old, config.text())
    except DAMAGED as error:
        raise UserError(f"{path} is damaged: it is not a gin file. {ADVICE}") from error
    if changes:
        raise UserError(
            f"{model_dir} holds a run with another configuration: "
            f"{'; '.join(changes)}. Resume it with its settings (--gin_file={path}, "
            "no --gin_bindings), or choose another --model_dir."
        )


def find(
    old: str,
    new: str,
    free: Collection[str] = _WITHOUT_EFFECT,
    places: tuple[str, str] = ("there", "here"),
) -> list[str]:
    """Finds the differences that affect the numbers of a run.

    Args:
      old: a configuration, see `config.text`.
      new: another one.
      free: settings that may differ; a function stands for all its settings.
      places: names of the two, for the phrases.

    Returns:
      For each setting a phrase such as "SEED is 0 there and 1 here".
    """
    there, here = _resolved(old), _resolved(new)
    phrases = {}
    for key in sorted({*there, *here}):
        if key in free or key.split(".")[0] in free:
            continue
        name, value = there.get(key) or (key, _default(key))
        other_name, other = here.get(key) or (name, _default(key))
        if value != other:
            name = other_name if name == key else name  # Users set macros.
            values = zip((value, other), places)
            phrases[name] = f"{name} is " + " and ".join(
                f"{v!r} {p}" for v, p in values
            )
    return list(phrases.values())


def macros(source: str) -> dict[str, Any]:
    """The values of all macros in a configuration, see `config.text`, by name.

    Raises:
      DAMAGED: the text is not a gin file.
    """
    found = {_key(s): s.value for s in _statements(source) if not s.arg_name}
    return {name: _resolve(value, found) for name, value in found.items()}


class _Reference(NamedTuple):
    """What follows % or @ in a configuration."""

    sign: str
    name: str
    call: str = ""

    def __repr__(self) -> str:
        return f"{self.sign}{self.name}{self.call}"


class _Names(config_parser.ParserDelegate):
    """Keeps references as they are written."""

    def configurable_reference(self, name: str, evaluate: bool) -> _Reference:
        return _Reference("@", name, "()" if evaluate else "")

    def macro(self, name: str) -> _Reference:
        return _Reference("%", name)


def _statements(source: str) -> list[config_parser.BindingStatement]:
    """The bindings of a configuration without includes."""
    statements = config_parser.ConfigParser(io.StringIO(source), _Names())
    return [s for s in statements if isinstance(s, config_parser.BindingStatement)]


def _key(statement: config_parser.BindingStatement) -> str:
    scope = f"{statement.scope}/" if statement.scope else ""
    return f"{scope}{statement.selector}"


def _resolve(value: Any, macros: Mapping[str, Any]) -> Any:
    """The value, with those of macros in place of their names."""
    if isinstance(value, _Reference):
        is_macro = value.sign == "%"
        return _resolve(macros.get(value.name), macros) if is_macro else value
    if isinstance(value, (list, tuple)):
        return type(value)(_resolve(entry, macros) for entry in value)
    if isinstance(value, dict):
        return {k: _resolve(v, macros) for k, v in value.items()}
    return value


def _resolved(source: str) -> dict[str, tuple[str, Any]]:
    """By parameter: the macro that sets it, and its value. The text has no includes."""
    known, resolved = macros(source), {}
    for statement in _statements(source):
        if statement.arg_name:
            name, value = f"{_key(statement)}.{statement.arg_name}", statement.value
            is_macro = isinstance(value, _Reference) and value.sign == "%"
            resolved[name] = (value.name if is_macro else name, _resolve(value, known))
    return resolved


def _default(key: str) -> Any:
    """The default of a parameter; None if it is unknown."""
    configurable, parameter = key.split("/")[-1].rsplit(".", 1)
    try:
        found = config.signature(configurable)[parameter].default
    except (ValueError, KeyError):
        return None
    return None if found is inspect.Parameter.empty else found
