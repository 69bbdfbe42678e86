"""The command lines end to end, on a few tiny pictures."""

import json
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from data_prep import shapes
from data_prep.writer import Writer
from wss import config, eval, runs, train
from wss.training import fitting, loop

pytestmark = pytest.mark.usefixtures("plain_backbone")

TINY = [
    "MODEL_VARIANT = 'plain'",
    "CROP_SIZE = 33",
    "EVAL_CROP_SIZE = 33",
    "BATCH_SIZE = 2",
    "TRAIN_STEPS = 3",
    "CHECKPOINT_INTERVAL = 2",
    "EVAL_INTERVAL = 0",
    "DeepLabV3Plus.aspp_channels = 8",
    "DeepLabV3Plus.decoder_channels = 8",
]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes")
    difficulty = shapes.Difficulty(size=33)
    shapes.write(Writer(str(path)), 32, 2, difficulty=difficulty)
    return path


def run(data_dir, model_dir, *bindings, gin_file="shapes.gin", flags=()):
    """Exit status of a tiny run."""
    bindings = [*TINY, f"DATA_DIR = '{data_dir}'", *bindings]
    return train.main(
        [
            f"--gin_file={gin_file}",
            f"--model_dir={model_dir}",
            *(f"--gin_bindings={binding}" for binding in bindings),
            *flags,
        ]
    )


def read_metrics(model_dir):
    return json.loads((model_dir / "metrics.json").read_text())


def read_variables(checkpoint):
    reader = tf.train.load_checkpoint(str(checkpoint))
    values = map(reader.get_tensor, sorted(reader.get_variable_to_shape_map()))
    return [value for value in values if isinstance(value, np.ndarray)]


@pytest.mark.usefixtures("eagerly")
def test_train_resume_evaluate(data_dir, tmp_path, capsys):
    model_dir, stopped = tmp_path / "run", tmp_path / "stopped"
    assert run(data_dir, model_dir) == 0
    printed = capsys.readouterr().out
    assert "shapes, 5 classes: 1-32 (1 labeled images), train (32 without" in printed
    assert "step 3/3" in printed and "mIoU" in printed and "triangle" in printed
    stored = set(os.listdir(model_dir))
    assert {"config.gin", "operative_config.gin", "metrics.json", "train"} <= stored
    metrics = read_metrics(model_dir)
    assert metrics["step"] == 3 and metrics["images"] == 2

    assert tf.io.gfile.exists(f"{model_dir}/best-3.index")

    # The same run, stopped after its checkpoint of step 2.
    stopped.mkdir()
    for name in stored:
        if name.startswith("ckpt-2"):
            shutil.copy(model_dir / name, stopped)
    (stopped / "checkpoint").write_text('model_checkpoint_path: "ckpt-2"\n')
    assert run(data_dir, stopped) == 0
    assert "Continuing from" in capsys.readouterr().out
    assert read_metrics(stopped)["step"] == 3
    undisturbed = read_variables(model_dir / "ckpt-3")
    for value, expected in zip(read_variables(stopped / "ckpt-3"), undisturbed):
        np.testing.assert_array_equal(value, expected)

    (model_dir / "metrics.json").unlink()
    assert eval.main([f"--model_dir={model_dir}", "--checkpoint=best"]) == 0
    best = f"{model_dir}/best-3"
    assert read_metrics(model_dir) == {**metrics, "checkpoint": best}
    flags = ["--scales", "0.75", "1", "--flip", "--sliding_window", "--boundary"]
    smaller = "--gin_bindings=EVAL_CROP_SIZE = (25, 33)"
    flags += ["--image_labels", smaller, f"--model_dir={model_dir}"]
    assert eval.main(flags) == 0
    protocol = "windows of 25 x 33, stride 0.6667, scales 0.75 1, mirrored too"
    assert read_metrics(model_dir)["protocol"]["text"] == protocol
    assert set(read_metrics(model_dir)["image_labels"]) == {
        "accuracy",
        "precision",
        "recall",
    }
    capsys.readouterr()
    assert run(data_dir, model_dir) == 0
    assert "This run is already finished, after 3 steps." in capsys.readouterr().out


@pytest.mark.usefixtures("eagerly")
def test_two_replicas_and_image_level_labels(data_dir, tmp_path, capsys):
    bindings = ["get_strategy.logical_cpus = 2", "PseudoSeg.weakly = True"]
    bindings += ["TRAIN_STEPS = 1"]
    assert run(data_dir, tmp_path, *bindings, flags=["--mode=train"]) == 0
    printed = capsys.readouterr().out
    assert "2 x (1 labeled + 1 unlabeled)" in printed and "CPU:0, CPU:1" in printed
    assert "step 1/1" in printed and "mIoU" not in printed


@pytest.mark.usefixtures("eagerly")
def test_the_baseline_starts_from_another_run(data_dir, tmp_path, caplog, capsys):
    arguments = {"gin_file": "supervised/shapes.gin", "flags": ["--mode=train"]}
    assert run(data_dir, tmp_path / "a", "TRAIN_STEPS = 1", **arguments) == 0
    assert "warning" not in capsys.readouterr().out
    bindings = [f"INIT_CHECKPOINT = '{tmp_path / 'a'}'", "EVAL_CROP_SIZE = 129"]
    assert run(data_dir, tmp_path / "b", "TRAIN_STEPS = 1", *bindings, **arguments) == 0
    warning = "warning  crops are too small for these atrous rates: 12. "
    assert warning in capsys.readouterr().out
    assert "90 variables loaded, 4 skipped, 0 missing" in caplog.text


@pytest.mark.parametrize(
    "binding, message",
    [
        ("BATCH_SZE = 4", "Did you mean BATCH_SIZE?"),
        ("LABELED_SPLIT = '1-3'", "Splits there: 1-16, 1-32, 1-4, 1-8, train, val."),
        ("DATA_DIR = 'nowhere'", "No TFRecord shards match nowhere/val-*."),
        (
            "CROP_SIZE = 32",
            "each side has to be a multiple of the output stride 8 plus one",
        ),
        ("EVAL_CROP_SIZE = (33, 40)", "Choose 33 or 41 instead of 40."),
        ("BATCH_SIZE = 3", "BATCH_SIZE = 3 does not divide over 2 replicas."),
        ("TRAIN_STEPS = 0", "TRAIN_STEPS = 0: it has to be a whole number above 0."),
        ("MODEL_VARIANT = 'resnet'", "no such backbone. Choose one of"),
        ("UNLABELED_SPLIT = None", "Set UNLABELED_SPLIT."),
        ("STRONG_AUGMENTATION = 'blur'", "Unknown strong augmentation 'blur'."),
        ("INIT_CHECKPOINT = 'nowhere'", "There is no checkpoint nowhere."),
        ("Predictor.window = 'tiles'", "'whole', 'unpadded' or 'sliding'."),
        ("DATA_DIR = ''", "DATA_DIR = '': it is empty; it has to be a text in quotes."),
        ("DATA_DIR = 'http://a/b'", "http://a/b/dataset.json cannot be reached (File"),
        ("DATA_DIR = '/dev/null'", "/dev/null is not a folder. Set DATA_DIR"),
        (
            "Method.supervised_loss = @learning_rate",
            "Method.supervised_loss is not a loss of labels",
        ),
        ("LABELED_SPLIT = 'val+'", "The split 'val+' has an empty name next to a '+'."),
        (
            "DeepLabV3Plus.multi_grid = (1, 2, 4)",
            "DeepLabV3Plus.multi_grid = (1, 2, 4) has 3 rates",
        ),
        (
            "softmax_cross_entropy.class_weights = (1, 2)",
            "class_weights has 2 numbers for 5 classes. Give one for each class",
        ),
        ("Experiment.dataset = 'shape'", "There is no data set 'shape'."),
    ],
)
def test_mistakes_are_one_line_and_status_2(
    data_dir, tmp_path, capsys, binding, message
):
    two_replicas = "get_strategy.logical_cpus = 2"
    assert run(data_dir, tmp_path / "run", two_replicas, binding) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "run").exists()


def test_mistakes_are_found_before_the_network_is_built(
    data_dir, tmp_path, monkeypatch
):
    built = []
    monkeypatch.setattr(loop, "build_method", lambda experiment: built.append(1))
    for binding in (
        "DeepLabV3Plus.multi_grid = (1, 2, 4)",
        "softmax_cross_entropy.class_weights = (1, 2)",
    ):
        assert run(data_dir, tmp_path / "run", binding) == 2
    assert not built
    # Unused weights are not reported.
    unused = "softmax_cross_entropy.class_weights = (1, 2)"
    bindings = ["Method.supervised_loss = @ohem_cross_entropy", unused]
    with pytest.raises(AttributeError):  # It reached the network.
        run(data_dir, tmp_path / "run", *bindings)
    assert built


@pytest.mark.usefixtures("eagerly")
def test_student_and_teacher_are_evaluated_from_a_checkpoint_too(
    data_dir, tmp_path, capsys
):
    model_dir = tmp_path / "run"
    small = ["Contrast.depth = 8", "Contrast.queries = 8", "Contrast.negatives = 4"]
    small += ["Contrast.bank_capacity = 20", "Contrast.first_bank_capacity = 20"]
    small += ["TRAIN_STEPS = 1"]
    assert run(data_dir, model_dir, *small, gin_file="u2pl/shapes.gin") == 0
    metrics = read_metrics(model_dir)
    assert metrics["network"] == "teacher"
    (model_dir / "metrics.json").unlink()
    assert eval.main([f"--model_dir={model_dir}"]) == 0
    last = f"{model_dir}/ckpt-1"
    assert read_metrics(model_dir) == {**metrics, "checkpoint": last}
    assert eval.main([f"--model_dir={model_dir}", "--image_labels"]) == 2
    assert "U2PL trains no classifier of whole images" in capsys.readouterr().err
    record = json.loads((model_dir / "run.json").read_text())
    assert record["final"] == metrics and record["images"]["val"] == metrics["images"]


def test_evaluating_what_was_never_trained(data_dir, tmp_path, capsys):
    assert eval.main([f"--model_dir={tmp_path}"]) == 2
    assert "is not the folder of a run" in capsys.readouterr().err
    assert run(data_dir, tmp_path, flags=["--mode=eval"]) == 2
    assert "There is no checkpoint in" in capsys.readouterr().err


def test_a_training_in_a_bucket_is_opened(data_dir, tmp_path):
    config.load(["shapes.gin"], [*TINY, f"DATA_DIR = '{data_dir}'"])
    with tf.io.gfile.GFile("ram://bucket/run/config.gin", "w") as file:
        file.write(config.text())
    opened = runs.open_trained("ram://bucket/run", ["SEED = 5"])
    assert (opened.model_dir, opened.seed) == ("ram://bucket/run", 5)


@pytest.mark.usefixtures("eagerly")
def test_another_configuration_in_the_same_folder(data_dir, tmp_path, capsys):
    arguments = {"gin_file": "supervised/shapes.gin", "flags": ["--mode=train"]}
    assert run(data_dir, tmp_path, "TRAIN_STEPS = 1", **arguments) == 0
    before = (tmp_path / "config.gin").read_bytes()
    capsys.readouterr()
    assert run(data_dir, tmp_path, "SEED = 3", "TRAIN_STEPS = 2", **arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {tmp_path} holds a run with another")
    assert "SEED is 0 there and 3 here; TRAIN_STEPS is 1 there and 2 here" in error
    assert error.count("\n") == 1
    assert (tmp_path / "config.gin").read_bytes() == before
    settings = ["TRAIN_STEPS = 1", "CHECKPOINT_INTERVAL = 7"]
    assert run(data_dir, tmp_path, *settings, **arguments) == 0
    assert "This run is already finished" in capsys.readouterr().out


@pytest.mark.parametrize("name", config.experiments())
def test_published_experiments_are_well_formed(name):
    config.load([name], choose=fitting.chooser([]))
    with open(os.path.join(config.CONFIG_DIR, name), encoding="utf-8") as file:
        header = file.read().split("include")[0]
    assert f"python -m wss.train --gin_file=gin_configs/{name}" in header
    assert "Paper:" in header and "Cost:" in header and "Data:" in header


@pytest.mark.usefixtures("eagerly")
def test_the_baseline_first(data_dir, tmp_path, capsys):
    model_dir, beside = tmp_path / "run", tmp_path / "run_supervised"
    bindings = ["Experiment.machine = 'cpu'", "UNLABELED_SPLIT = 'val'"]
    bindings += ["TRAIN_STEPS = 1"]
    assert run(data_dir, model_dir, "UNLABELED_SPLIT = 'no'", flags=["--baseline"]) == 2
    assert not beside.exists()  # Checked before the baseline is trained.
    capsys.readouterr()
    assert run(data_dir, model_dir, *bindings, flags=["--baseline"]) == 0
    printed = capsys.readouterr().out
    assert printed.index("method   Supervised") < printed.index("method   PseudoSeg")
    assert printed.count("fitted   network, crops, batch and steps fit a CPU") == 2
    sentence = printed.splitlines()[-1]
    run_metrics, of_baseline = read_metrics(model_dir), read_metrics(beside)
    scores = [100 * one["mean_iou"] for one in (run_metrics, of_baseline)]
    assert sentence == (
        f"The unlabeled photos brought {scores[0] - scores[1]:+.1f} points of mean IoU "
        f"on the {of_baseline['images']} images of val: {scores[0]:.1f} in "
        f"{model_dir}, {scores[1]:.1f} with the supervised baseline in {beside}."
    )
    # Repeated, both are finished; without the flag, the baseline is still beside it.
    assert run(data_dir, model_dir, *bindings, flags=["--baseline"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("This run is already finished") == 2
    assert run(data_dir, model_dir, *bindings) == 0
    assert capsys.readouterr().out.splitlines()[-1] == sentence
