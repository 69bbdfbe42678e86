"""Reads gin files and bindings; every mistake in them becomes one clear message.

`gin.parse_config_files_and_bindings` finds includes only below the working directory,
accepts macros that nothing uses, and reports mistakes late and at length. This module
reads the statements one by one, so that it knows the file and line of each.
"""

import importlib.util  # noqa: F401  (gin 0.5 needs it and does not import it)
import inspect
import io
import os
import pathlib
import sys
import tokenize
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Callable, Literal, NamedTuple, Optional, Union, get_type_hints

import gin
import tensorflow as tf
from gin import config_parser

import gin_configs
from wss import gin_errors, settings
from wss.errors import UserError, first_line
from wss.files import text_files
from wss.gin_errors import closest

# Where `gin_configs/voc_1-16.gin` and `voc_1-16.gin` are found from any directory, even
# if wss is installed as a package.
CONFIG_DIR = os.path.dirname(os.path.abspath(gin_configs.__file__))

# Defines the macros, some with defaults; every experiment includes it first.
_DEFAULTS = "base/experiment.gin"

# The value of a macro that is chosen when a run begins, see `load`.
AUTO = "auto"

CONFIG_FILE = "config.gin"
OPERATIVE_CONFIG_FILE = "operative_config.gin"


def load(
    files: Sequence[str],
    bindings: Sequence[str] = (),
    choose: Optional[Callable[[Mapping[str, Any]], Mapping[str, Any]]] = None,
) -> None:
    """Replaces the configuration with that of the files, then of the bindings.

    The modules whose functions the files configure must be imported first. Later
    settings win.

    Args:
      files: paths of gin files. A path that does not exist from the working directory
        is looked up among the installed gin files.
      bindings: gin statements such as "BATCH_SIZE = 8".
      choose: replaces values of macros: takes all by name, and returns the new values
        of those that may be 'auto'.

    Raises:
      UserError: a missing file, a syntax error, an unknown function, parameter or
        macro (the message names the place and the closest known name); a value that
        does not fit its parameter's annotation (`wss.settings`).
    """
    gin.clear_config()
    reader = _Reader()
    for path in files:
        reader.read_file(find_file(path, [os.curdir]))
    for binding in bindings:
        reader.read(binding.strip(), None)
    reader.check_macros()
    if choose is not None:
        reader.choose(choose)
    reader.check_values()
    try:
        gin.finalize()
    except ValueError as error:
        raise UserError(first_line(error)) from error


def text() -> str:
    """The whole configuration as text that gin reads."""
    return gin.config_str(max_line_length=100)


def operative_text() -> str:
    """The settings of all functions called so far, defaults included."""
    return gin.operative_config_str(max_line_length=100)


def signature(configurable: str) -> Mapping[str, inspect.Parameter]:
    """The parameters of a configurable function or class, by name.

    Raises:
      ValueError: gin knows no such function or class.
    """
    return inspect.signature(_function(configurable)).parameters


def kinds(configurable: str) -> dict[str, Any]:
    """The annotations of the parameters of `signature`, for `wss.settings`, by name."""
    hints = get_type_hints(_function(configurable), include_extras=True)
    return {name: hints[name] for name in signature(configurable) if name in hints}


def _function(configurable: str) -> Callable:
    function = gin.get_configurable(configurable)
    return function.__init__ if inspect.isclass(function) else function


def find_file(path: str, folders: Iterable[str]) -> str:
    """Finds a gin file in the folders or among the installed ones.

    Old names that end with the method, such as `voc_1-16_unimatch.gin`, are found in
    the method's folder.

    Raises:
      UserError: it is in none of them.
    """
    if os.path.isabs(path) or "://" in path:
        folders = [""]
    else:
        folders = [*folders, CONFIG_DIR, os.path.dirname(CONFIG_DIR)]
    for folder in folders:
        candidate = os.path.join(folder, path)
        if "://" not in candidate:
            candidate = os.path.normpath(candidate)
        if tf.io.gfile.exists(candidate) and not tf.io.gfile.isdir(candidate):
            return candidate
    is_flat = os.path.basename(os.path.dirname(path)) in ("", "gin_configs")
    for experiment in experiments() if is_flat else ():
        if _words(path) == _words(experiment):
            print(f"note: {path} is now {experiment}.", file=sys.stderr, flush=True)
            return os.path.join(CONFIG_DIR, experiment)
    raise UserError(
        f"There is no gin file {path}.{closest(path, experiments(), _words)}"
        f" The experiments are in {CONFIG_DIR}."
    )


def experiments() -> list[str]:
    """Paths of the experiments that come with wss, relative to `CONFIG_DIR`."""
    folder = pathlib.Path(CONFIG_DIR)
    paths = [path.relative_to(folder).as_posix() for path in folder.glob("**/*.gin")]
    return sorted(path for path in paths if not path.startswith("base/"))


def experiment_name(path: str) -> str:
    """The default name of a run's folder, from the path of its gin file.

    It ends with the method's folder, so that two methods do not share a run.

    >>> experiment_name("gin_configs/voc_1-16.gin")
    'voc_1-16'
    >>> experiment_name("gin_configs/unimatch/voc_1-16.gin")
    'voc_1-16_unimatch'
    """
    folder, file = os.path.split(os.path.normpath(path))
    folder = os.path.basename(folder)
    name, _ = os.path.splitext(file)
    folders = {os.path.dirname(experiment) for experiment in experiments()}
    return f"{name}_{folder}" if folder and folder in folders else name


def _words(path: str) -> str:
    """The sorted words of a gin file's name: their order does not matter."""
    return " ".join(sorted(experiment_name(path).lower().split("_")))


class _Bound(NamedTuple):
    """A bound value, the name it is bound to, and the file and line of the binding."""

    name: str
    value: Any
    place: str = ""

    def __str__(self) -> str:
        place = f" ({self.place})" if self.place else ""
        return f"{self.name} = {self.value!r}{place}"

    @property
    def advice(self) -> str:
        """How to override the config.gin of an old run, which should not be edited."""
        path, _, _ = self.place.rpartition(":")
        if os.path.basename(path) != CONFIG_FILE:
            return ""
        return f' --gin_bindings="{self.name} = ..." gives another value.'


class _Reader:
    """Applies statements in order and remembers the place of each macro."""

    def __init__(self):
        self._defined: dict[str, str] = {}  # Macro -> place.
        self._used: dict[str, str] = {}
        self._reads_defaults = False
        self._macros: dict[str, _Bound] = {}
        self._may_be_auto: set[str] = set()
        # By scope and configurable, then by parameter.
        self._bound: dict[tuple[str, str], dict[str, _Bound]] = {}

    def read_file(self, path: str) -> None:
        self.read(text_files.read_text(path), path)

    def read(self, source: str, path: Optional[str]) -> None:
        """Reads a file's text, or a binding where `path` is None."""
        delegate = _Delegate()
        line = 1

        def place() -> str:
            if path is None:
                return f'--gin_bindings="{source.splitlines()[line - 1]}"'
            return f"{path}:{line}"

        try:
            parser = config_parser.ConfigParser(io.StringIO(source), delegate)
            for statement in parser:
                line = statement.location.line_num
                for macro in delegate.take_macros():
                    self._used.setdefault(macro, place())
                self._apply(statement, path, place())
                line = parser.current_token.start[0]
        except UserError:
            raise
        except tokenize.TokenError as error:
            raise UserError(
                f"{place()}: {error.args[0]}. Close all brackets and quotes."
            ) from error
        except SyntaxError as error:
            line = error.lineno or line
            raise UserError(f"{place()}: {gin_errors.explain_syntax(error)}") from error
        except (ValueError, ImportError) as error:
            raise UserError(
                f"{place()}: {gin_errors.explain(error, signature)}"
            ) from error

    def _apply(self, statement, path: Optional[str], place: str) -> None:
        if isinstance(statement, config_parser.IncludeStatement):
            beside = os.path.dirname(path) if path else os.curdir
            folders = [beside, os.path.dirname(beside)]
            try:
                included = find_file(statement.filename, folders)
            except UserError as error:
                raise UserError(f"{place}: {error}") from error
            if _is_defaults(included):
                self._check_first(statement.filename, place)
            try:
                self.read_file(included)
            except RecursionError as error:
                raise UserError(
                    f"{place}: the file includes itself. Remove the line."
                ) from error
        elif isinstance(statement, config_parser.ImportStatement):
            raise UserError(
                f"{place}: gin files of wss do not import modules. Remove the line."
            )
        elif isinstance(statement, config_parser.BindingStatement):
            scope, selector, parameter, value, _ = statement
            name = f"{scope}/{selector}" if scope else selector
            where = place if path else ""  # Nobody has to look for a binding.
            if parameter:
                key = gin.config.ParsedBindingKey.parse((scope, selector, parameter))
                gin.bind_parameter(key, value)
                bound = _Bound(f"{name}.{parameter}", value, where)
                self._bound.setdefault(key.config_key, {})[parameter] = bound
            else:
                self._defined[name] = place
                self._macros[name] = _Bound(name, value, where)
                gin.bind_parameter((name, "gin.macro", "value"), value)

    def _check_first(self, defaults: str, place: str) -> None:
        """Raises a UserError if defaults would replace an earlier setting."""
        self._reads_defaults = True
        for macro, earlier in self._defined.items():
            raise UserError(
                f"{place}: {defaults} sets macros to their defaults, and {macro} has "
                f"its value from {earlier} already. Include {defaults} first."
            )

    def check_macros(self) -> None:
        """Raises a UserError for unused and undefined macros."""
        for macro, place in self._used.items():
            if macro not in self._defined:
                raise UserError(
                    f"{place}: the macro {macro} has no value."
                    f"{closest(macro, self._defined) or f' Set it: {macro} = ...'}"
                )
        for macro, place in self._defined.items():
            if macro not in self._used:
                advice = self._without_defaults(macro)
                raise UserError(
                    f"{place}: nothing uses the macro {macro}."
                    f"{advice or closest(macro, self._used) or ' Leave it out.'}"
                )

    def _without_defaults(self, macro: str) -> str:
        """Advice if the file that uses a macro is not included."""
        if self._reads_defaults:
            return ""
        with tf.io.gfile.GFile(find_file(_DEFAULTS, [])) as file:
            uses = f"%{macro} " in file.read().replace("\n", " ")
        advice = f" Let the experiment's file begin with include '{_DEFAULTS}'."
        return advice if uses else ""

    def choose(self, choose: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> None:
        """Replaces values of macros; see `load`."""
        resolved = {name: self._resolved(bound) for name, bound in self._macros.items()}
        values = {name: _plain(bound.value) for name, bound in resolved.items()}
        chosen = choose(values)
        self._may_be_auto.update(chosen)
        for name, value in chosen.items():
            if value != values[name]:  # Others keep their place.
                self._macros[name] = _Bound(name, value)
                gin.bind_parameter((name, "gin.macro", "value"), value)

    def check_values(self) -> None:
        """Raises a UserError for a value that its parameter cannot have."""
        for (scope, configurable), parameters in self._bound.items():
            given = {k: self._resolved(bound) for k, bound in parameters.items()}
            if scope:  # Bindings without a scope apply in every scope.
                outside = self._bound.get(("", configurable), {})
                outside = {k: self._resolved(bound) for k, bound in outside.items()}
                given = {**outside, **given}
            _check(configurable, given, self._may_be_auto)

    def _resolved(self, bound: _Bound, seen: tuple[str, ...] = ()) -> _Bound:
        """The value of a macro, with the name of the macro that holds it."""
        if bound.name in seen:
            raise UserError(
                f"{bound}: the macro {bound.name} refers to itself. Give it a value."
            )
        if _is_macro(bound.value):
            macro = self._macros["/".join(bound.value.scopes)]
            return self._resolved(macro, (*seen, bound.name))
        if isinstance(bound.value, (list, tuple)):
            entries = [
                self._resolved(bound._replace(value=entry), seen).value
                for entry in bound.value
            ]
            return bound._replace(value=type(bound.value)(entries))
        return bound


def _is_macro(value: Any) -> bool:
    reference = isinstance(value, gin.config.ConfigurableReference)
    return reference and value.selector == "gin.macro"


def _check(
    configurable: str, given: Mapping[str, _Bound], may_be_auto: Collection[str]
) -> None:
    """Raises a UserError for a value that does not fit its parameter or another."""
    selector = configurable.rsplit(".", 1)[-1]
    defaults = {
        name: _Bound(f"{selector}.{name}", parameter.default, "its default")
        for name, parameter in signature(configurable).items()
        if parameter.default is not parameter.empty
    }
    bounds = {**given, **{k: b for k, b in defaults.items() if k not in given}}
    values = {name: _plain(bound.value) for name, bound in bounds.items()}
    declared = kinds(configurable)
    for name, bound in bounds.items():
        if name in declared:
            kind = declared[name]
            if bound.name in may_be_auto and not settings.fits(kind, AUTO):
                kind = Union[kind, Literal[AUTO]]
            problem = settings.problem(kind, values[name], values)
            if problem:
                raise UserError(f"{bound}: {problem}.{bound.advice}")


def _plain(value: Any) -> Any:
    """The function or class of a reference with @; other values unchanged."""
    if isinstance(value, gin.config.ConfigurableReference) and not value.evaluate:
        return value.scoped_configurable_fn
    return value


class _Delegate(gin.config.ParserDelegate):
    """gin's delegate, which also remembers the macros that a statement uses."""

    def __init__(self):
        super().__init__()
        self._macros: set[str] = set()

    def macro(self, name: str):
        reference = super().macro(name)
        if reference.selector == "gin.macro":  # Not one of gin's constants.
            self._macros.add(name)
        return reference

    def take_macros(self) -> set[str]:
        macros, self._macros = self._macros, set()
        return macros


def _is_defaults(path: str) -> bool:
    return f"/{path}".replace(os.sep, "/").endswith(f"/{_DEFAULTS}")
