"""Reads arrays by name from files of other programs: PyTorch, safetensors, Keras."""

import io
import json
import math
import os
from collections.abc import Mapping
from typing import Callable, Optional

import numpy as np
import tensorflow as tf

from wss.errors import UserError, first_line
from wss.files import atomic
from wss.models import torch_files

_HDF5 = b"\x89HDF\r\n\x1a\n"
# Type in a safetensors file -> what its bytes are.
_SAFETENSORS_TYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "<i1",
    "U8": "<u1",
    "BOOL": "|b1",
}

Arrays = dict[str, np.ndarray]


def is_weight_file(path: str) -> bool:
    """Whether a path means a file that this module reads; it may be lost or damaged."""
    if not tf.io.gfile.exists(path):
        is_prefix = tf.io.gfile.exists(f"{path}.index")  # Of a TensorFlow checkpoint.
        return os.path.splitext(path)[1] in _READERS and not is_prefix
    if tf.io.gfile.isdir(path):
        return False
    atomic.refuse_special(path)
    with tf.io.gfile.GFile(path, "rb") as file:
        return _reader(path, file.read(16)) is not None


def read(path: str) -> Arrays:
    """The arrays of a file of weights, by the names that they have there.

    Args:
      path: of a .pth, .safetensors or .h5 file. Any other ending does if the file
        begins as one of these.

    Returns:
      Arrays by name; PyTorch's bfloat16 as float32. Of Keras's files "<layer>/<leaf>",
      such as "conv1_conv/kernel".

    Raises:
      UserError: there is no such file, or it is damaged or of another program.
    """
    atomic.refuse_special(path)
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            content = file.read()
    except tf.errors.OpError as error:
        reason = first_line(error).replace(f"{path}; ", "")  # TensorFlow repeats it.
        raise UserError(
            f"{path} cannot be read ({reason}). Name another file."
        ) from error
    reader = _reader(path, content[:16])
    if reader is None:
        raise UserError(
            f"{path} holds no weights of PyTorch, safetensors or Keras; such files end "
            "in .pth, .safetensors or .h5."
        )
    return reader(path, content)


def _reader(path: str, beginning: bytes) -> Optional[Callable[[str, bytes], Arrays]]:
    """What reads the file; by its beginning, or, where that is damaged, its ending."""
    if beginning.startswith(_HDF5):
        return _read_keras
    if torch_files.is_torch_file(beginning):
        return torch_files.read
    if beginning[8:10] == b'{"':
        return _read_safetensors
    return _READERS.get(os.path.splitext(path)[1])


def _read_safetensors(path: str, content: bytes) -> Arrays:
    """Format: eight bytes of length, JSON of that length, the arrays' bytes."""
    try:
        start = 8 + int.from_bytes(content[:8], "little")
        header = json.loads(content[8:start].decode())
        header.pop("__metadata__", None)
        return {
            name: _safetensors_array(entry, memoryview(content)[start:])
            for name, entry in header.items()
        }
    except (
        AttributeError,
        LookupError,
        RecursionError,
        TypeError,
        ValueError,
    ) as error:
        raise _damaged(path, "safetensors", error) from error


def _safetensors_array(entry: Mapping, content: memoryview) -> np.ndarray:
    begin, end = entry["data_offsets"]
    data, shape = content[begin:end], entry["shape"]
    if len(data) != end - begin:
        raise ValueError("it ends too early")
    if entry["dtype"] == "BF16":
        array = torch_files.widened_bfloat16(data)
    else:
        array = np.frombuffer(data, _SAFETENSORS_TYPES[entry["dtype"]])
    if array.size != math.prod(shape):
        raise ValueError("sizes that do not agree")
    return array.reshape(shape)


def _read_keras(path: str, content: bytes) -> Arrays:
    import h5py  # Slow to import.

    arrays: Arrays = {}

    def collect(name: str, item: object) -> None:
        parts = name.split("/")
        is_weight = isinstance(item, h5py.Dataset) and item.dtype.kind == "f"
        if is_weight and parts[0] != "optimizer_weights":
            leaf = parts[-1].split(":")[0]
            arrays["/".join([*parts[-2:-1], leaf])] = item[()]

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            file.visititems(collect)
    except (OSError, KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(path, "Keras", error) from error
    return arrays


def _damaged(path: str, program: str, error: Exception) -> UserError:
    return UserError(
        f"{path} is no file of {program}, or a damaged one ({first_line(error)}). "
        "Fetch or copy it again, or choose another one."
    )


_READERS: Mapping[str, Callable[[str, bytes], Arrays]] = {
    ".pth": torch_files.read,
    ".pt": torch_files.read,
    ".safetensors": _read_safetensors,
    ".h5": _read_keras,
    ".hdf5": _read_keras,
}
