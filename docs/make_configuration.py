"""Writes docs/configuration.md: everything that a gin file can set.

    python -m docs.make_configuration

The page is generated from the code: the configurables, their defaults, and their
docstrings. A test fails if the page is older than the code.
"""

import importlib
import inspect
import os
import pathlib
import pkgutil
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from wss import cli, settings

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "configuration.md"

# The modules under each heading.
ROOMS = {
    "The experiment": ("wss.experiment",),
    "Methods": ("wss.methods", "wss.methods.components.memory_bank"),
    "Pseudo labels": ("wss.methods.components",),
    "Losses": ("wss.ops.losses",),
    "Networks": ("wss.models",),
    "Strong augmentations": ("wss.data.augmentations",),
    "Images": ("wss.data",),
    "Training": ("wss.training",),
    "Evaluation": ("wss.evaluation.evaluator", "wss.evaluation.predictor"),
}

_INTRODUCTION = """\
# Configuration

<!-- Made by `python -m docs.make_configuration`; change the docstrings instead. -->

Everything that a gin file or `--gin_bindings` can set: first the [macros](#macros),
which experiments usually change, then every function and class that gin can configure,
with its arguments:

```
python -m wss.train --gin_file=gin_configs/shapes.gin \\
    --gin_bindings="BATCH_SIZE = 4" --gin_bindings="learning_rate.base = 0.01"
```

A run writes all settings that it used, including defaults, to `operative_config.gin`.
To write your own gin file, see [Experiments](experiments.md#a-file-of-your-own).
"""

_MACROS = """\
## Macros

A macro is a name in capitals that stands for one argument. A dash means that the
experiment's own file sets it.

| Macro | Stands for | Value of `base/experiment.gin` | Meaning |
| --- | --- | --- | --- |"""


class Argument(NamedTuple):
    """An argument that gin can bind; without a default, that is `Parameter.empty`."""

    name: str
    default: Any
    kind: Any
    meaning: str


class Configurable(NamedTuple):
    """A function or class that gin can configure."""

    name: str
    path: str
    summary: str
    arguments: Sequence[Argument]


class Macro(NamedTuple):
    """The argument that a macro stands for, and its value as gin writes it."""

    target: str
    value: Optional[str]


def configurables() -> dict[str, list[Configurable]]:
    """All configurables of wss by package, sorted by name."""
    import gin

    import wss

    modules = {"wss"}
    for module in pkgutil.walk_packages(wss.__path__, "wss."):
        modules.add(module.name)
        importlib.import_module(module.name)
    found: dict[str, list[Configurable]] = {room: [] for room in ROOMS}
    for _, entry in gin.config._REGISTRY.items():
        if entry.wrapped.__module__ in modules:
            found[_room(entry.wrapped.__module__)].append(_describe(entry))
    return {room: sorted(entries) for room, entries in found.items()}


def macros() -> dict[str, Macro]:
    """The macros of the files in gin_configs/base, in the order in which they occur."""
    from gin import config_parser

    import gin_configs
    from wss import config

    targets: dict[str, str] = {}
    values: dict[str, str] = {}
    folder = pathlib.Path(gin_configs.__file__).parent / "base"
    # The file that all experiments include comes first.
    files = sorted(folder.glob("*.gin"), key=lambda path: path.stem != "experiment")
    for path in files:
        with open(path, encoding="utf-8") as file:
            for statement in config_parser.ConfigParser(file, config._Delegate()):
                if not isinstance(statement, config_parser.BindingStatement):
                    continue
                _, selector, argument, value, _ = statement
                macro = re.fullmatch(r"%(\w+)", repr(value).strip("'"))
                if argument and macro:
                    targets.setdefault(macro.group(1), f"{selector}.{argument}")
                elif not argument and path.stem == "experiment":
                    values[selector] = repr(value)
    return {name: Macro(target, values.get(name)) for name, target in targets.items()}


def text() -> str:
    """The whole page."""
    rooms = configurables()
    known = {entry.name: entry for entries in rooms.values() for entry in entries}
    parts = [_INTRODUCTION, _MACROS]
    for name, macro in macros().items():
        meaning = _meaning(known, macro.target)
        value = "-" if macro.value is None else f"`{macro.value}`"
        parts.append(f"| `{name}` | `{macro.target}` | {value} | {meaning} |")
    for room, entries in rooms.items():
        parts.append(f"\n## {room}")
        for entry in entries:
            parts += _section(entry)
    return "\n".join(parts) + "\n"


def _section(entry: Configurable) -> Iterator[str]:
    yield f"\n### {entry.name}\n\n{_markdown(entry.summary)} `{entry.path}`\n"
    if not entry.arguments:
        yield "Nothing to set."
        return
    yield "| Argument | Default | Value | Meaning |\n| --- | --- | --- | --- |"
    for name, default, kind, meaning in entry.arguments:
        value = _markdown(settings.words(kind))
        yield f"| `{name}` | {_default(default)} | {value} | {_markdown(meaning)} |"


def _meaning(known: Mapping[str, Configurable], target: str) -> str:
    name, argument = target.split(".")
    meanings = {entry.name: entry.meaning for entry in known[name].arguments}
    return _markdown(meanings[argument])


def _room(module: str) -> str:
    """The heading whose module is the longest prefix of this module's name."""
    prefixes = {prefix: room for room, all_ in ROOMS.items() for prefix in all_}
    fitting = [p for p in prefixes if f"{module}.".startswith(f"{p}.")]
    return prefixes[max(fitting, key=len)]


def _describe(entry: Any) -> Configurable:
    """The page's entry for an entry of gin's registry."""
    wrapped = entry.wrapped
    function = wrapped.__init__ if inspect.isclass(wrapped) else wrapped
    words = _documented(inspect.getdoc(wrapped)) | _documented(inspect.getdoc(function))
    arguments = []
    from wss import config

    kinds = config.kinds(entry.selector)
    for name, parameter in inspect.signature(function).parameters.items():
        if entry.allowlist and name not in entry.allowlist:
            continue
        if name == "self" or name in (entry.denylist or ()):
            continue
        arguments.append(Argument(name, parameter.default, kinds[name], words[name]))
    source = os.path.relpath(inspect.getsourcefile(wrapped), ROOT)
    summary = inspect.getdoc(wrapped).split("\n\n")[0]
    return Configurable(
        entry.name, source, " ".join(summary.split()).rstrip(":"), arguments
    )


def _documented(docstring: str) -> dict[str, str]:
    """The descriptions in a docstring's `Args:` or `Attributes:`, by name."""
    section = re.search(
        r"^(?:Args|Attributes):\n(.*?)(?=^\S|\Z)", docstring, re.M | re.S
    )
    if not section:
        return {}
    entries = re.findall(
        r"^  (\w[\w, ]*): (.*?)(?=^  \w|\Z)", section.group(1), re.M | re.S
    )
    return {
        name: " ".join(meaning.split())
        for names, meaning in entries
        for name in names.split(", ")
    }


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "has to be set"
    if inspect.isclass(value) or inspect.isfunction(value):
        return f"`@{value.__name__}`"
    return f"`{value!r}`"


def _markdown(words: str) -> str:
    """The text of a docstring, with Markdown's special characters escaped."""
    pieces = words.split("`")
    for index in range(0, len(pieces), 2):  # Every second part is code.
        pieces[index] = re.sub(r"([*<\[\]])", r"\\\1", pieces[index])
    return "`".join(pieces).replace("|", "\\|")


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Writes the page and returns the exit status."""
    cli.make_parser("docs.make_configuration", __doc__).parse_args(arguments)

    def command() -> None:
        PAGE.write_text(text(), encoding="utf-8")

    return cli.run(command)


if __name__ == "__main__":
    sys.exit(main())
