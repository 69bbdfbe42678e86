"""Exports: each is read as its users read it, and predicts what the training's model
does; what differs gets no name."""

import dataclasses
import io
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import zlib
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import wss
from tests import trained
from tests.data import records
from wss import config, export, exporters, runs
from wss.errors import UserError
from wss.evaluation import segmenter
from wss.experiment import build_method
from wss.exporters import base, comparison, saved_model
from wss.exporters.base import Format
from wss.files.outputs import LIST, OutputFolder
from wss.models.deeplab import DeepLabV3Plus
from wss.models.tf1_checkpoint import named_variables
from wss.training import starting_point

CROP = 33
FILES = {
    "savedmodel": "saved_model",
    "tflite": "model.tflite",
    "tflite_float16": "model_float16.tflite",
    "keras": "model.keras",
    "tf1": "tf1",
}


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    trained.make(path, sharpness=3e4)
    return path


@pytest.fixture(scope="module")
def exported(model_dir, tmp_path_factory):
    """A folder with all formats."""
    path = tmp_path_factory.mktemp("exported")
    assert run(model_dir, path, "--formats", *exporters.NAMES) == 0
    return path


@pytest.fixture(scope="module")
def model(model_dir):
    return wss.load(str(model_dir))


def run(model_dir, output_dir, *flags):
    return export.main(
        [f"--model_dir={model_dir}", f"--output_dir={output_dir}", *flags]
    )


def blobs(height, width, seed=0):
    return comparison._blobs((height, width), seed)


def assert_same_values(model, other):
    variables, others = named_variables(model), named_variables(other)
    assert variables.keys() == others.keys()
    for name, variable in variables.items():
        np.testing.assert_array_equal(variable, others[name], err_msg=name)


def test_every_format_is_there_and_nothing_else(exported):
    assert sorted(os.listdir(exported)) == sorted(
        [*FILES.values(), "classes.json", "model_card.md", "SHA256SUMS", LIST]
    )


def test_the_report(model_dir, tmp_path, capsys):
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    records.write_split(data_dir, "val", [5])
    flags = [f"--gin_bindings=DATA_DIR = '{data_dir}'", "--formats", "keras"]
    assert run(model_dir, tmp_path / "out", *flags) == 0
    report = capsys.readouterr().out
    # Five synthetic images, and three of the split.
    assert f"keras: {tmp_path}/out/model.keras, 2.9 MiB; 8 images, largest" in report
    assert "difference of a probability 0.0e+00, equal pixels 100.000 %" in report


def _png(numbers, **options):
    file = io.BytesIO()
    Image.fromarray(numbers).save(file, "PNG", **options)
    return file.getvalue()


def _png_of_16_bits(numbers, kind):
    """A PNG that Pillow cannot write: 4 is gray and alpha, 2 RGB, 6 RGB and alpha."""

    def chunk(name, content):
        checksum = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + checksum

    height, width = numbers.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in numbers)
    header = struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in chunks)


def _pngs():
    """Name, content and image_bits of PNG files of all kinds."""
    random = np.random.default_rng(0)

    def noise(below, *shape):
        return random.integers(0, below, (20, 30, *shape))

    alpha = noise(2**16, 1)
    few = Image.fromarray(noise(256, 3).astype(np.uint8)).quantize(7)
    yield "grey of 12 bits", _png(noise(2**12).astype(np.uint16)), 12
    yield "grey of 16 bits", _png(noise(2**16).astype(np.uint16)), None
    yield "RGB of 12 bits", _png_of_16_bits(noise(2**12, 3), 2), 12
    yield "RGB of 16 bits", _png_of_16_bits(noise(2**16, 3), 2), None
    transparent = np.concatenate([noise(2**12, 3), alpha], axis=-1)
    yield "RGBA of 12 bits", _png_of_16_bits(transparent, 6), 12
    yield "LA of 12 bits", _png_of_16_bits(transparent[..., 2:], 4), 12
    yield "RGBA", _png(noise(256, 4).astype(np.uint8)), 12
    yield "grey", _png(noise(256).astype(np.uint8)), 12
    yield "1 bit", _png(noise(2).astype(bool)), None
    for name, options in (("palette", {}), ("one colour out", {"transparency": 2})):
        file = io.BytesIO()
        few.save(file, "PNG", **options)
        yield name, file.getvalue(), None


@pytest.mark.parametrize("name, content, bits", list(_pngs()))
def test_encoded_images_are_those_of_predict(tmp_path, name, content, bits):
    path = tmp_path / "a.png"
    path.write_bytes(content)
    decode = tf.function(saved_model._decode)
    expected = segmenter.read_image(str(path), bits)
    np.testing.assert_array_equal(decode(tf.constant(content), bits), expected)


@pytest.mark.parametrize("highest, bits", [(4096, 12), (2**15 - 1, None)])
def test_encoded_images_that_predict_refuses(tmp_path, highest, bits):
    content = _png(np.full((2, 3), highest, np.uint16))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(UserError):
        segmenter.read_image(str(tmp_path / "a.png"), bits)
    with pytest.raises(tf.errors.InvalidArgumentError, match="The PNG h"):
        saved_model._decode(tf.constant(content), bits)


def test_the_export_of_12_bits_agrees_with_predict(model_dir, tmp_path):
    model = wss.load(str(model_dir))
    model.spec = dataclasses.replace(model.spec, image_bits=12)
    saved_model.SavedModel().write(model, str(tmp_path / "saved"), 0)
    grey = blobs(40, 25)[..., 0].astype(np.uint16) << 4
    (tmp_path / "a.png").write_bytes(_png(grey))
    (mask,) = model.predict_masks([str(tmp_path / "a.png")])
    encoded = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_encoded"]
    seen = encoded(encoded=tf.constant(_png(grey)))["masks"].numpy()
    np.testing.assert_array_equal(seen, mask)
    assert len(np.unique(mask)) > 1


WITHOUT_WSS = """
import sys
sys.modules["wss"] = None  # Any import of it fails.
import numpy as np, tensorflow as tf
folder = sys.argv[1]
model = tf.saved_model.load(folder + "/saved_model")
predict = model.signatures["serving_default"]
encoded = model.signatures["serving_encoded"]
given, outputs = np.load(folder + "/given.npz"), {}
for name in given.files:
    outputs["masks_" + name] = predict(images=given[name])["masks"].numpy()
    probabilities = predict(images=given[name])["probabilities"].numpy()
    outputs["sums_" + name] = probabilities.sum(-1)
for ending in ("png", "jpg"):
    content = tf.io.read_file(folder + "/photo." + ending)
    outputs[ending] = encoded(encoded=content)["masks"].numpy()
outputs["classes"] = open(model.classes.asset_path.numpy().decode()).read()
np.savez(folder + "/outputs.npz", **outputs)
"""


def test_the_saved_model_needs_no_wss(exported, model, tmp_path):
    os.symlink(exported / "saved_model", tmp_path / "saved_model")
    batches = {
        "crop": np.stack([blobs(CROP, CROP, seed) for seed in range(3)]),
        "odd": np.stack([blobs(17, 30, seed) for seed in range(2)]),
        "large": np.stack([blobs(90, 61, seed) for seed in range(2)]),
        "wide": blobs(20, 50)[np.newaxis],
    }
    np.savez(tmp_path / "given.npz", **batches)
    for ending in ("png", "jpg"):
        Image.fromarray(blobs(40, 25)).save(tmp_path / f"photo.{ending}")
    environment = {k: v for k, v in os.environ.items() if k != "TF_USE_LEGACY_KERAS"}
    subprocess.run(
        [sys.executable, "-c", WITHOUT_WSS, str(tmp_path)],
        check=True,
        env=environment,
        cwd=tmp_path,
    )
    outputs = np.load(tmp_path / "outputs.npz")
    for name, images in batches.items():
        assert outputs[f"masks_{name}"].dtype == np.uint8
        np.testing.assert_array_equal(
            outputs[f"masks_{name}"], model.predict_masks(images)
        )
        np.testing.assert_allclose(outputs[f"sums_{name}"], 1.0, atol=1e-5)
    for ending in ("png", "jpg"):
        expected = model.predict_mask(str(tmp_path / f"photo.{ending}"))
        assert len(np.unique(expected)) > 1
        np.testing.assert_array_equal(outputs[ending], expected)
    classes = json.loads(str(outputs["classes"]))
    assert classes == json.loads((exported / "classes.json").read_text())
    assert classes["classes"][1] == {"id": 1, "name": "disk", "colour": [128, 0, 0]}


@pytest.mark.parametrize(
    "name, tolerance", [("model.tflite", 1e-5), ("model_float16.tflite", 1e-2)]
)
def test_tflite_takes_a_padded_image(exported, model, name, tolerance):
    interpreter = tf.lite.Interpreter(model_path=str(exported / name))
    predict = interpreter.get_signature_runner()
    image = blobs(21, 30)
    padded = np.full([1, CROP, CROP, 3], 127.5, np.float32)
    padded[0, :21, :30] = image
    probabilities = predict(images=padded)["probabilities"][0, :21, :30]
    expected = model.predictor.probabilities(image).numpy()
    assert 0.05 < expected.std()
    np.testing.assert_allclose(probabilities, expected, atol=tolerance)


def test_the_pages_examples_run(exported, model, tmp_path, monkeypatch):
    os.symlink(exported, tmp_path / "exported")
    exif = Image.Exif()
    exif[0x0112] = 6  # From a phone that was held upright: stored on its side.
    # A PNG inside: all decoders read the same pixels.
    Image.fromarray(blobs(61, 90)).save(tmp_path / "street.jpg", "PNG", exif=exif)
    monkeypatch.chdir(tmp_path)
    page = pathlib.Path(__file__).parents[1] / "docs" / "export.md"
    masks = []
    for example in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        names = {}
        exec(example, names)
        masks.append(names.get("mask"))
    of_wss, of_saved_model, of_tflite, of_keras, nothing = masks
    expected = model.predict_mask("street.jpg")
    assert expected.shape == (90, 61) and nothing is None
    np.testing.assert_array_equal(of_saved_model, expected)
    np.testing.assert_array_equal(of_keras, expected)
    np.testing.assert_array_equal(of_wss, expected)
    # From a copy that was shrunk in another way; on its side it would be (22, 33).
    small = Image.fromarray(expected).resize((22, 33), Image.Resampling.NEAREST)
    assert of_tflite.shape == (33, 22)
    assert np.mean(of_tflite == np.asarray(small)) > 0.8


def test_float16_weights_take_half_the_space(exported):
    sizes = [os.path.getsize(exported / FILES[f"tflite{x}"]) for x in ("", "_float16")]
    assert sizes[1] < 0.55 * sizes[0]


def test_keras_loads_the_model_without_a_configuration(exported, model):
    loaded = tf.keras.models.load_model(str(exported / "model.keras"))
    image = blobs(50, 40)
    np.testing.assert_array_equal(loaded.predict_mask(image), model.predict_mask(image))
    np.testing.assert_array_equal(
        loaded.predictor.probabilities(image), model.predictor.probabilities(image)
    )
    assert loaded.spec.class_names == model.spec.class_names
    assert_same_values(loaded.network, model.network)
    assert loaded.get_config() == model.get_config()


def test_keras_weights_of_the_network(model, tmp_path):
    """Including those of the backbone, whose layers Keras would not find."""
    path = str(tmp_path / "network.weights.h5")
    model.network.save_weights(path)
    other = DeepLabV3Plus.from_config(model.network.get_config())
    other.load_weights(path)
    assert_same_values(other, model.network)


def test_a_keras_model_keeps_its_precision(model):
    config = model.get_config()
    config["network"]["precision"] = "mixed_bfloat16"
    other = type(model).from_config(config)
    assert other.network.compute_dtype == "bfloat16"
    assert other.get_config() == config
    assert tf.keras.mixed_precision.global_policy().name == "float32"


def test_tf1_reads_the_checkpoint(exported, model):
    path = tf.train.latest_checkpoint(str(exported / "tf1"))
    assert path == str(exported / "tf1" / "model.ckpt-7")
    reader = tf.train.load_checkpoint(path)
    shapes = reader.get_variable_to_shape_map()
    expected = named_variables(model.network)
    assert set(shapes) == {*expected, "global_step"}
    assert shapes["aspp1_depthwise/BatchNorm/moving_variance"] == [128]
    with tf.Graph().as_default():
        v1 = tf.compat.v1
        step = v1.train.get_or_create_global_step()
        variables = {
            name: v1.get_variable(name, shape, trainable="moving" not in name)
            for name, shape in shapes.items()
            if name != "global_step"
        }
        saver = v1.train.Saver()
        with v1.Session() as session:
            saver.restore(session, path)
            assert session.run(step) == 7
            values = session.run(variables)
    for name, value in values.items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_a_training_begins_with_the_tf1_checkpoint(exported, model, tmp_path):
    bindings = [
        *trained.TINY,
        "DATA_DIR = 'nowhere'",
        f"INIT_CHECKPOINT = '{exported}/tf1'",
        "Experiment.initialize_last_layer = True",
    ]
    config.load(["supervised/shapes.gin"], bindings)
    experiment = runs._create(str(tmp_path), None)
    method = build_method(experiment)
    starting_point.load(experiment, method)
    assert_same_values(method.model, model.network)


def test_the_teacher_is_exported(tmp_path):
    model_dir = tmp_path / "run"
    student = trained.make(model_dir)
    method = tf.Module()
    method.model, method.teacher = student, tf.Module()
    method.teacher.model = student.clone()
    tf.train.Checkpoint(
        model=student, method=method, step=tf.Variable(9, dtype=tf.int64)
    ).write(str(model_dir / "ckpt-9"))
    assert run(model_dir, tmp_path / "out", "--formats", "tf1") == 0
    reader = tf.train.load_checkpoint(str(tmp_path / "out" / "tf1"))
    assert reader.get_tensor("global_step") == 9
    for name, variable in named_variables(method.teacher.model).items():
        np.testing.assert_array_equal(reader.get_tensor(name), variable)


class Folder(Format):
    """A folder with a text file, read as a network of its own."""

    file_name, tolerance = "folder", 1e-6

    def __init__(self, text, plus=0.0):
        self.text, self.plus = text, plus

    def write(self, model, path, step):
        os.mkdir(path)
        with open(os.path.join(path, "text"), "w") as file:
            file.write(self.text)

    def read(self, path, model):
        original = base.from_segmenter(model)

        def predict(image):
            labels, probabilities = original(image)
            return labels, probabilities + self.plus

        return predict


def test_only_what_is_equal_gets_its_name(model, tmp_path):
    def write(*arguments):
        with mock.patch.object(exporters, "create", lambda _: Folder(*arguments)):
            folder = OutputFolder(str(tmp_path))
            return export._export("", model, 0, [blobs(20, 20)], folder)

    with pytest.raises(UserError, match="it does not predict what the trained"):
        write("wrong", 2e-6)
    assert not os.listdir(tmp_path)
    path, found = write("right")
    assert path == str(tmp_path / "folder") and found.startswith("1 images, largest")
    assert (tmp_path / "folder" / "text").read_text() == "right"
    with pytest.raises(UserError, match="largest difference of a probability 2.0e-0"):
        write("wrong", 2e-6)
    assert (tmp_path / "folder" / "text").read_text() == "right"
    write("new")
    assert (tmp_path / "folder" / "text").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == [LIST, "folder"]


def test_the_others_are_exported_where_one_fails(model_dir, tmp_path, capsys):
    bfloat16 = "--gin_bindings=PRECISION = 'mixed_bfloat16'"
    assert run(model_dir, tmp_path, bfloat16, "--formats", "tflite", "keras") == 2
    printed = capsys.readouterr()
    assert printed.err.count("error: ") == 1
    assert "error: Not exported: tflite: TensorFlow Lite computes in" in printed.err
    assert printed.out.startswith("keras: ")
    assert sorted(os.listdir(tmp_path)) == sorted(
        [LIST, "SHA256SUMS", "classes.json", "model.keras", "model_card.md"]
    )
    loaded = tf.keras.models.load_model(str(tmp_path / "model.keras"))
    assert loaded.network.compute_dtype == "bfloat16"


@pytest.mark.parametrize(
    "difference, excess, passes",
    [
        (1e-6, 2e-6, True),
        (1e-6, 3e-6, False),
        (2e-6, 0.0, False),
        (float("nan"), 0.0, False),
    ],
)
def test_what_passes(difference, excess, passes):
    result = comparison.Comparison(1, difference, 1.0, excess)
    if passes:
        result.check(1e-6)
    else:
        with pytest.raises(UserError, match="does not predict"):
            result.check(1e-6)


def test_mistakes_are_one_line(model_dir, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    sliding = "--gin_bindings=Predictor.window = 'sliding'"
    for arguments, message in (
        ((tmp_path, tmp_path / "out"), "not the folder of a run"),
        ((model_dir, tmp_path / "file" / "x"), "Cannot write"),
        ((model_dir, tmp_path / "out", sliding), "predict whole images"),
    ):
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("error: ") == 1


def test_what_a_user_made_stays(model_dir, tmp_path, capsys):
    (tmp_path / "model.keras").write_bytes(b"mine")
    flags = ("--formats", "keras")
    assert run(model_dir, tmp_path, *flags) == 2
    error = capsys.readouterr().err
    assert f"the first is {tmp_path}/model.keras. Choose another --output_dir" in error
    assert os.listdir(tmp_path) == ["model.keras"]
    for more in (["--overwrite"], []):  # The second one replaces the first one's.
        assert run(model_dir, tmp_path, *flags, *more) == 0
    tf.keras.models.load_model(str(tmp_path / "model.keras"))
