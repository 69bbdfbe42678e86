"""What every parity check shares: reading a golden file, weights, errors.

The files in `tests/golden/` were written by running the original TF1 code. Weights are
not stored: they are a pure function of the TF1 variable name and shape (`weight`).
"""

import dataclasses
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Optional

import numpy as np
import tensorflow as tf

# Inference forwards agree to this share of the reference's largest value.
INFERENCE_TOLERANCE = 1e-4
# Losses, relative.
LOSS_TOLERANCE = 1e-4
# Train-mode batch norm over a few values amplifies rounding: what a relative change of
# the pixels by the stored amount does to an output, times this, is its tolerance.
NOISE_FACTOR = 10.0
# The effect of rounding inside the layers: logits of two sets of kernels of one
# TensorFlow (oneDNN on and off) differ by 1.2e-2 where this moves them by 5e-3.
PERTURBATION = 1e-6


@dataclasses.dataclass(frozen=True)
class Check:
    """One compared quantity: its error in units of the reference's scale."""

    name: str
    error: float
    tolerance: float

    @property
    def passed(self) -> bool:
        return bool(self.error <= self.tolerance)  # NaN fails.


class Golden:
    """A golden file: arrays by key, whole or sampled, and the settings of its run."""

    def __init__(self, path: str):
        self.path = path
        self._arrays = np.load(path)
        self.meta: Mapping[str, Any] = json.loads(str(self._arrays["meta"]))
        self.keys = frozenset(self._arrays.files)

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def __getitem__(self, key: str) -> np.ndarray:
        return self._arrays[key]

    def names(self, key: str) -> list:
        """A stored list of strings."""
        return [str(name) for name in self[key]]

    def compare(
        self,
        key: str,
        actual: Any,
        tolerance: float,
        *,
        noise: float = 0.0,
        name: Optional[str] = None,
    ) -> Check:
        """Compares our array with the reference stored under `key`.

        The error is max |actual - reference| / max |reference|. A reference that was
        too big is stored as samples at `<key>__idx` of an array of `<key>__shape`.

        Args:
          key: key of the reference.
          actual: our array.
          tolerance: largest error that passes.
          noise: absolute change of the reference under a tiny perturbation of its
            input; `NOISE_FACTOR` times it passes too.
          name: name of the check; the default is `key`.
        """
        reference = self[key]
        actual = np.asarray(actual)
        scale = float(np.nanmax(np.abs(reference), initial=0.0))
        if f"{key}__stats" in self:
            scale = max(scale, float(self[f"{key}__stats"][2]))
        if f"{key}__shape" in self:
            shape = tuple(self[f"{key}__shape"])
        else:
            shape = reference.shape
        if actual.shape != shape:
            return Check(f"{name or key} shape {actual.shape}!={shape}", np.inf, 0.0)
        if f"{key}__idx" in self:
            actual = actual.reshape(-1)[self[f"{key}__idx"]]
        scale = scale or 1.0
        return Check(
            name or key,
            relative_error(actual, reference, scale),
            max(tolerance, NOISE_FACTOR * noise / scale),
        )


def relative_error(actual: Any, reference: Any, scale: Optional[float] = None) -> float:
    """max |actual - reference| / scale; the default scale is max |reference|.

    NaN if only one of the two is NaN, so that the check fails.
    """
    actual = np.asarray(actual, np.float64)
    reference = np.asarray(reference, np.float64)
    if scale is None:
        scale = float(np.nanmax(np.abs(reference), initial=0.0)) or 1.0
    both_nan = np.isnan(actual) & np.isnan(reference)
    difference = np.where(both_nan, 0.0, np.abs(actual - reference))
    return float(np.max(difference, initial=0.0) / scale)


def perturbed(tensor: tf.Tensor, random: np.random.RandomState) -> tf.Tensor:
    """Makes every value slightly larger or smaller, as rounding inside a layer does."""
    signs = random.choice([-1.0, 1.0], tensor.shape).astype(np.float32)
    return tensor * (1.0 + PERTURBATION * signs)


def weight(name: str, shape: Sequence[int]) -> np.ndarray:
    """The value that every golden run gave the TF1 variable `name`, float32."""
    random = np.random.RandomState(zlib.crc32(name.encode()) & 0xFFFFFFFF)
    normal = random.standard_normal(tuple(shape))
    leaf = name.split("/")[-1]
    gain = 1.0 if name.startswith(("xception", "resnet")) else 2.0
    if leaf == "weights":
        value = normal * np.sqrt(gain / np.prod(shape[:3]))
        if shape[0] == 7:  # The root convolution that reads unscaled pixels.
            value = value / 64.0
    elif leaf == "depthwise_weights":
        gain = 1.0 if name.startswith("xception") else 2.0
        value = normal * np.sqrt(gain / np.prod(shape[:2]))
    elif leaf == "gamma":
        value = 1.0 + 0.1 * normal
    elif leaf in ("beta", "biases", "moving_mean"):
        value = 0.1 * normal
    elif leaf == "moving_variance":
        value = np.exp(0.1 * normal)
    else:
        raise ValueError(f"No rule for the weight {name}")
    return value.astype(np.float32)


def fill_weights(named_variables: Mapping[str, tf.Variable]) -> None:
    """Gives every variable the value that its TF1 name determines."""
    for name, variable in named_variables.items():
        variable.assign(weight(name, variable.shape.as_list()))


def compare_names(what: str, actual: Sequence[str], reference: Sequence[str]) -> Check:
    """The error is the number of names that only one side has."""
    return Check(what, float(len(set(actual) ^ set(reference))), 0.0)
