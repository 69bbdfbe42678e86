"""PyTorch's files: both formats, and what must not be built from them."""

import io
import os
import pathlib
import pickle
import zipfile

import numpy as np
import pytest

from tests.models.published import save_torch
from wss.errors import UserError
from wss.models import torch_files

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def read(path):
    return torch_files.read(str(path), pathlib.Path(path).read_bytes())


@pytest.mark.parametrize("name", ["torch.pth", "torch_legacy.pth"])
def test_what_pytorch_wrote(name):
    """Its own files; the older one has the state dict beside other values."""
    arrays = read(GOLDEN / name)
    kernel = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2)
    expected = {
        "conv.weight": kernel,
        "conv.turned": kernel.transpose(),  # A view of the same bytes.
        "half": np.array([1.5, -2], np.float16),
        "count": np.array(7),
        "parameter": np.array([[0.25]], np.float32),
    }
    # 7 of 23 bits of a float32's fraction: 1e30 becomes its neighbor.
    np.testing.assert_allclose(arrays.pop("brain"), [1.5, -3, 1e30], rtol=2**-8)
    assert set(arrays) == set(expected)
    for key, value in expected.items():
        assert arrays[key].dtype == value.dtype
        np.testing.assert_array_equal(arrays[key], value)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize(
    "wrap",
    [
        dict,
        lambda state: {"model": state, "epoch": 3},
        lambda state: {"state_dict": state, "optimizer": {"rates": [0.1, (1, None)]}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
    ],
)
def test_what_stands_around_the_arrays(tmp_path, legacy, wrap):
    arrays = {"a.weight": np.ones([2, 3], np.float32), "a.none": np.ones([0, 3], "f4")}
    save_torch(tmp_path / "w.pth", arrays, legacy, wrap)
    found = read(tmp_path / "w.pth")
    assert {name: value.shape for name, value in found.items()} == {
        "a.weight": (2, 3),
        "a.none": (0, 3),
    }
    np.testing.assert_array_equal(found["a.weight"], arrays["a.weight"])


class Hostile:
    """Runs a command as it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_a_pickle_that_runs_a_command_is_refused(tmp_path, protocol):
    target = tmp_path / "touched"
    pickled = pickle.dumps({"a": Hostile(target)}, protocol)
    pickle.loads(pickled)
    assert target.exists()  # It would have.
    target.unlink()
    (tmp_path / "plain.pth").write_bytes(pickled)
    with zipfile.ZipFile(tmp_path / "archive.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
    arrays = {"a.weight": np.ones(3, np.float32)}
    for legacy in (False, True):
        save_torch(
            tmp_path / f"{legacy}.pth",
            arrays,
            legacy,
            lambda state: {"state_dict": state, "args": Hostile(target)},
        )
    for name in ("plain.pth", "archive.pth", "False.pth", "True.pth"):
        with pytest.raises(UserError, match=r"it wants to build \w+\.system, .* Save"):
            read(tmp_path / name)
    assert not target.exists()


@pytest.mark.parametrize(
    "item, name",
    [
        (pathlib.PurePosixPath("a"), r"pathlib(\._local)?\.PurePosixPath"),
        (np.float64(1), "numpy.*scalar"),
        (eval, "eval"),
        (np.random.RandomState, "RandomState"),
    ],
)
def test_any_other_class_is_named(tmp_path, item, name):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(item, 2))
    with pytest.raises(UserError, match=f"w.pth is not read: it wants .*{name}"):
        read(tmp_path / "w.pth")


@pytest.mark.parametrize("state", [b"}S'a'\nI1\ns", b"N}S'a'\nI1\ns\x86"])
@pytest.mark.parametrize(
    "name", [*torch_files._ALLOWED], ids=lambda name: ".".join(name)
)
def test_what_a_file_may_name_cannot_be_changed(name, state):
    """`setattr` by the opcode BUILD, on `__dict__` or on a slot."""
    module, item = (part.encode() for part in name)
    content = b"\x80\x02c" + module + b"\n" + item + b"\n" + state + b"b."
    with pytest.raises(UserError, match="or a damaged one"):
        torch_files.read("w.pth", content)
    assert not hasattr(torch_files._ALLOWED[name], "a")


@pytest.mark.parametrize("name", ["torch.pth", "torch_legacy.pth"])
def test_a_damaged_file_is_an_error_of_one_sentence(name):
    content = (GOLDEN / name).read_bytes()
    damaged = [content[:size] for size in range(0, len(content) - 1, 40)]
    random = np.random.RandomState(0)
    for _ in range(200):
        changed = bytearray(content)
        changed[random.randint(len(content))] = random.randint(256)
        damaged.append(bytes(changed))
    refused = 0
    for one in damaged:
        try:
            torch_files.read("w.pth", one)
        except UserError as error:
            refused += 1
            assert str(error).startswith("w.pth ") and "\n" not in str(error)
    assert refused > 40  # Every cut one, and more.


@pytest.mark.parametrize(
    "shape, strides, offset",
    [
        ((2, 3), (3, 1), 1),
        ((7,), (1,), 0),
        ((10**9,), (0,), 0),
        ((2, 3), (1, -1), 3),
        ((2, 3), (1,), 0),
        ((-2, -3), (3, 1), 0),
    ],
)
def test_an_array_does_not_reach_beyond_its_bytes(shape, strides, offset):
    tensor = torch_files._Tensor(
        torch_files._Storage("0", "<f4"), offset, shape, strides
    )
    with pytest.raises(ValueError):
        torch_files._to_array(tensor, {"0": bytes(24)})


def test_what_else_is_no_file_of_weights(tmp_path):
    (tmp_path / "number.pth").write_bytes(pickle.dumps(3, 2))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("photo.txt", "hello")
    (tmp_path / "zip.pth").write_bytes(stream.getvalue())
    compressed = io.BytesIO()
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", pickle.dumps("0" * 10**6, 2))
    (tmp_path / "bomb.pth").write_bytes(compressed.getvalue())
    save_torch(tmp_path / "empty.pth", {})
    for name, message in (
        ("number", "or a damaged one"),
        ("zip", "an archive without data.pkl"),
        ("bomb", "sizes that do not agree"),
        ("empty", "holds no arrays by name"),
    ):
        with pytest.raises(UserError, match=f"{name}.pth .*{message}"):
            read(tmp_path / f"{name}.pth")
