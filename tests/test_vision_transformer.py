"""A run on a vision transformer, from its first step to its exports.

Most of it operation by operation, which is quicker than to trace it; graphs and XLA are
in tests/models/test_dpt.py.
"""

import json
import os
import shutil

import gin
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import wss
from data_prep import shapes
from data_prep.writer import Writer
from tests import trained
from tests.evaluation.test_predictor import reference_resize
from tests.methods.test_methods import make_batch
from tests.methods.test_methods import run as run_method
from tests.models.transformers import VARIANT, registered
from tests.trained import eagerly
from tests.training import tiny
from wss import eval, export, predict, runs, train, vis
from wss.errors import UserError
from wss.evaluation.evaluator import build_evaluator
from wss.experiment import evaluation_batches
from wss.models.dpt import DPT
from wss.models.tf1_checkpoint import named_variables

SETTINGS = [
    f"MODEL_VARIANT = '{VARIANT}'",
    "CROP_SIZE = 28",
    "EVAL_CROP_SIZE = 42",
    "BATCH_SIZE = 2",
    "TRAIN_STEPS = 3",
    "CHECKPOINT_INTERVAL = 2",
    "EVAL_INTERVAL = 0",
]


@pytest.fixture(scope="module", autouse=True)
def registration():
    with registered():
        yield


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("shapes")
    shapes.write(Writer(str(path)), 32, 2, difficulty=shapes.Difficulty(size=33))
    return path


def run(data_dir, model_dir, *bindings, gin_file="shapes.gin"):
    """Exit status of a tiny run."""
    bindings = [*SETTINGS, f"DATA_DIR = '{data_dir}'", *bindings]
    flags = [f"--gin_bindings={binding}" for binding in bindings]
    flags += [f"--gin_file={gin_file}", f"--model_dir={model_dir}", "--mode=train"]
    with eagerly():
        return train.main(flags)


@pytest.fixture(scope="module")
def model_dir(data_dir, tmp_path_factory):
    """The folder of a run of PseudoSeg."""
    path = tmp_path_factory.mktemp("run")
    assert run(data_dir, path) == 0
    gin.clear_config()
    return path


@pytest.fixture
def clean():
    yield
    gin.clear_config()


def read_variables(checkpoint):
    reader = tf.train.load_checkpoint(str(checkpoint))
    values = map(reader.get_tensor, sorted(reader.get_variable_to_shape_map()))
    return [value for value in values if isinstance(value, np.ndarray)]


@pytest.mark.usefixtures("clean")
def test_a_resumed_run_has_the_numbers_of_an_undisturbed_one(
    data_dir, model_dir, tmp_path, capsys
):
    for path in model_dir.glob("ckpt-2.*"):
        shutil.copy(path, tmp_path)
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "ckpt-2"\n')
    assert run(data_dir, tmp_path) == 0
    printed = capsys.readouterr().out
    assert f"{VARIANT}, output stride 14, " in printed and "Continuing" in printed
    expected = read_variables(model_dir / "ckpt-3")
    for value, other in zip(read_variables(tmp_path / "ckpt-3"), expected):
        np.testing.assert_array_equal(value, other)


@pytest.mark.usefixtures("clean", "eagerly")
@pytest.mark.parametrize(
    "flags, protocol",
    [
        (["--scales", "0.75", "1", "--flip"], "whole images padded to 42 x 42, scales"),
        (
            ["--sliding_window", "--gin_bindings=EVAL_CROP_SIZE = (28, 14)"],
            "windows of 28 x 14, stride 0.6667",
        ),
    ],
)
def test_evaluation(model_dir, flags, protocol):
    assert eval.main([f"--model_dir={model_dir}", *flags]) == 0
    metrics = json.loads((model_dir / "metrics.json").read_text())
    assert metrics["step"] == 3
    assert metrics["protocol"]["text"].startswith(protocol)


@pytest.mark.usefixtures("clean", "eagerly")
def test_masks_and_pictures(model_dir, tmp_path):
    photo = np.random.RandomState(0).randint(0, 256, [30, 50, 3], np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo).save(tmp_path / "photos" / "a.png")
    out = tmp_path / "predicted"
    arguments = [f"--model_dir={model_dir}", f"--images={tmp_path / 'photos'}"]
    assert predict.main([*arguments, f"--output_dir={out}"]) == 0
    mask = np.asarray(Image.open(out / "masks" / "a.png"))
    np.testing.assert_array_equal(mask, wss.load(str(model_dir)).predict_mask(photo))
    pictures = tmp_path / "pictures"
    assert vis.main([f"--model_dir={model_dir}", f"--output_dir={pictures}"]) == 0
    assert len(os.listdir(pictures)) >= 2  # With Grad-CAM and attention.


UNPADDED = "Predictor.window = 'unpadded'"


@pytest.fixture(scope="module")
def unpadded_run(data_dir, tmp_path_factory):
    """The folder of a run of UniMatch V2, evaluated like one that trains."""
    path, methods = tmp_path_factory.mktemp("unpadded"), []
    image = np.random.RandomState(1).randint(0, 256, [1, 28, 28, 3])

    def tell_pixels_apart(method):
        methods.append(method)
        for shift, network in enumerate(method.evaluated_networks.values()):
            variables = named_variables(network)
            kernel = variables["logits/semantic/weights"]
            kernel.assign(tf.roll(kernel, shift, -1))  # The student has other classes.
            logits = network(tf.constant(image, tf.float32))
            variables["logits/semantic/biases"].assign(
                -tf.reduce_mean(logits, (0, 1, 2))
            )

    settings = [*SETTINGS, UNPADDED, "get_strategy.logical_cpus = 1"]
    options = {"data_dir": data_dir, "gin_file": "unimatch_v2/shapes.gin", "step": 3}
    trained.make(path, *settings, **options, change=tell_pixels_apart)
    networks = methods[0].evaluated_networks
    build_evaluator(runs.reopen(str(path)), networks).evaluate(3)
    gin.clear_config()
    return path


def mean_ious(model_dir):
    """Of the teacher and the student, as evaluated last."""
    metrics = json.loads((model_dir / "metrics.json").read_text())
    assert metrics["protocol"]["text"].startswith("whole images unpadded, up to 42 x")
    assert metrics["network"] == "teacher" and metrics["step"] == 3
    return [metrics["mean_iou"], metrics["student"]["mean_iou"]]


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("cpus", [1, 2])
def test_unpadded_evaluation(unpadded_run, cpus):
    """Teacher and student, in training and after it, as UniMatch V2's code does it."""
    found = mean_ious(unpadded_run)
    assert abs(found[0] - found[1]) > 0.01
    binding = f"--gin_bindings=get_strategy.logical_cpus = {cpus}"
    assert eval.main([f"--model_dir={unpadded_run}", binding]) == 0
    assert mean_ious(unpadded_run) == pytest.approx(found, abs=1e-4)
    models = runs.load_all(str(unpadded_run))
    batches = list(evaluation_batches(runs.reopen(str(unpadded_run))))
    for model, mean_iou in zip(models, found):
        confusion = np.zeros([5, 5])
        for batch in batches:
            image, label = batch["image"][0].numpy(), batch["label"][0].numpy()
            scaled = reference_resize(image.astype(np.float64), (28, 28))
            logits = model.network(scaled[np.newaxis].astype(np.float32))
            logits = reference_resize(logits.numpy()[0].astype(np.float64), (28, 28))
            predicted = reference_resize(logits, (33, 33)).argmax(-1)
            kept = label != model.spec.ignore_label
            np.add.at(confusion, (label[kept], predicted[kept]), 1)
        union = confusion.sum(0) + confusion.sum(1) - np.diag(confusion)
        present = union > 0
        expected = np.mean(np.diag(confusion)[present] / union[present])
        # A few of 2178 pixels are ties.
        assert mean_iou == pytest.approx(expected, abs=2e-3)


@pytest.mark.usefixtures("clean")
def test_masks_pictures_and_exports_of_an_unpadded_run(unpadded_run, tmp_path, capsys):
    photo = np.random.RandomState(0).randint(0, 256, [31, 45, 3], np.uint8)
    (tmp_path / "photos").mkdir()
    Image.fromarray(photo).save(tmp_path / "photos" / "a.png")
    model = wss.load(str(unpadded_run))
    assert model.predictor.window == "unpadded"
    expected = model.predict_mask(photo)
    arguments = [f"--model_dir={unpadded_run}", f"--images={tmp_path / 'photos'}"]
    for name, flags in (("unpadded", []), ("windows", ["--sliding_window"])):
        assert (
            predict.main([*arguments, f"--output_dir={tmp_path / name}", *flags]) == 0
        )
        mask = np.asarray(Image.open(tmp_path / name / "masks" / "a.png"))
        assert np.array_equal(mask, expected) == (name == "unpadded")
    pictures = f"--output_dir={tmp_path / 'pictures'}"
    assert vis.main([f"--model_dir={unpadded_run}", pictures]) == 0
    teacher = 100 * mean_ious(unpadded_run)[0]
    assert f"mIoU {teacher:.2f} at step 3" in capsys.readouterr().out
    out = f"--output_dir={tmp_path / 'exported'}"
    flags = ["--formats", "keras"]
    assert export.main([f"--model_dir={unpadded_run}", out, *flags]) == 0
    assert "they see whole images padded to 42 x 42." in capsys.readouterr().out
    padded = wss.load(str(tmp_path / "exported" / "model.keras"))
    assert padded.predictor.window == "whole"


@pytest.mark.usefixtures("clean", "eagerly")
def test_the_classifier_of_an_unpadded_run(model_dir):
    flags = ["--image_labels", f"--gin_bindings={UNPADDED}"]
    assert eval.main([f"--model_dir={model_dir}", *flags]) == 0
    metrics = json.loads((model_dir / "metrics.json").read_text())
    assert 0 <= metrics["image_labels"]["accuracy"] <= 1


@pytest.mark.usefixtures("clean")
def test_every_export_predicts_the_same(model_dir, tmp_path, capsys):
    # The command compares them and refuses what differs.
    flags = ["--formats", "savedmodel", "tflite", "keras", "tf1"]
    assert (
        export.main([f"--model_dir={model_dir}", f"--output_dir={tmp_path}", *flags])
        == 0
    )
    names = {"saved_model", "model.tflite", "model.keras", "tf1"}
    assert names <= set(os.listdir(tmp_path))
    loaded = tf.keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.network, DPT)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    "binding, message",
    [
        (
            "CROP_SIZE = 33",
            "CROP_SIZE = 33: each side has to be a multiple of 14, the patch size",
        ),
        ("CROP_SIZE = 13", "Choose 14 or 28 instead of 13."),
        ("EVAL_CROP_SIZE = (42, 43)", "Choose 42 or 56 instead of 43."),
        ("DPT.position_offset = -1", "DPT.position_offset = -1"),
    ],
)
def test_mistakes(data_dir, tmp_path, capsys, binding, message):
    assert run(data_dir, tmp_path / "run", binding) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("clean")
def test_the_backbone_has_a_rate_of_its_own(data_dir, tmp_path):
    """With a rate of 0 only the decoder and the classifiers change."""
    arguments = ["BACKBONE_RATE = 0.0", "TrainingStep.weight_decay = 0.0"]
    arguments += ["TRAIN_STEPS = 1"]
    assert run(data_dir, tmp_path, *arguments, gin_file="supervised/shapes.gin") == 0
    before = named_variables(tiny_network())
    after = wss.load(str(tmp_path)).network
    changed = {
        name.partition("/")[0]
        for name, variable in named_variables(after).items()
        if not np.array_equal(variable, before[name])
    }
    assert changed == {"dpt", "logits"}


def tiny_network():
    tf.keras.utils.set_random_seed(0)
    return DPT(5, VARIANT)


@pytest.mark.parametrize(
    "name, options",
    [
        ("Supervised", {"auxiliary_weight": 0.4}),
        ("PseudoSeg", {}),
        ("PseudoSeg", {"attention_strides": (13, 14, 16)}),
        ("FixMatch", {}),
        ("UniMatch", {}),
        ("UniMatchV2", {}),
        ("U2PL", {"warm_up_steps": 1, "auxiliary_weight": 0.4}),
    ],
)
def test_every_method(name, options):
    batch = tf.nest.map_structure(
        lambda x: x[:, :28, :28] if x.shape.rank > 2 else x, make_batch()
    )
    batch["unlabeled"]["strong_2"] = batch["unlabeled"]["strong"]
    tf.keras.utils.set_random_seed(1)
    method = gin.get_configurable(name)(DPT(tiny.CLASSES, VARIANT), 255, **options)
    method.build()
    variables = named_variables(method.model)

    def gradients():
        with tf.GradientTape() as tape:
            losses = run_method(method, batch, step=5).losses
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, variables)

    losses, found = gradients()
    assert all(np.isfinite(value) for value in losses.values())
    without = {k for k, gradient in found.items() if gradient is None}
    classifies = {f"{VARIANT}/logits/{leaf}" for leaf in ("weights", "biases")}
    assert without == (set() if name == "PseudoSeg" else classifies)


def test_grad_cam_is_computed_where_the_classifier_reads():
    with pytest.raises(UserError, match="(13, 15).* have to contain 16"):
        gin.get_configurable("PseudoSeg")(
            DPT(tiny.CLASSES, VARIANT), 255, attention_strides=(13, 15)
        )
