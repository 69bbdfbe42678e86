"""Workers that would not train the same do not begin.

    python -m tests.test_runs DATA_DIR MODEL_DIR BINDINGS

is one of two workers, with its own of the two lists of gin bindings (JSON).
"""

import json
import os
import re
import sys

import pytest
import tensorflow as tf

from data_prep import shapes
from data_prep.writer import Writer
from tests.trained import TINY
from tests.training.pair import run_pair
from wss import config, runs, train
from wss.errors import UserError
from wss.training import cluster, distribution

SETTINGS = [
    *TINY,
    "BATCH_SIZE = 2",
    "TRAIN_STEPS = 2",
    "CHECKPOINT_INTERVAL = 1",
    "EVAL_INTERVAL = 0",
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes")
    shapes.write(Writer(str(path)), 32, 2, difficulty=shapes.Difficulty(size=33))
    return str(path)


@pytest.fixture
def compare(data_dir, tmp_path, monkeypatch):
    """The messages if one worker has such bindings, mode and data changes."""
    two = cluster.Cluster(["a:1", "b:2"], ["worker 0", "worker 1"], 0)
    monkeypatch.setattr(distribution, "are_several", lambda strategy: True)
    monkeypatch.setattr(cluster, "read", lambda: two)
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    told = []

    def gather(strategy, text):
        told.append(text)
        return list(told)

    def check(bindings, mode, profile_steps):
        settings = [*SETTINGS, f"DATA_DIR = '{data_dir}'", *bindings]
        config.load(["supervised/shapes.gin"], settings)
        experiment = runs._create(str(tmp_path), None, None, strategy)
        runs.check_agreement(experiment, mode, profile_steps)

    def compare(*bindings, mode="train_and_eval", profile_steps=None, **changes):
        monkeypatch.setattr(distribution, "gather", gather)
        told.clear()
        check((), "train_and_eval", None)
        for name, value in changes.items():
            monkeypatch.setattr(runs, name, value)
        check(bindings, mode, profile_steps)

    return compare


@pytest.mark.parametrize(
    "binding, phrase",
    [
        ("Experiment.seed = 7", "Experiment.seed|SEED"),
        ("learning_rate.base = 0.5", "learning_rate.base"),
        ("TRAIN_STEPS = 3", "TRAIN_STEPS"),
        ("CHECKPOINT_INTERVAL = 2", "CHECKPOINT_INTERVAL"),
        ("EVAL_INTERVAL = 1", "EVAL_INTERVAL"),
        ("run_training.log_interval = 3", "run_training.log_interval"),
        ("run_training.steps_per_loop = 3", "run_training.steps_per_loop"),
        ("BATCH_SIZE = 4", "BATCH_SIZE"),
        ("CROP_SIZE = 41", "CROP_SIZE"),
        ("MODEL_VARIANT = 'resnet_v1_50_beta'", "MODEL_VARIANT"),
    ],
)
def test_settings_that_differ_are_named(compare, binding, phrase):
    value = binding.split("= ")[1]
    message = rf"The workers do not train the same: ({phrase}) is .* on worker 0 and "
    with pytest.raises(UserError, match=f"{message}{value} on worker 1. Start"):
        compare(binding)


@pytest.mark.parametrize(
    "options, phrase",
    [
        ({"mode": "train"}, "--mode is 'train_and_eval' on worker 0 and 'train' on"),
        ({"profile_steps": (1, 2)}, "--profile_steps is None on worker 0 and [1, 2]"),
    ],
)
def test_flags_that_differ_are_named(compare, options, phrase):
    with pytest.raises(UserError, match=re.escape(phrase)):
        compare(**options)


def test_other_data_are_named(compare):
    checksum = runs._checksum

    def other(given, split):
        given["splits"]["val"]["files"]["val-00000-of-00001.tfrecord"] = {}
        return checksum(given, split)

    with pytest.raises(UserError, match="the checksum of EVAL_SPLIT is '.* on worker"):
        compare(_checksum=other)


def test_other_code_is_named(compare, monkeypatch):
    versions = iter(["0.1 (abc)", "0.1 (def)"])
    monkeypatch.setattr(runs.versions, "code_version", lambda: next(versions))
    phrase = re.escape("the version of wss is '0.1 (abc)' on worker 0 and '0.1 (def)'")
    with pytest.raises(UserError, match=phrase):
        compare()


def test_what_a_machine_may_have_of_its_own(compare, data_dir):
    compare(
        f"DATA_DIR = '{data_dir}/../{os.path.basename(data_dir)}'",
        "INIT_CHECKPOINT = '/elsewhere'",
        "training_batches.data_service = 'a:1'",
        "get_strategy.wait_seconds = 9",
    )


def test_settings_that_no_file_has_are_named(tmp_path):
    config.load([], ["Experiment.dataset = 'shapes'"])
    message = "sets Experiment.data_dir, Experiment.labeled_split. Set them in yours."
    with pytest.raises(UserError, match=message):
        runs.check("train", str(tmp_path))


def test_two_workers_of_which_one_has_other_settings_both_end(data_dir, tmp_path):
    bindings = json.dumps([["learning_rate.base = 0.1"], ["learning_rate.base = 0.2"]])
    folder = str(tmp_path / "run")
    ends = run_pair(["tests.test_runs", data_dir, folder, bindings])
    for end in ends:
        assert end.returncode == 2, end.stderr
        sentence = "error: The workers do not train the same: learning_rate.base is 0.1"
        assert f"{sentence} on worker 0 and 0.2 on worker 1. Start" in end.stderr
        assert "Traceback" not in end.stderr
    assert not os.path.exists(folder) or not os.listdir(folder)


def main(data_dir: str, model_dir: str, bindings: str) -> int:
    index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
    own = [*SETTINGS, f"DATA_DIR = '{data_dir}'", *json.loads(bindings)[index]]
    flags = ["--gin_file=supervised/shapes.gin", f"--model_dir={model_dir}"]
    return train.main([*flags, *(f"--gin_bindings={each}" for each in own)])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
