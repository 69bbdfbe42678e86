"""Every experiment in gin_configs/ takes a step, on made-up data and a small network.

Files that differ in nothing but splits and lengths are one family; one of each trains.
The first of each method trains as a graph, the others operation by operation: tracing a
step takes ten times as long as taking it.
"""

import contextlib
import dataclasses
import functools
import math
from unittest import mock

import gin
import pytest

from docs import make_configuration
from tests.data import records
from tests.trained import eagerly
from tests.training import tiny
from wss import config, runs
from wss.experiment import build_method, distributed_batches
from wss.training import fitting
from wss.training.train_step import build_training_step

pytestmark = pytest.mark.usefixtures("plain_backbone")

SMALL = [
    "CROP_SIZE = 33",
    "EVAL_CROP_SIZE = 33",
    "BATCH_SIZE = 2",
    "TRAIN_STEPS = 4",
    "CHECKPOINT_INTERVAL = 4",
    "EVAL_INTERVAL = 4",
    "MODEL_VARIANT = 'plain'",
    "INIT_CHECKPOINT = None",  # Random weights.
    "FROZEN_BATCH_NORM = 'none'",
    "DeepLabV3Plus.multi_grid = None",  # The published ones are for three units.
    "DeepLabV3Plus.decoder_output_stride = 4",
    "DeepLabV3Plus.aspp_channels = 8",
    "DeepLabV3Plus.decoder_channels = 8",
    "Contrast.bank_capacity = 40",
    "Contrast.first_bank_capacity = 60",
    "U2PL.warm_up_steps = 1",
]


@functools.cache
@tiny.plain_backbone()
def families():
    """One file of each family."""
    make_configuration.configurables()  # All modules are imported.
    first = {}
    for name in config.experiments():
        config.load([name], SMALL, fitting.chooser([]))
        lines = config.text().splitlines()
        key = "\n".join(line for line in lines if "SPLIT" not in line)
        first.setdefault(key, name)
    gin.clear_config()
    return list(first.values())


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory, plain_backbone):
    """Each split that an experiment names has the same four images."""
    folder = tmp_path_factory.mktemp("cells")
    for name in families():
        config.load([name], SMALL, fitting.chooser([]))
        splits = {gin.query_parameter("LABELED_SPLIT/gin.macro.value")}
        if "UNLABELED_SPLIT =" in config.text():
            named = gin.query_parameter("UNLABELED_SPLIT/gin.macro.value")
            splits.update(named.split("+"))
        for split in splits:
            records.write_split(folder, split, [4])
    yield folder
    gin.clear_config()


@functools.cache
def traced():
    """The first family of each method."""
    first = {}
    for name in families():
        config.load([name], SMALL, fitting.chooser([]))
        first.setdefault(gin.query_parameter("Experiment.method").selector, name)
    gin.clear_config()
    return list(first.values())


@pytest.mark.parametrize("name", families())
def test_a_step(name, data_dir, tmp_path):
    is_traced = name in traced()
    bindings = [*SMALL, f"DATA_DIR = {str(data_dir)!r}"]
    config.load([name], bindings, fitting.chooser([]))
    own = (
        dataclasses.replace(records.SPEC, name="folder")
        if "'folder'" in config.text()
        else None
    )
    experiment = runs._create(str(tmp_path), None, own)
    with mock.patch("wss.experiment.training_batches"):  # They are built below.
        runs.check_training(experiment)
    step = build_training_step(experiment, build_method(experiment))
    batches = iter(distributed_batches(experiment, 0))
    with contextlib.nullcontext() if is_traced else eagerly():
        losses = step.run_once(next(batches))["losses"]
        step.check_finite()
    assert float(losses["supervised"]) > 0
    assert all(math.isfinite(float(value)) for value in losses.values())
