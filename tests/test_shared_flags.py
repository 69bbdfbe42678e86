"""The flags of all commands: equal ones mean the same everywhere."""

import argparse
import collections
import functools
import importlib
import pathlib
import re

import pytest

from wss import cli

ROOT = pathlib.Path(__file__).parent.parent
# Flags with one name but different meanings; all others must be the same.
DIFFERENT = {
    "--classes": "names of classes; a known data set",
    "--image_labels": "a file of labels; whether they are evaluated",
    "--images": "a folder; photos of all kinds; names in a split",
    "--model_dir": "one training; several to compare",
    "--split": "one split; several",
}


def commands():
    """Names of all modules that run as commands."""
    return sorted(
        f"{path.parent.name}.{path.stem}"
        for room in ("wss", "data_prep")
        for path in (ROOT / room).glob("*.py")
        if re.search(r"make_parser\(|cli\.parser\(", path.read_text())
        and path.stem != "cli"
    )


class Parsed(Exception):
    """Carries a parser out of a command's `main`."""


@functools.cache
def parser_of(command):
    def parse_args(self, *args):
        raise Parsed(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(Parsed) as parsed:
            importlib.import_module(command).main()
    return parsed.value.args[0]


def flags_of(command):
    """{flag: action} of a command."""
    return {
        option: action
        for action in parser_of(command)._actions
        for option in action.option_strings
    }


def test_all_commands_are_looked_at():
    assert {"wss.train", "wss.predict", "data_prep.folder", "data_prep.tfds"} <= set(
        commands()
    )
    assert len(commands()) >= 17


def test_equal_flags_take_the_same_values():
    forms = collections.defaultdict(lambda: collections.defaultdict(list))
    for command in commands():
        for flag, action in flags_of(command).items():
            kind = (type(action).__name__, action.nargs, action.type)
            forms[flag][kind].append(command)
    different = {flag: dict(of) for flag, of in forms.items() if len(of) > 1}
    assert set(different) == set(DIFFERENT), different


@pytest.mark.parametrize("command", commands())
def test_values_add_up_where_a_flag_is_repeated(command):
    for action in parser_of(command)._actions:
        if action.nargs == "+":
            flags = argparse.Namespace(**{action.dest: action.default})
            for value in (["a", "b"], ["c"]):
                action(parser_of(command), flags, value)
            assert getattr(flags, action.dest) == ["a", "b", "c"]
            assert action.default in (None, [], ["savedmodel"])


def test_repeated_flags():
    parser = cli.make_parser("x", "")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--map", nargs="+", default=["0=1"])
    parser.add_argument("--one", type=int, default=1)
    assert parser.parse_args([]) == argparse.Namespace(map=["0=1"], one=1)
    flags = parser.parse_args("--map 1=2 3=4 --one 2 --map 5=6".split())
    assert flags == argparse.Namespace(map=["1=2", "3=4", "5=6"], one=2)
