"""Types and ranges of settings, declared by annotations.

    def learning_rate(*, base: Positive = 0.007, policy: Literal["poly", "step"] = ...

`wss.config` checks the values of gin files against them, `wss.cli` the numbers on the
command line.
"""

import collections.abc
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Optional,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

from wss.errors import UserError

# What TensorFlow's int32 and float32 hold.
LARGEST_INT = 2**31 - 1
LARGEST_FLOAT = (2 - 2**-23) * 2.0**127

_NOTHING: Mapping[str, Any] = {}


class Range(NamedTuple):
    """Limits of a number; the name of another argument may stand for a limit.

    Attributes:
      low: inclusive lower limit.
      high: inclusive upper limit.
      above: exclusive lower limit.
      below: exclusive upper limit.

    >>> words(Annotated[float, Range(above=0, high="max_scale")])
    'a number above 0, at most max_scale'
    """

    low: Union[float, str, None] = None
    high: Union[float, str, None] = None
    above: Union[float, str, None] = None
    below: Union[float, str, None] = None

    def admits(self, value: float, others: Mapping[str, Any]) -> bool:
        """Whether a number is within the limits; `others` are the other arguments."""

        def limit(end: Union[float, str, None], otherwise: float) -> float:
            end = others.get(end) if isinstance(end, str) else end
            return end if fits(float, end) else otherwise

        return limit(self.low, -math.inf) <= value <= limit(
            self.high, math.inf
        ) and limit(self.above, -math.inf) < value < limit(self.below, math.inf)

    def words(self, others: Mapping[str, Any]) -> str:
        """The limits in words that follow "a number"."""
        if self.low is not None and self.high is not None:
            return f"from {_end(self.low, others)} to {_end(self.high, others)}"
        named = {
            "of at least": self.low,
            "above": self.above,
            "at most": self.high,
            "below": self.below,
        }
        return ", ".join(
            f"{word} {_end(end, others)}"
            for word, end in named.items()
            if others.get(end, end) is not None
        )


class NotEmpty(NamedTuple):
    """At least one entry."""

    def admits(self, value: Sequence[Any], others: Mapping[str, Any]) -> bool:
        """Whether there is one."""
        return len(value) > 0

    def words(self, others: Mapping[str, Any]) -> str:
        """The rule in words that follow "a tuple of whole numbers"."""
        return "(one or more)"


_Entry = TypeVar("_Entry")

Count = Annotated[int, Range(above=0)]
Natural = Annotated[int, Range(low=0)]
Positive = Annotated[float, Range(above=0)]
NonNegative = Annotated[float, Range(low=0)]
Share = Annotated[float, Range(low=0, high=1)]
PositiveShare = Annotated[float, Range(above=0, high=1)]
# Factor of an image's size; larger ones exhaust the memory and show nothing new.
Scale = Annotated[float, Range(above=0, high=16)]
Percent = Annotated[float, Range(low=0, high=100)]
# The share of a moving average that a step keeps.
Decay = Annotated[float, Range(above=0, below=1)]
Several = Annotated[Sequence[_Entry], NotEmpty()]
# A side, or height and width, in pixels.
_Side = Annotated[int, Range(low=1, high=2**14 + 1)]
Size = Union[_Side, tuple[_Side, _Side]]


def fits(kind: Any, value: Any, others: Mapping[str, Any] = _NOTHING) -> bool:
    """Whether a value fits an annotation.

    Args:
      kind: an annotation: bool, int, float, str, None, a `Literal`, a class by `Type`,
        a function by `Callable`, `Sequence`, `Tuple`, `Union` and `Optional` of them,
        and `Annotated` with the rules above. An int is a float, a bool is not a number.
        Everything fits any other annotation.
      value: the value.
      others: the other arguments by name, for limits that name one.

    >>> fits(Positive, 1), fits(Positive, -1), fits(bool, "False")
    (True, False, False)
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        kind, *rules = arguments
        return fits(kind, value, others) and all(r.admits(value, others) for r in rules)
    if origin is Union:
        return any(fits(choice, value, others) for choice in arguments)
    if origin is Literal:
        return any(type(value) is type(c) and value == c for c in arguments)
    if origin is type:
        base = arguments[0]  # Not a choice itself.
        return inspect.isclass(value) and issubclass(value, base) and value is not base
    if origin is collections.abc.Callable:
        return callable(value)
    if origin in (tuple, collections.abc.Sequence):
        if not isinstance(value, (tuple, list)):
            return False
        if origin is tuple and len(value) != len(arguments):
            return False
        return all(fits(arguments[0], entry, others) for entry in value)
    if kind is int:
        return _is_number(value, int) and abs(value) <= LARGEST_INT
    if kind is float:
        return _is_number(value, (int, float)) and abs(value) <= LARGEST_FLOAT
    if kind is str:
        return isinstance(value, str) and value != "" and "\0" not in value
    if kind in (bool, type(None)):
        return isinstance(value, kind)
    return True


def words(kind: Any, others: Mapping[str, Any] = _NOTHING) -> str:
    """An annotation in words; arguments: see `fits`.

    Raises:
      TypeError: `fits` does not know `kind`.

    >>> words(Optional[Share])
    'a number from 0 to 1, or None'
    >>> words(Several[Literal["weak", "strong"]])
    "a tuple (one or more), each entry 'weak' or 'strong'"
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        kind, *rules = arguments
        noun, comma, entries = words(kind, others).partition(", ")
        limits = ", ".join(filter(None, (rule.words(others) for rule in rules)))
        return f"{noun} {limits}{comma}{entries}"
    if origin is Union:
        return ", or ".join(words(choice, others) for choice in arguments)
    if origin is Literal:
        return _one_of(map(repr, arguments))
    if origin is type:
        return _one_of(f"@{name}" for name in _configurable_classes(arguments[0]))
    if origin is collections.abc.Callable:
        return "a function, by its name with @ before it"
    if origin is collections.abc.Sequence:
        return f"a tuple, each entry {words(arguments[0], others)}"
    if origin is tuple:
        return f"a tuple of {len(arguments)}, each entry {words(arguments[0], others)}"
    simple = {
        bool: "True or False",
        int: "a whole number",
        float: "a number",
        str: "a text in quotes",
        type(None): "None",
    }
    if kind not in simple:
        raise TypeError(f"{kind} is not a type of settings.")
    return simple[kind]


def problem(
    kind: Any, value: Any, others: Mapping[str, Any] = _NOTHING
) -> Optional[str]:
    """What is wrong with a value, or None; arguments: see `fits`.

    >>> print(problem(Count, 0))
    it has to be a whole number above 0
    """
    if fits(kind, value, others):
        return None
    if _is_number(value, int) and abs(value) > LARGEST_INT:
        return f"whole numbers go up to {LARGEST_INT}"
    empty = "it is empty; " if value == "" and fits(kind, "any", others) else ""
    return f"{empty}it has to be {words(kind, others)}"


def _is_number(value: Any, types: Any) -> bool:
    return isinstance(value, types) and not isinstance(value, bool)


def _end(end: Union[float, str], others: Mapping[str, Any]) -> str:
    return f"{end} ({others[end]})" if end in others else str(end)


def _one_of(names: Any) -> str:
    *names, last = names
    return f"{', '.join(names)} or {last}" if names else last


def _configurable_classes(base: type) -> Iterator[str]:
    """Names of the configurable subclasses of `base`."""
    import gin  # Late: the command lines do not need it.

    classes = (entry.wrapped for _, entry in gin.config._REGISTRY.items())
    yield from sorted(
        c.__name__
        for c in classes
        if inspect.isclass(c) and issubclass(c, base) and c is not base
    )


class Grid(NamedTuple):
    """The sides that crops may have: multiples of `step`, plus `rest`.

    Attributes:
      step: pixels.
      rest: pixels.
      words: what such a side is, for messages.
    """

    step: int
    rest: int
    words: str


def crop_sizes(
    grid: Grid, given: Mapping[str, Union[int, Sequence[int]]]
) -> list[tuple[int, int]]:
    """(height, width) of crops.

    Args:
      grid: the sides that they may have.
      given: a side, or both, by macro.

    Raises:
      UserError: sides do not fit the grid.

    >>> crop_sizes(Grid(16, 1, "a multiple of 16 plus one"), {"CROP_SIZE": 33})
    [(33, 33)]
    """
    sizes = {
        macro: tuple(size) if isinstance(size, (tuple, list)) else (size, size)
        for macro, size in given.items()
    }
    sides = dict.fromkeys(side for size in sizes.values() for side in size)
    wrong = [side for side in sides if (side - grid.rest) % grid.step]
    if not wrong:
        return list(sizes.values())
    macros = [
        f"{macro} = {given[macro]!r}"
        for macro, size in sizes.items()
        if not set(wrong).isdisjoint(size)
    ]
    instead = [
        f"{below} or {below + grid.step} instead of {side}"
        for side in wrong
        for below in [max(1, (side - grid.rest) // grid.step) * grid.step + grid.rest]
    ]
    raise UserError(
        f"{' and '.join(macros)}: each side has to be {grid.words}. Choose "
        f"{', and '.join(instead)}."
    )
