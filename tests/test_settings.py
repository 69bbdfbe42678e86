"""What a setting may be: declared for each, and checked before anything is built."""

import collections.abc
import doctest
import inspect
import math
from typing import Annotated, Any, Literal, Optional, Union, get_args, get_origin

import gin
import pytest

from docs import make_configuration
from wss import config, settings
from wss.errors import UserError
from wss.settings import Count, Positive, Range, Several, Share, Size

ALWAYS_WRONG = ("None", "()", "''", "-1", "(-1,)", "('x', -1)", "@learning_rate")
WRONG_NUMBERS = ("'1'", "True", "1e999", "-1e999", "1e300", "10000000000000000000")
WRONG = {
    bool: (*ALWAYS_WRONG, "0", "1", "'False'", "0.5"),
    int: (*ALWAYS_WRONG, *WRONG_NUMBERS, "1.5", "2.0"),
    float: (*ALWAYS_WRONG, *WRONG_NUMBERS[:-1]),
    str: (*ALWAYS_WRONG, "1", "True", "'a\\0b'", "{'a': 1}"),
}


def arguments():
    """Every argument that gin can bind: its name, kind and default."""
    rooms = make_configuration.configurables()
    for entry in (entry for entries in rooms.values() for entry in entries):
        kinds = config.kinds(entry.name)
        for argument in entry.arguments:
            name = f"{entry.name}.{argument.name}"
            assert argument.name in kinds, f"{name} has no annotation"
            yield name, kinds[argument.name], argument.default


ARGUMENTS = {name: (kind, default) for name, kind, default in arguments()}


def leaves(kind: Any, ranged: bool = False):
    """The simple types in a kind, and whether a range limits each."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin is Annotated:
        kind, *rules = inside
        yield from leaves(kind, any(isinstance(rule, Range) for rule in rules))
    elif origin is Literal:
        yield from ((type(choice), True) for choice in inside)
    elif origin in (Union, tuple, collections.abc.Sequence):
        for entry in inside:
            yield from leaves(entry)
    else:
        yield kind, ranged


@pytest.fixture(autouse=True)
def clear():
    yield
    gin.clear_config()


def test_every_number_has_a_range_and_every_default_lies_in_it():
    assert len(ARGUMENTS) > 100
    for name, (kind, default) in ARGUMENTS.items():
        assert settings.words(kind), name  # Raises if it is not a kind of setting.
        for leaf, ranged in leaves(kind):
            assert ranged or leaf not in (int, float), f"{name} has no range"
        if default is not inspect.Parameter.empty:
            assert settings.fits(kind, default), name


@pytest.mark.parametrize("name", ARGUMENTS)
def test_wrong_values_are_refused_by_name(name):
    kind, _ = ARGUMENTS[name]
    types = {leaf for leaf, _ in leaves(kind)}
    simple = next((t for t in (bool, int, float, str) if t in types), str)
    right = {"None"} if type(None) in types else set()
    if kind == ARGUMENTS["training_batches.strong_augmentation"][0]:
        right.add("()")
    if get_origin(kind) is collections.abc.Callable:
        right.add("@learning_rate")
    for value in WRONG[simple]:
        if value in right:
            config.load([], [f"{name} = {value}"])
            continue
        with pytest.raises(UserError) as error:
            config.load([], [f"{name} = {value}"])
        assert str(error.value).startswith(f"{name} = "), (name, value)
        assert "\n" not in str(error.value)
    for value in (math.nan, math.inf, -math.inf, object()):
        assert not settings.fits(kind, value)


@pytest.mark.parametrize(
    "binding, message",
    [
        ("learning_rate.base = 0", "it has to be a number above 0."),
        ("color_jitter.hue = 1.5", "it has to be a number from 0 to 1."),
        ("training_batches.min_scale = 0", "it has to be a number from 0.01 to 100."),
        ("DeepLabV3Plus.batch_norm_decay = 1", "a number above 0, below 1, or None."),
        ("run_training.steps_per_loop = 0", "it has to be a whole number above 0."),
        ("run_training.keep_checkpoints = 0", "it has to be a whole number above 0."),
        ("learning_rate.policy = 'cosine'", "it has to be 'poly' or 'step'."),
        ("SelfAttention.version = True", "it has to be 1 or 2."),
        ("Experiment.output_stride = 12", "it has to be 8, 16 or 32."),
        ("gradient_multipliers.last_layers = 'aspp'", "a tuple (one or more), each"),
        ("Experiment.method = 'PseudoSeg'", "@FixMatch, @PseudoSeg, @Supervised, "),
        ("Experiment.method = @PseudoSeg()", "@FixMatch, @PseudoSeg, @Supervised, "),
        ("Experiment.method = @learning_rate", "@FixMatch, @PseudoSeg, @Supervised"),
        ("u2pl/fuse.soft = 'no'", "it has to be True or False."),
        ("Experiment.train_steps = 3000000000", "whole numbers go up to 2147483647."),
    ],
)
def test_the_message_says_what_it_has_to_be(binding, message):
    with pytest.raises(UserError) as error:
        config.load([], [binding])
    name, value = binding.split(" = ")
    assert str(error.value).startswith(f"{name} = ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    "binding",
    [
        "TrainingStep.weight_decay = 0",
        "learning_rate.decay_steps = 100",
        "Experiment.crop_size = [33, 65]",
        "Experiment.crop_size = 33",
        "Predictor.scales = (1, 0.5)",
        "training_batches.strong_augmentation = 'cutout'",
        "softmax_cross_entropy.class_weights = [0, 1.5]",
        "Experiment.method = @FixMatch",
        "run_training.eval_interval = 0",
    ],
)
def test_right_values(binding):
    config.load([], [binding])


def test_what_a_macro_binds_goes_by_its_name_and_place(tmp_path):
    (tmp_path / "a.gin").write_text(
        "Experiment.seed = %SEED\nExperiment.crop_size = (%SIDE, 33)\nSIDE = 33\n"
        "SEED = %OTHER\nOTHER = 1\n"
    )
    (tmp_path / "b.gin").write_text("include 'a.gin'\n\nOTHER = -1\n")
    file = str(tmp_path / "b.gin")
    with pytest.raises(UserError) as error:
        config.load([file])
    assert str(error.value) == (
        f"OTHER = -1 ({file}:3): it has to be a whole number of at least 0."
    )
    with pytest.raises(UserError, match="^SEED = 'one': it has to be a whole number"):
        config.load([file], ["SEED = 'one'", "Experiment.batch_size = %OTHER"])
    with pytest.raises(UserError, match=r"^Experiment.crop_size = \(33.5, 33\)"):
        config.load([file], ["OTHER = 1", "SIDE = 33.5"])
    with pytest.raises(UserError, match="^SEED = %SEED: .* refers to itself"):
        config.load([file], ["SEED = %SEED", "Experiment.batch_size = %OTHER"])


def test_the_way_on_from_an_old_run(tmp_path):
    path = tmp_path / "config.gin"
    path.write_text("Experiment.seed = %SEED\nSEED = -1\n")
    with pytest.raises(UserError) as error:
        config.load([str(path)])
    assert str(error.value) == (
        f"SEED = -1 ({path}:2): it has to be a whole number of at least 0. "
        '--gin_bindings="SEED = ..." gives another value.'
    )
    config.load([str(path)], ["SEED = 1"])


def test_limits_that_are_other_settings():
    with pytest.raises(UserError) as error:
        config.load([], ["training_batches.min_scale = 3"])
    assert str(error.value) == (
        "training_batches.max_scale = 2.0 (its default): it has to be a number from "
        "min_scale (3) to 100."
    )
    config.load(
        [], ["training_batches.min_scale = 3", "training_batches.max_scale = 3"]
    )
    with pytest.raises(UserError, match=r"high_rank = 3: .* above low_rank \(3\)"):
        config.load([], ["Contrast.low_rank = 3", "Contrast.high_rank = 3"])
    config.load(
        [], ["training_batches.max_scale = 9", "a/training_batches.min_scale = 5"]
    )
    with pytest.raises(UserError, match=r"^a/training_batches.max_scale = 4"):
        config.load(
            [],
            [
                "training_batches.min_scale = 5",
                "training_batches.max_scale = 5",
                "a/training_batches.max_scale = 4",
            ],
        )


@pytest.mark.parametrize(
    "binding, name",
    [
        ("learning_rate.total_steps = 4", "learning_rate.total_steps"),
        ("cutout.size = (3, 3)", "cutout.size"),
        (
            "SelfAttention.downsample_method = 'bilinear'",
            "SelfAttention.downsample_method",
        ),
        ("run_training.evaluates = False", "run_training.evaluates"),
    ],
)
def test_arguments_that_gin_does_not_set(binding, name):
    with pytest.raises(UserError) as error:
        config.load([], [binding])
    assert f"{name} cannot be set; leave it out." in str(error.value)


def test_one_message_names_all_wrong_sides_of_crops():
    grid = settings.Grid(14, 0, "a multiple of 14")
    given = {"CROP_SIZE": 161, "EVAL_CROP_SIZE": (28, 9)}
    with pytest.raises(UserError) as error:
        settings.crop_sizes(grid, given)
    assert str(error.value) == (
        "CROP_SIZE = 161 and EVAL_CROP_SIZE = (28, 9): each side has to be a multiple "
        "of 14. Choose 154 or 168 instead of 161, and 14 or 28 instead of 9."
    )
    given = {"CROP_SIZE": 28, "EVAL_CROP_SIZE": [28, 14]}
    assert settings.crop_sizes(grid, given) == [(28, 28), (28, 14)]


def test_kinds_beside_those_of_the_package():
    assert settings.fits(Size, (1, 2)) and not settings.fits(Size, (1, 2, 3))
    assert settings.fits(Optional[Share], None) and not settings.fits(Share, None)
    assert settings.fits(Several[Positive], [0.5]) and not settings.fits(Count, 1.0)
    assert settings.fits(dict, 3)  # Of an extension, which checks it itself.
    with pytest.raises(TypeError, match="is not a type of settings"):
        settings.words(dict)


def test_the_examples_of_the_module():
    assert doctest.testmod(settings).failed == 0
