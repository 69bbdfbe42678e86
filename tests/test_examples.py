"""The examples in docstrings run and print what they show."""

import doctest
import importlib
import inspect
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import wss
from tests import trained
from wss.models import deeplab

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "python.md"
# The modules of the Python interface (docs/python.md).
MODULES = [
    "wss",
    "wss.evaluation.boundary_f_score",
    "wss.data.datasets",
    "wss.data.datasets.spec",
    "wss.ops.losses",
    "wss.ops.metrics",
    "wss.methods.components.cutmix",
    "wss.methods.components.complementary_dropout",
    "wss.models.deeplab",
    "wss.models.dpt",
    "wss.evaluation.predictor",
    "wss.evaluation.tiling",
    "wss.methods.components.self_attention",
    "wss.methods.components.refined_grad_cam",
    "wss.methods.components.fusion",
    "wss.methods.components.reliability",
    "wss.ops.resize",
    "wss.evaluation.segmenter",
    "wss.training.optimizers",
]
# Helpers, explained by their one-line docstrings.
WITHOUT = {"divide_or_zero", "count_labeled", "Scores", "PseudoLabel"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of the examples, with a run and two photos."""
    folder = tmp_path_factory.mktemp("examples")
    trained.make(folder / "runs" / "shapes")
    for name in ("street.jpg", "garden.png"):
        Image.fromarray(np.zeros([50, 120, 3], np.uint8)).save(folder / name)
    return folder


def public(module):
    """The module's own functions and classes, without gin's wrappers."""
    return {
        key: inspect.unwrap(value)
        for key, value in vars(module).items()
        if inspect.isroutine(value) or inspect.isclass(value)
        if not key.startswith("_") and value.__module__ == module.__name__
    }


@pytest.mark.parametrize("name", MODULES)
def test_examples_show_what_they_say(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    module = importlib.import_module(name)
    names = {**vars(deeplab), **vars(module), "np": np, "tf": tf, "wss": wss}
    finder = doctest.DocTestFinder()
    run(
        example
        for key, value in public(module).items()
        for example in finder.find(value, key, module=False, globs=names)
    )


def test_the_page_shows_what_it_says(folder, monkeypatch):
    monkeypatch.chdir(folder)
    # The fence ends an expected output.
    text = PAGE.read_text().replace("```", "")
    run([doctest.DocTestParser().get_doctest(text, {}, PAGE.name, str(PAGE), 0)])


def run(examples):
    runner = doctest.DocTestRunner()
    for example in examples:
        runner.run(example)
    assert runner.tries
    assert not runner.failures, "see the captured output"


def test_the_page_names_what_there_is():
    rows = re.findall(r"^\| (`wss\..*?) \|.*\| (.*?) \|$", PAGE.read_text(), re.M)
    assert rows
    for modules, functions in rows:
        known = [importlib.import_module(m) for m in re.findall(r"`(.+?)`", modules)]
        for function in re.findall(r"`(.+?)`", functions):
            *place, last = function.split(".")
            assert any(hasattr(at(module, place), last) for module in known), function


def at(module, place):
    return importlib.import_module(".".join([module.__name__, *place]))


@pytest.mark.parametrize("name", MODULES)
def test_every_public_function_has_an_example(name):
    has_example = {
        key: ">>>" in value.__doc__
        for key, value in public(importlib.import_module(name)).items()
    }
    assert has_example
    assert {key for key, has in has_example.items() if not has} <= WITHOUT
