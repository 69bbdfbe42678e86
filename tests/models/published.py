"""Writes files of weights as PyTorch and safetensors do, without either."""

import contextlib
import io
import json
import pickle
import struct
import sys
import types
import zipfile
from collections import OrderedDict
from typing import NamedTuple
from unittest import mock

import numpy as np


class _Tensor:
    """Pickled as PyTorch pickles a tensor: a call of `torch._utils` on a storage."""

    def __init__(self, key: str, array: np.ndarray):
        self.key, self.array = key, array

    def __reduce__(self):
        strides = [stride // self.array.itemsize for stride in self.array.strides]
        storage = _Storage(self.key, self.array)
        arguments = storage, 0, self.array.shape, tuple(strides), False, OrderedDict()
        return sys.modules["torch._utils"]._rebuild_tensor_v2, arguments


class _Storage(NamedTuple):
    key: str
    array: np.ndarray


class _Pickler(pickle.Pickler):
    def persistent_id(self, item):
        if not isinstance(item, _Storage):
            return None
        type_ = getattr(sys.modules["torch"], _STORAGES[item.array.dtype.str])
        return ("storage", type_, item.key, "cpu", item.array.size, *self.more)

    more = ()  # What the older format adds.


_STORAGES = {"<f4": "FloatStorage", "<f2": "HalfStorage", "<i8": "LongStorage"}


@contextlib.contextmanager
def _torch():
    """Modules with the names, but nothing else, of what PyTorch's files refer to."""
    modules = {name: types.ModuleType(name) for name in ("torch", "torch._utils")}
    names = [("torch", name) for name in _STORAGES.values()]
    for module, name in [*names, ("torch._utils", "_rebuild_tensor_v2")]:
        item = type(name, (), {"__module__": module})
        setattr(modules[module], name, item)
    with mock.patch.dict(sys.modules, modules):
        yield


def save_torch(path, arrays: dict, legacy: bool = False, wrap=lambda state: state):
    """Writes arrays as `torch.save(wrap(state_dict), path)` does.

    Args:
      path: of the file.
      arrays: by name.
      legacy: in the format of before PyTorch 1.6.
      wrap: what stands around the state dict.
    """
    keys = {name: str(i) for i, name in enumerate(arrays)}
    state = OrderedDict((name, _Tensor(keys[name], arrays[name])) for name in arrays)
    with _torch():
        stream = io.BytesIO()
        pickler = _Pickler(stream, 2)
        pickler.more = (None,) if legacy else ()
        pickler.dump(wrap(state))
    if legacy:
        _write_legacy(path, stream.getvalue(), arrays, keys)
        return
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", stream.getvalue())
        archive.writestr("archive/byteorder", "little")
        for name, key in keys.items():
            archive.writestr(f"archive/data/{key}", arrays[name].tobytes())
        archive.writestr("archive/version", "3\n")


def _write_legacy(path, pickled: bytes, arrays: dict, keys: dict) -> None:
    machine = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    with open(path, "wb") as file:
        for item in (0x1950A86A20F9469CFC6C, 1001, machine):
            pickle.dump(item, file, 2)
        file.write(pickled)
        pickle.dump(list(keys.values()), file, 2)
        for name in keys:
            file.write(struct.pack("<q", arrays[name].size) + arrays[name].tobytes())


def save_safetensors(path, arrays: dict) -> None:
    """Writes arrays as `safetensors.numpy.save_file` does."""
    header, content = {"__metadata__": {"format": "pt"}}, b""
    for name, array in arrays.items():
        dtype = {"<f4": "F32", "<f2": "F16", "<i8": "I64"}[array.dtype.str]
        offsets = [len(content), len(content) + array.nbytes]
        shape = list(array.shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
        content += array.tobytes()
    text = json.dumps(header).encode()
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + content)
