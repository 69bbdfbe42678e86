"""Every experiment in gin_configs/ takes a step, on made-up data and a small network.

Files that differ in nothing but splits, numbers, data sets and what no step reads are
one family. One of each family and one of each data set trains, operation by operation:
tracing a step takes ten times as long as taking it. The graphs of the methods are in
tests/methods; every file's numbers are checked where it is loaded, in
tests/test_train.py.
"""

import dataclasses
import functools
import math
import re
from unittest import mock

import gin
import pytest

from docs import make_configuration
from tests.data import records
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

# Settings in which the files of a family differ; the last are numbers.
IN_ONE_FAMILY = (
    r"#|\w*SPLIT|DATA_DIR|Experiment\.dataset|Predictor|run_training|"
    r"evaluation_batches|[\w.]+ = [-+\d.e, ()]+$"
)


@functools.cache
@tiny.plain_backbone()
def families():
    """One file of each family, and one of each data set."""
    make_configuration.configurables()  # All modules are imported.
    first = {}
    for name in config.experiments():
        config.load([name], SMALL, fitting.chooser([]))
        lines = [
            line
            for line in config.text().splitlines()
            if not re.match(IN_ONE_FAMILY, line)
        ]
        first.setdefault("\n".join(lines), name)
        first.setdefault(gin.query_parameter("Experiment.dataset"), name)
    gin.clear_config()
    return sorted({*first.values()})


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


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("name", families())
def test_a_step(name, data_dir, tmp_path):
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
    losses = step.run_once(next(batches))["losses"]
    step.check_finite()
    assert float(losses["supervised"]) > 0
    assert all(math.isfinite(float(value)) for value in losses.values())
