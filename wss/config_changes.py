"""What differs between two configurations of one training, as far as it matters."""

import inspect
import io
import os
import sys
import tokenize
from typing import Any, Collection, Dict, List, NamedTuple, Tuple

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
    "training_batches.max_broken_records",
    "training_batches.data_service",
}

# What to do with a config.gin that is damaged.
ADVICE = (
    "Put back a copy, or move it away and run the training's command once more: "
    "without it the settings are not compared, and it is written anew."
)


def check(model_dir: str) -> None:
    """Finds out what would have the last steps learn other than the first.

    Args:
      model_dir: folder of a run that is to go on as gin is configured now.

    Raises:
      UserError: it was begun with another configuration, or config.gin is damaged.
    """
    path = os.path.join(model_dir, config.CONFIG_FILE)
    if not tf.io.gfile.exists(path):
        print(
            f"warning: there is no {path}: whether the settings are still those of the "
            "checkpoints is not known. It is written anew; stop here and put back a "
            "copy if you have one.",
            file=sys.stderr,
            flush=True,
        )
        return
    old = stored_files.read_text(path, ADVICE)
    try:
        changes = find(old, config.text())
    except (SyntaxError, ValueError, tokenize.TokenError) as error:
        raise UserError(f"{path} is damaged: it is no gin file. {ADVICE}") from error
    if changes:
        raise UserError(
            f"{model_dir} holds a training with another configuration: "
            f"{'; '.join(changes)}. Go on with its settings (--gin_file={path}, no "
            "--gin_bindings), or train into another --model_dir."
        )


def find(
    old: str,
    new: str,
    free: Collection[str] = _WITHOUT_EFFECT,
    places: Tuple[str, str] = ("there", "here"),
) -> List[str]:
    """Finds what decides the numbers of a run and is not the same in both.

    Args:
      old: a configuration, see `config.text`.
      new: another one.
      free: settings, or functions with all of theirs, that may differ.
      places: what to call the two.

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
            name = other_name if name == key else name  # A macro is what users set.
            values = zip((value, other), places)
            phrases[name] = f"{name} is " + " and ".join(
                f"{v!r} {p}" for v, p in values
            )
    return list(phrases.values())


class _Reference(NamedTuple):
    """What follows % or @ in a configuration."""

    sign: str
    name: str
    call: str = ""

    def __repr__(self) -> str:
        return f"{self.sign}{self.name}{self.call}"


class _Names(config_parser.ParserDelegate):
    """Leaves references as they are written."""

    def configurable_reference(self, name: str, evaluate: bool) -> _Reference:
        return _Reference("@", name, "()" if evaluate else "")

    def macro(self, name: str) -> _Reference:
        return _Reference("%", name)


def _resolved(source: str) -> Dict[str, Tuple[str, Any]]:
    """Each parameter of a text without includes: the macro that sets it, its value."""
    statements = [
        s
        for s in config_parser.ConfigParser(io.StringIO(source), _Names())
        if isinstance(s, config_parser.BindingStatement)
    ]

    def key(statement) -> str:
        scope = f"{statement.scope}/" if statement.scope else ""
        return f"{scope}{statement.selector}"

    macros = {key(s): s.value for s in statements if not s.arg_name}

    def resolve(value: Any) -> Any:
        if isinstance(value, _Reference):
            return resolve(macros.get(value.name)) if value.sign == "%" else value
        if isinstance(value, (list, tuple)):
            return type(value)(map(resolve, value))
        if isinstance(value, dict):
            return {k: resolve(v) for k, v in value.items()}
        return value

    resolved = {}
    for statement in statements:
        if statement.arg_name:
            name, value = f"{key(statement)}.{statement.arg_name}", statement.value
            is_macro = isinstance(value, _Reference) and value.sign == "%"
            resolved[name] = (value.name if is_macro else name, resolve(value))
    return resolved


def _default(key: str) -> Any:
    """The value of a parameter that nothing sets; None where it is not known."""
    configurable, parameter = key.split("/")[-1].rsplit(".", 1)
    try:
        found = config.signature(configurable)[parameter].default
    except (ValueError, KeyError):
        return None
    return None if found is inspect.Parameter.empty else found
