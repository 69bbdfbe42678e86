"""README and docs/: commands, flags and gin names exist in the code."""

import argparse
import functools
import importlib
import pathlib
import re
import shlex
from unittest import mock

import pytest

import wss
from docs import make_configuration
from wss import config
from wss.training import fitting

ROOT = pathlib.Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *ROOT.glob("docs/*.md")])
# tests/test_extending.py writes the files that these pages show.
EXTENDING = sorted(ROOT.glob("docs/add_*.md"))

BLOCK = re.compile(r"^ *```\w*\n(.*?)^ *```", re.M | re.S)
WRITTEN_BY_A_RUN = ("config.gin", "operative_config.gin")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
other_pages = pytest.mark.parametrize(
    "page",
    [page for page in PAGES if page not in EXTENDING],
    ids=lambda path: path.stem,
)


def commands(page):
    """The page's `python -m` commands: module, arguments, whether these are all."""
    text = page.read_text()
    lines = [line for code in BLOCK.findall(text) for line in unfolded(code)]
    words = re.findall(r"`([^`]+)`", BLOCK.sub("", text))
    for line in [*lines, *map(unwrapped, words)]:
        found = re.search(
            r"(?:^|\s)python -m ((?:wss|data_prep|benchmarks|tests|docs)\.[\w.]+)"
            r"(.*)",
            line,
        )
        if found and found[1] != "data_prep.roads":  # The reader's own converter.
            is_whole = line in lines and line.lstrip().startswith("python")
            yield found[1].rstrip("."), found[2], is_whole


def unfolded(code):
    return re.sub(r"\\\n\s*", " ", code).splitlines()


def unwrapped(sentence):
    return " ".join(sentence.split())


@functools.cache
def parser_of(module):
    """The parser that a command's `main` makes."""

    class Made(Exception):
        pass

    def keep(parser, *_):
        raise Made(parser)

    name = f"{module}.__main__" if module == "tests.parity" else module
    with mock.patch.object(argparse.ArgumentParser, "parse_args", keep):
        with pytest.raises(Made) as made:
            importlib.import_module(name).main()
    return made.value.args[0]


@pages
def test_commands_are_understood(page):
    for module, arguments, is_whole in commands(page):
        parser = parser_of(module)
        words = shlex.split(arguments, comments=True)
        for word in words:
            if word.startswith("--"):
                flag = word.split("=")[0]
                assert flag in parser._option_string_actions, (module, word)
        if is_whole and "..." not in words and words != ["--help"]:
            parser.parse_args(words)  # Exits where one is missing or wrong.


@other_pages
def test_gin_files_exist(page):
    for path in re.findall(r"(?:gin_configs/|base/|`)[\w+/.-]*\.gin", page.read_text()):
        path = path.strip("`").replace("gin_configs/", "")
        if "..." not in path and path not in WRITTEN_BY_A_RUN:
            assert (ROOT / "gin_configs" / path).exists(), path


@other_pages
def test_gin_names_are_known(page):
    text = page.read_text()
    known = {
        entry.name: {argument.name for argument in entry.arguments}
        for entries in make_configuration.configurables().values()
        for entry in entries
    }
    for name, argument in re.findall(r"\b([A-Za-z]\w*)\.(\w+) = ", text):
        assert argument in known.get(name, ()), f"{name}.{argument}"
    for macro in re.findall(r"\b([A-Z][A-Z_]+) = ", text):
        assert macro == "NAME" or macro in make_configuration.macros(), macro


@other_pages
def test_gin_files_that_a_page_shows_are_read(page, tmp_path):
    make_configuration.configurables()  # All modules are imported.
    for block in BLOCK.findall(page.read_text()):
        if block.startswith("include"):
            path = tmp_path / "shown.gin"
            path.write_text(block)
            config.load([str(path)], choose=fitting.chooser([]))


def test_the_configuration_page_is_that_of_the_code():
    written = make_configuration.PAGE.read_text()
    assert written == make_configuration.text(), (
        "docs/configuration.md is older than the code: "
        "python -m docs.make_configuration"
    )


def test_everything_that_gin_knows_has_a_meaning():
    for entries in make_configuration.configurables().values():
        assert entries
        for entry in entries:
            assert entry.summary
            for argument in entry.arguments:
                assert argument.meaning, f"{entry.name}.{argument.name}"


def test_every_setting_has_a_use():
    """A gin file sets it, or a page that is written by hand says what it is for."""
    files = (ROOT / "gin_configs").glob("**/*.gin")
    written = [page for page in PAGES if page != make_configuration.PAGE]
    used = {
        name
        for path in [*files, *written]
        if path.name != "CHANGELOG.md"
        for name in re.findall(r"\b[A-Za-z]\w*\.\w+\b", path.read_text())
    }
    known = {
        f"{entry.name}.{argument.name}"
        for entries in make_configuration.configurables().values()
        for entry in entries
        for argument in entry.arguments
    }
    assert len(known) > 90
    assert not sorted(known - used)


def test_all_macros_are_found():
    macros = make_configuration.macros()
    assert macros["SEED"] == ("Experiment.seed", "0")
    assert macros["TRAIN_STEPS"] == ("Experiment.train_steps", None)
    assert macros["UNLABELED_SPLIT"].target == "Experiment.unlabeled_split"


def test_one_version():
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: *\"?([\d.]+)", citation, re.M)[1] == wss.__version__
