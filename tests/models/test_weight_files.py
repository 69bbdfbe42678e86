"""Files of weights: which program's it is, and safetensors and Keras themselves."""

import json
import pathlib
import struct

import numpy as np
import pytest
import tensorflow as tf

from tests.models.published import save_safetensors, save_torch
from wss.errors import UserError
from wss.models import weight_files

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
ARRAYS = {"a.weight": np.arange(6, dtype=np.float32).reshape(2, 3)}


def test_what_safetensors_wrote():
    arrays = weight_files.read(str(GOLDEN / "torch.safetensors"))
    np.testing.assert_array_equal(
        arrays["conv.weight"], np.arange(24).reshape(2, 3, 2, 2)
    )
    np.testing.assert_array_equal(arrays["half"], np.array([1.5, -2], np.float16))
    np.testing.assert_allclose(arrays["brain"], [1.5, -3, 1e30], rtol=2**-8)
    assert arrays["count"] == 7 and arrays["count"].dtype == np.int64
    assert len(arrays) == 5


def test_a_file_is_known_by_its_beginning(tmp_path):
    save_torch(tmp_path / "a", ARRAYS)
    save_torch(tmp_path / "b.ckpt", ARRAYS, legacy=True)
    save_safetensors(tmp_path / "c.bin", ARRAYS)
    for name in ("a", "b.ckpt", "c.bin"):
        path = str(tmp_path / name)
        assert weight_files.is_weight_file(path)
        np.testing.assert_array_equal(
            weight_files.read(path)["a.weight"], ARRAYS["a.weight"]
        )


def test_what_is_left_to_tensorflow(tmp_path):
    tf.train.Checkpoint(x=tf.Variable(1.0)).write(str(tmp_path / "model.pt"))
    (tmp_path / "notes.txt").write_text("hello")
    for name in ("model.pt", "model.pt.index", "notes.txt", "gone", ""):
        assert not weight_files.is_weight_file(str(tmp_path / name))
    with pytest.raises(UserError, match="notes.txt holds no weights .* end in .pth"):
        weight_files.read(str(tmp_path / "notes.txt"))


def test_a_file_that_is_gone(tmp_path):
    path = str(tmp_path / "gone.pth")
    assert weight_files.is_weight_file(path)
    with pytest.raises(UserError, match="gone.pth cannot be read"):
        weight_files.read(path)


def header_of(**changes):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **changes}
    text = json.dumps({"a": entry}).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello",
        header_of()[:-3],
        header_of() + bytes(7),
        header_of(shape=[3]) + bytes(8),
        header_of(shape=[-1]) + bytes(8),
        header_of(dtype="F33") + bytes(8),
        header_of(data_offsets=[0]) + bytes(8),
        header_of(data_offsets=["0", "8"]) + bytes(8),
        header_of(data_offsets=[8, 0]) + bytes(8),
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 2**63) + b'{"a": 1}',
    ],
)
def test_damaged_safetensors(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(UserError, match="no file of safetensors, or a damaged one"):
        weight_files.read(str(tmp_path / "w.safetensors"))


def test_whole_and_damaged_files_of_keras(tmp_path):
    layers = [tf.keras.layers.Dense(2, name="a", input_shape=[3])]
    model = tf.keras.Sequential([*layers, tf.keras.layers.BatchNormalization(name="b")])
    model.compile("adam", "mse")
    model.fit(np.ones([1, 3]), np.ones([1, 2]), verbose=0)
    for write, name in ((model.save_weights, "w.h5"), (model.save, "m.h5")):
        write(str(tmp_path / name))
        arrays = weight_files.read(str(tmp_path / name))
        assert {name: value.shape for name, value in arrays.items()} == {
            "a/kernel": (3, 2),
            "a/bias": (2,),
            "b/gamma": (2,),
            "b/beta": (2,),
            "b/moving_mean": (2,),
            "b/moving_variance": (2,),
        }
        np.testing.assert_array_equal(arrays["a/kernel"], model.layers[0].kernel)
    content = (tmp_path / "w.h5").read_bytes()
    for size in (0, 8, 200, len(content) // 2):
        (tmp_path / "cut.h5").write_bytes(content[:size])
        with pytest.raises(UserError, match="no file of Keras, or a damaged one"):
            weight_files.read(str(tmp_path / "cut.h5"))
