"""The names and layouts of published weights, turned into ours.

PyTorch's kernels are [outputs, inputs, height, width]; TensorFlow's and ours [height,
width, inputs, outputs], or [height, width, inputs, 1] for depthwise ones.
"""

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np

_TORCH_BATCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_LAYER = {"weight": "weights", "kernel": "weights", "bias": "biases"}


class Naming(NamedTuple):
    """How the files of one publisher name a backbone's layers.

    Attributes:
      publisher: whose files they are, for messages.
      layers: name of a layer in the files -> our TF1 scope, inside the backbone's.
    """

    publisher: str
    layers: Mapping[str, str]

    def differences(self, names: Iterable[str]) -> list[str]:
        """What distinguishes a file from one of this network, in words.

        Args:
          names: of the file's arrays.

        Returns:
          Layers that it lacks, and those that it has more inside the backbone, as a
          deeper network does. The classifier may be missing, and other parts, such as a
          decoder, may be there.
        """
        layers = {_split(name)[0] for name in names}
        wanted = {layer for layer, scope in self.layers.items() if scope != "logits"}
        parts = set(map(_part, self.layers))
        more = {x for x in layers - set(self.layers) if _part(x) in parts}
        return [f"it has no {layer}" for layer in sorted(wanted - layers)] + [
            f"it has {layer} too" for layer in sorted(more)
        ]

    def translate(
        self, arrays: Mapping[str, np.ndarray]
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """Names and lays out arrays as ours.

        Args:
          arrays: by the publisher's names: "<layer>.<leaf>" as PyTorch has them, or
            "<layer>/<leaf>" of Keras. A bias before a batch norm, which we do not have,
            is taken off the moving mean.

        Returns:
          Values by TF1 name, inside the backbone's scope; names that `layers` lacks.
        """
        values, biases, unused = {}, {}, []
        for name, array in arrays.items():
            array = np.asarray(array, np.float32)
            is_torch = "/" not in name
            layer, leaf = _split(name)
            scope = self.layers.get(layer)
            if scope is None:
                unused.append(name)
            elif leaf == "num_batches_tracked":
                continue  # PyTorch's, for averages without a decay.
            elif scope.endswith("/BatchNorm"):
                leaf = _TORCH_BATCH_NORM.get(leaf, leaf) if is_torch else leaf
                values[f"{scope}/{leaf}"] = array
            elif leaf == "bias" and scope != "logits":
                biases[f"{scope}/BatchNorm/moving_mean"] = array
            else:
                is_depthwise = scope.rpartition("/")[2] == "depthwise"
                leaf = "depthwise_weights" if is_depthwise else _LAYER.get(leaf, leaf)
                values[f"{scope}/{leaf}"] = _kernel(array, is_torch, is_depthwise)
        for name, bias in biases.items():
            if name in values and values[name].shape == bias.shape:
                values[name] = values[name] - bias
        return values, sorted(unused)


def _split(name: str) -> tuple[str, str]:
    """Layer and leaf of an array's name, Keras's "a/b" or PyTorch's "a.b"."""
    layer, _, leaf = name.rpartition("/" if "/" in name else ".")
    return layer, leaf


def _part(layer: str) -> str:
    """The part of a network that a layer is in: "layer#" of "layer3.22.conv1"."""
    return re.sub(r"\d+", "#", layer.split(".")[0])


def _kernel(array: np.ndarray, is_torch: bool, is_depthwise: bool) -> np.ndarray:
    """A kernel in our layout; a bias as it is."""
    if is_torch and array.ndim == 4:
        return array.transpose((2, 3, 0, 1) if is_depthwise else (2, 3, 1, 0))
    if array.ndim == 2:  # Of a dense layer, which we have as a 1x1 convolution.
        return (array.T if is_torch else array)[None, None]
    return array


def with_batch_norm(layer: str, batch_norm: str, scope: str) -> dict[str, str]:
    """Names of a convolution and its batch norm, for `Naming.layers`.

    >>> with_batch_norm("conv1", "bn1", "root")
    {'conv1': 'root', 'bn1': 'root/BatchNorm'}
    """
    return {layer: scope, batch_norm: f"{scope}/BatchNorm"}
