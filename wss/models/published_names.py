"""The names and layouts of published weights, turned into ours.

PyTorch's kernels are [outputs, inputs, height, width]; TensorFlow's and ours [height,
width, inputs, outputs], or [height, width, inputs, 1] for depthwise ones.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

# Last part of a name in the files -> ours.
_TORCH_NORM = {
    "weight": "gamma",
    "bias": "beta",
    "running_mean": "moving_mean",
    "running_var": "moving_variance",
}
_LAYER = {
    "weight": "weights",
    "kernel": "weights",
    "bias": "biases",
    # Of vision transformers.
    "gamma": "gamma",
    "lambda1": "gamma",
    "cls_token": "class_token",
    "pos_embed": "position_embedding",
    "position_embeddings": "position_embedding",
    "register_tokens": "register_tokens",
}


class Naming(NamedTuple):
    """How the files of one publisher name a backbone's layers.

    Attributes:
      publisher: whose files they are, for messages.
      layers: name of a layer in the files -> our TF1 scope, inside the backbone's.
      joined: our TF1 scope -> scopes of `layers` whose outputs are its outputs, in this
        order.
    """

    publisher: str
    layers: Mapping[str, str]
    joined: Mapping[str, Sequence[str]] = {}

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
          Values by TF1 name, inside the backbone's scope; names that we do not have.
        """
        values, biases, unused = {}, {}, []
        batch_norms = set(self.layers.values())
        for name, array in arrays.items():
            array = np.asarray(array, np.float32)
            is_torch = "/" not in name
            layer, leaf = _split(name)
            scope = self.layers.get(layer)
            if scope is None:
                unused.append(name)
            elif leaf == "num_batches_tracked":
                continue  # PyTorch's, for averages without a decay.
            elif _last(scope) in ("BatchNorm", "LayerNorm"):
                leaf = _TORCH_NORM.get(leaf, leaf) if is_torch else leaf
                values[f"{scope}/{leaf}"] = array
            elif leaf == "bias" and f"{scope}/BatchNorm" in batch_norms:
                biases[f"{scope}/BatchNorm/moving_mean"] = array
            elif leaf not in _LAYER:
                unused.append(name)
            else:
                is_depthwise = _last(scope) == "depthwise"
                leaf = "depthwise_weights" if is_depthwise else _LAYER[leaf]
                array = _kernel(array, is_torch, is_depthwise)
                if scope == "logits" and array.ndim == 2:
                    array = array[None, None]  # A 1x1 convolution here.
                values[f"{scope}/{leaf}"] = array
        for name, bias in biases.items():
            if name in values and values[name].shape == bias.shape:
                values[name] = values[name] - bias
        return self._join(values), sorted(unused)

    def _join(self, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The same values, with the parts of `joined` in place."""
        for scope, parts in self.joined.items():
            for leaf in ("weights", "biases"):
                names = [f"{part}/{leaf}" for part in parts]
                arrays = [values.pop(name) for name in names if name in values]
                shapes = {array.shape for array in arrays}
                if len(arrays) == len(parts) and len(shapes) == 1:
                    values[f"{scope}/{leaf}"] = np.concatenate(arrays, -1)
        return values


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
    if is_torch and array.ndim == 2:
        return array.T
    return array


def _last(scope: str) -> str:
    return scope.rpartition("/")[2]


def with_batch_norm(layer: str, batch_norm: str, scope: str) -> dict[str, str]:
    """Names of a convolution and its batch norm, for `Naming.layers`.

    >>> with_batch_norm("conv1", "bn1", "root")
    {'conv1': 'root', 'bn1': 'root/BatchNorm'}
    """
    return {layer: scope, batch_norm: f"{scope}/BatchNorm"}
