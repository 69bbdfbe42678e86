"""What may differ between two starts of one training, and what may not."""

import pytest

from wss import config, config_changes, runs  # noqa: F401  (for gin files)


def text(*bindings):
    config.load(["shapes.gin"], bindings)
    return config.text()


@pytest.mark.parametrize(
    "binding, changes",
    [
        ("SEED = 0", []),
        ("SEED = 1", ["SEED is 0 there and 1 here"]),
        ("CROP_SIZE = (65, 33)", ["CROP_SIZE is 65 there and (65, 33) here"]),
        ("TRAIN_STEPS = 9", ["TRAIN_STEPS is 1500 there and 9 here"]),
        ("fuse.temperature = 0.5", []),
        ("fuse.temperature = 0.7", ["fuse.temperature is 0.5 there and 0.7 here"]),
        ("Experiment.seed = 3", ["SEED is 0 there and 3 here"]),
        (
            "learning_rate.power = 1.0",
            ["learning_rate.power is 0.9 there and 1.0 here"],
        ),
        ("learning_rate.power = 0.9", []),  # The default.
        (
            "Experiment.method = @Supervised",
            ["Experiment.method is @PseudoSeg there and @Supervised here"],
        ),
        ("DATA_DIR = 'elsewhere'", []),
        ("CHECKPOINT_INTERVAL = 1", []),
        ("EVAL_INTERVAL = 1", []),
        ("run_training.log_interval = 1", []),
    ],
)
def test_one_setting(binding, changes):
    assert config_changes.find(text(), text(binding)) == changes


def test_several_settings_and_one_that_is_gone():
    old = text("SEED = 1", "BATCH_SIZE = 4", "learning_rate.power = 1.0")
    assert config_changes.find(old, text()) == [
        "BATCH_SIZE is 4 there and 8 here",
        "SEED is 1 there and 0 here",
        "learning_rate.power is 1.0 there and 0.9 here",
    ]


def test_names_that_are_no_longer_known():
    old = text() + "\nGone.size = 3\n"
    assert config_changes.find(old, text()) == ["Gone.size is 3 there and None here"]
