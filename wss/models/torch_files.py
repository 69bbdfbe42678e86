"""Reads the arrays of PyTorch's files (.pth), without PyTorch and without its risk.

Such a file is a pickle, which may run any code as it is read. This reader builds
numbers, texts, containers and arrays; it refuses every other class by name. It knows
both formats of `torch.save`: the zip archive and, of before PyTorch 1.6, the pickles
in a row.
"""

import collections
import io
import math
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from wss.errors import UserError, first_line

_ARCHIVE = b"PK\x03\x04"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
# PyTorch's name of an array's type -> what its bytes are.
_TYPES = {
    "DoubleStorage": "<f8",
    "FloatStorage": "<f4",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "|b1",
}
# What damaged bytes make pickle and zipfile raise.
_DAMAGE = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    struct.error,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    NotImplementedError,  # zipfile, of a feature that it does not have.
    RecursionError,
    RuntimeError,  # zipfile, of encryption.
    TypeError,
    ValueError,
)


class _Storage(NamedTuple):
    """Bytes in the file: their key and type."""

    key: str
    type: str


class _Tensor(NamedTuple):
    """A view of a storage; offset and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _RebuildTensor:
    """A function without attributes, which a pickle could set."""

    __slots__ = ()

    def __call__(
        self,
        storage: _Storage,
        offset: int,
        shape: Sequence[int],
        strides: Sequence[int],
        *_: Any,
    ) -> _Tensor:
        return _Tensor(storage, offset, tuple(shape), tuple(strides))


class _RebuildParameter:
    """The same for a tensor that is trained."""

    __slots__ = ()

    def __call__(self, data: _Tensor, *_: Any) -> _Tensor:
        return data


# Everything that a file may name.
_ALLOWED: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _RebuildTensor(),
    ("torch._utils", "_rebuild_tensor_v2"): _RebuildTensor(),
    ("torch._utils", "_rebuild_parameter"): _RebuildParameter(),
    **{("torch", name): type_ for name, type_ in _TYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    """Builds what `_ALLOWED` has, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise UserError(
                f"it wants to build {module}.{name}, and reading that could run any "
                "code. Save its tensors alone, torch.save(model.state_dict(), ...), or "
                "take a .safetensors file"
            )
        return _ALLOWED[module, name]

    def persistent_load(self, saved: Any) -> _Storage:
        kind, type_, key = saved[:3]
        view = saved[5:]  # Of before PyTorch 0.4: a part of another storage.
        if kind != "storage" or type_ not in _TYPES.values() or any(view):
            raise pickle.UnpicklingError("content of an unknown kind")
        return _Storage(str(key), type_)


def is_torch_file(content: bytes) -> bool:
    """Whether bytes begin as a file of `torch.save` does: a zip archive or a pickle."""
    return content.startswith((_ARCHIVE, *_PICKLES))


def read(path: str, content: bytes) -> dict[str, np.ndarray]:
    """The arrays of a PyTorch file by name.

    Args:
      path: of the file, for messages.
      content: of the file.

    Returns:
      The state dict; of a checkpoint with more in it, the one under "state_dict",
      "model" or "model_state". The "module." of parallel training is left out. bfloat16
      comes as float32.

    Raises:
      UserError: the file is damaged, holds classes other than arrays, or no arrays.
    """
    try:
        is_archive = content.startswith(_ARCHIVE)
        tree, storages = (_read_archive if is_archive else _read_legacy)(content)
        tensors = _named_tensors(tree)
        arrays = {name: _to_array(tensors[name], storages) for name in tensors}
    except UserError as error:
        raise UserError(f"{path} is not read: {error}.") from None
    except _DAMAGE as error:
        raise UserError(
            f"{path} is no file of PyTorch's weights, or a damaged one "
            f"({first_line(error)}). Fetch or copy it again, or choose another one."
        ) from error
    if not arrays:
        raise UserError(
            f"{path} holds no arrays by name. Save model.state_dict() with torch.save, "
            "or choose another file."
        )
    return arrays


def _read_archive(content: bytes) -> tuple[Any, Mapping[str, bytes]]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    pickles = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise ValueError("an archive without data.pkl")
    folder = pickles[0][: -len("data.pkl")]
    byte_order = f"{folder}byteorder"
    if byte_order in archive.namelist() and archive.read(byte_order) != b"little":
        raise ValueError("of a machine with another order of bytes")
    # torch.save does not compress; what is compressed may unfold to any size.
    if sum(entry.file_size for entry in archive.infolist()) > len(content):
        raise ValueError("sizes that do not agree")
    tree = _Unpickler(io.BytesIO(archive.read(pickles[0]))).load()
    prefix = f"{folder}data/"
    return tree, {
        name[len(prefix) :]: archive.read(name)
        for name in archive.namelist()
        if name.startswith(prefix)
    }


def _read_legacy(content: bytes) -> tuple[Any, Mapping[str, bytes]]:
    file = io.BytesIO(content)
    magic, _, machine, tree, keys = (_Unpickler(file).load() for _ in range(5))
    if magic != _LEGACY_MAGIC:
        raise ValueError("a pickle of something else")
    if not machine["little_endian"]:
        raise ValueError("of a machine with another order of bytes")
    types = {tensor.storage.key: tensor.storage.type for tensor in _tensors(tree)}
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        size = count * _item_size(types[str(key)])
        storages[str(key)] = file.read(size)
        if count < 0 or len(storages[str(key)]) != size:
            raise EOFError("it ends too early")
    return tree, storages


def _tensors(tree: Any) -> list[_Tensor]:
    """All tensors of nested containers."""
    if isinstance(tree, _Tensor):
        return [tree]
    children = tree.values() if isinstance(tree, dict) else tree
    if not isinstance(tree, (dict, list, tuple)):
        return []
    return [tensor for child in children for tensor in _tensors(child)]


def _named_tensors(tree: Any) -> dict[str, _Tensor]:
    if isinstance(tree, dict):
        for wrapper in ("state_dict", "model", "model_state"):
            if isinstance(tree.get(wrapper), dict):
                tree = tree[wrapper]
                break
    named = tree.items() if isinstance(tree, dict) else ()
    return {
        name[len("module.") :] if name.startswith("module.") else name: value
        for name, value in named
        if isinstance(name, str) and isinstance(value, _Tensor)
    }


def _to_array(tensor: _Tensor, storages: Mapping[str, bytes]) -> np.ndarray:
    (key, type_), offset, shape, strides = tensor
    content = storages[key]
    if type_ == "bfloat16":
        array = widened_bfloat16(content)
    else:
        array = np.frombuffer(content, type_)
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides))
    if len(shape) != len(strides) or min((offset, *shape, *strides)) < 0:
        raise ValueError("an impossible shape")
    if not math.prod(shape):
        return np.zeros(shape, array.dtype)
    if last >= array.size or math.prod(shape) > array.size:
        raise ValueError("an array beyond its bytes")
    steps = [step * array.itemsize for step in strides]
    return np.lib.stride_tricks.as_strided(
        array[offset:], shape, steps, writeable=False
    )


def widened_bfloat16(content: bytes) -> np.ndarray:
    """bfloat16 numbers as float32, of which they are the upper halves."""
    return (np.frombuffer(content, "<u2").astype("<u4") << 16).view("<f4")


def _item_size(type_: str) -> int:
    return 2 if type_ == "bfloat16" else np.dtype(type_).itemsize
