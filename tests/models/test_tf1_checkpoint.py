"""Checkpoints: TF1 names, heads of other classes, ours, and what is no checkpoint."""

import os

import numpy as np
import pytest
import tensorflow as tf

from tests.models.networks import small_model
from wss.errors import UserError
from wss.models import tf1_checkpoint
from wss.models.tf1_checkpoint import named_variables

HEADS = [
    "logits/semantic/biases",
    "logits/semantic/weights",
    "resnet_v1_18/logits/biases",
    "resnet_v1_18/logits/weights",
]

ENDINGS = (".index", ".meta", ".data-00000-of-00001")


def write_tf1(prefix, arrays):
    """Like a TF1 saver: tensors by variable name."""
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=list(arrays),
        shape_and_slices=[""] * len(arrays),
        tensors=[tf.constant(value) for value in arrays.values()],
    )
    return str(prefix)


@pytest.fixture(scope="module")
def arrays():
    """A TF1 run of 7 classes, with optimizer slots and a step."""
    arrays, random = {}, np.random.RandomState(0)
    for name, variable in named_variables(small_model(num_classes=7)).items():
        arrays[name] = random.normal(size=variable.shape).astype(np.float32)
        if variable.trainable:
            arrays[f"{name}/Momentum"] = np.zeros(variable.shape, np.float32)
    arrays["global_step"] = np.int64(30000)
    return arrays


def assert_equals(model, arrays, names):
    variables = named_variables(model)
    for name in names:
        np.testing.assert_array_equal(variables[name], arrays[name], err_msg=name)


def test_names():
    variables = named_variables(small_model())
    unit = "resnet_v1_18/block1/unit_1/lite_bottleneck_v1"
    assert variables[f"{unit}/conv1/weights"].shape == (3, 3, 32, 16)
    assert variables[f"{unit}/shortcut/BatchNorm/moving_variance"].shape == (16,)
    assert variables["aspp1_depthwise/depthwise_weights"].shape == (3, 3, 128, 1)
    assert variables["logits/semantic/biases"].shape == (5,)


def test_a_run_of_the_same_classes_loads_whole(tmp_path, arrays):
    model = small_model(num_classes=7)
    report = tf1_checkpoint.restore(write_tf1(tmp_path / "model.ckpt", arrays), model)
    assert len(report.loaded) == 189 and not report.skipped and not report.missing
    assert_equals(model, arrays, report.loaded)


def test_heads_of_other_classes_are_skipped(tmp_path, arrays, caplog):
    model = small_model()
    before = named_variables(model)["logits/semantic/weights"].numpy()
    with caplog.at_level("DEBUG", logger="absl"):
        report = tf1_checkpoint.restore(
            write_tf1(tmp_path / "model.ckpt", arrays), model
        )
    assert list(report.skipped) == HEADS
    assert report.skipped["logits/semantic/biases"] == "[7] in the checkpoint, [5] here"
    assert_equals(model, arrays, report.loaded)
    np.testing.assert_array_equal(
        named_variables(model)["logits/semantic/weights"], before
    )
    assert "185 variables loaded, 4 skipped, 0 missing" in caplog.text
    assert "skipped logits/semantic/biases: [7]" in caplog.text


def test_a_checkpoint_of_the_backbone_leaves_the_rest_missing(tmp_path, arrays):
    backbone = {
        name: value
        for name, value in arrays.items()
        if name.startswith("resnet_v1_18/block")
    }
    report = tf1_checkpoint.restore(
        write_tf1(tmp_path / "model.ckpt", backbone), small_model()
    )
    assert all(name.startswith("resnet_v1_18/block") for name in report.loaded)
    assert "aspp0/weights" in report.missing and not report.skipped


def test_excluded_scopes_keep_their_values(tmp_path, arrays):
    path = write_tf1(tmp_path / "model.ckpt", arrays)
    report = tf1_checkpoint.restore(
        path, small_model(num_classes=7), exclude=("logits/", "decoder/")
    )
    assert report.skipped["decoder/feature_projection0/weights"] == "excluded"
    assert "logits/semantic/weights" in report.skipped
    assert "resnet_v1_18/logits/weights" in report.loaded


def test_a_directory_stands_for_its_latest(tmp_path, arrays):
    write_tf1(tmp_path / "model.ckpt", arrays)  # Unpacked, without `checkpoint`.
    given = ["", *(f"model.ckpt{end}" for end in ("", *ENDINGS)), "checkpoint"]
    for path in (tmp_path / name for name in given):
        assert tf1_checkpoint.find(str(path)) == str(tmp_path / "model.ckpt")
    write_tf1(tmp_path / "other.ckpt", arrays)
    with pytest.raises(UserError, match="model.ckpt, other.ckpt"):
        tf1_checkpoint.find(str(tmp_path))


def test_our_own_checkpoints(tmp_path):
    saved, restored, other = small_model(), small_model(), small_model(num_classes=6)
    named = named_variables(saved)
    slots = tf.Module()
    slots.accumulators = {
        name: tf.Variable(tf.zeros(v.shape), name=f"{name}/Momentum")
        for name, v in named.items()
    }
    checkpoint = tf.train.Checkpoint(
        step=tf.Variable(3, dtype=tf.int64), model=saved, optimizer=slots
    )
    manager = tf.train.CheckpointManager(checkpoint, str(tmp_path), max_to_keep=2)
    manager.save()
    report = tf1_checkpoint.restore(str(tmp_path), restored)
    assert len(report.loaded) == 189
    assert_equals(restored, named, report.loaded)
    report = tf1_checkpoint.restore(manager.latest_checkpoint, other)
    assert list(report.skipped) == HEADS and not report.missing


def test_the_average_beside_a_network(tmp_path):
    method = tf.Module()
    method.model, method.teacher = small_model(), tf.Module()
    method.teacher.model = method.model.clone()
    networks = {False: method.model, True: method.teacher.model}
    saver = tf.train.Checkpoint(model=method.model, method=method)
    path = saver.save(str(tmp_path / "ckpt"))
    for average, network in networks.items():
        restored = small_model()
        report = tf1_checkpoint.restore(path, restored, average=average)
        assert len(report.loaded) == 189
        assert_equals(restored, named_variables(network), report.loaded)
    path = tf.train.Checkpoint(model=method.model).save(str(tmp_path / "other"))
    report = tf1_checkpoint.restore(path, restored, average=True)
    assert_equals(restored, named_variables(method.model), report.loaded)


def test_our_own_checkpoints_of_two_replicas(tmp_path, two_cpus):
    with two_cpus.scope():
        saved, restored = small_model(), small_model()
    path = tf.train.Checkpoint(model=saved).save(str(tmp_path / "ckpt"))
    report = tf1_checkpoint.restore(path, restored)
    assert len(report.loaded) == 189
    for value in named_variables(restored)["aspp0/weights"].values:
        np.testing.assert_array_equal(value, named_variables(saved)["aspp0/weights"])


def test_export_is_read_back(tmp_path):
    saved, restored = small_model(), small_model()
    path = str(tmp_path / "model.ckpt")
    tf1_checkpoint.export(path, saved)
    assert tf.train.load_checkpoint(path).has_tensor("aspp0/weights")
    report = tf1_checkpoint.restore(path, restored)
    assert_equals(restored, named_variables(saved), report.loaded)


def test_nothing_that_fits_is_an_error(tmp_path):
    path = write_tf1(
        tmp_path / "model.ckpt", {"xception_65/logits/biases": np.zeros(5)}
    )
    with pytest.raises(UserError, match="xception_65/logits.*MODEL_VARIANT"):
        tf1_checkpoint.restore(path, small_model())


@pytest.mark.parametrize("content", [b"", b"\x93\xff", b"model_checkpoint_path: 3"])
def test_a_directory_whose_list_is_damaged(tmp_path, content):
    (tmp_path / "checkpoint").write_bytes(content)
    path = write_tf1(tmp_path / "model.ckpt", {"a": np.zeros(5)})
    for given in (tmp_path, tmp_path / "checkpoint"):
        assert tf1_checkpoint.find(str(given)) == path


@pytest.mark.parametrize("ending", [".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_checkpoint_that_is_cut_off(tmp_path, arrays, ending, share):
    path = write_tf1(tmp_path / "model.ckpt", arrays)
    file = tmp_path / f"model.ckpt{ending}"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(UserError, match="is damaged or not a .* Copy it again"):
        tf1_checkpoint.restore(path, small_model(num_classes=7))


@pytest.mark.parametrize(
    "name, content, what",
    [
        ("weights.h5", b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
        ("weights.keras", b"PK\x03\x04", "an archive of Keras"),
        ("model.tar.gz", b"\x1f\x8b\x08", "a compressed archive"),
    ],
)
def test_files_of_other_programs(tmp_path, name, content, what):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name} is {what}.*not a TensorFlow"):
        tf1_checkpoint.find(str(tmp_path / name))


def test_what_is_no_checkpoint(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    os.mkfifo(tmp_path / "pipe")
    for path, message in (
        (tmp_path / "absent.ckpt", "There is no checkpoint"),
        (tmp_path / "notes.txt", "is not a TensorFlow checkpoint"),
        (tmp_path / "pipe", "not a regular file"),  # It is not waited for.
        (tmp_path, "has no checkpoint"),
    ):
        with pytest.raises(UserError, match=message):
            tf1_checkpoint.restore(str(path), small_model())
