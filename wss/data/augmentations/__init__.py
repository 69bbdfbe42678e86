"""Strong augmentation policies: one file each, chosen by name.

A policy is a function with one of two decorators, which also make its keyword arguments
configurable by gin (`color_jitter.hue = 0.1`):

  @photometric  (image, seed) -> image. Gets the whole scaled image
                [height, width, 3], float32, 0..255, before padding and crop, and must
                not move pixels: the pseudo label of the weak view has to fit the strong
                one.
  @occlusion    (size, seed) -> hidden [height, width], bool. Chooses the hidden pixels
                of the crop: filled in the strong view, without label and not valid.

The function's name is the policy's name. A new file in this folder registers itself.
"""

import importlib
import importlib.util
import inspect
import pkgutil
import zlib
from typing import Callable, NamedTuple, Optional

import gin
import tensorflow as tf

from wss.errors import UserError


class Policy(NamedTuple):
    """A registered policy; `kind` is "photometric" or "occlusion"."""

    name: str
    kind: str
    function: Callable
    requires: Optional[str]

    def __call__(self, subject, seed: tf.Tensor) -> tf.Tensor:
        """Applies the policy with its own seed, derived from the example's."""
        purpose = zlib.crc32(self.name.encode()) & 0x7FFFFFFF
        return self.function(
            subject, tf.random.experimental.stateless_fold_in(seed, purpose)
        )


_POLICIES: dict[str, Policy] = {}


def _register(kind: str, requires: Optional[str]) -> Callable:
    def decorate(function: Callable) -> Callable:
        subject_and_seed = list(inspect.signature(function).parameters)[:2]
        configurable = gin.configurable(denylist=subject_and_seed)(function)
        name = function.__name__
        _POLICIES[name] = Policy(name, kind, configurable, requires)
        return configurable

    return decorate


def photometric(requires: Optional[str] = None) -> Callable:
    """Registers a policy that changes colors; `requires` names a package it needs."""
    return _register("photometric", requires)


def occlusion(requires: Optional[str] = None) -> Callable:
    """Registers a policy that hides pixels; `requires` names a package it needs."""
    return _register("occlusion", requires)


def get(name: str) -> Policy:
    """The policy of a name.

    Raises:
      UserError: the name is unknown, or a package that the policy needs is missing.
    """
    if name not in _POLICIES:
        raise UserError(
            f"Unknown strong augmentation {name!r}. STRONG_AUGMENTATION takes "
            f"{', '.join(sorted(_POLICIES))}."
        )
    policy = _POLICIES[name]
    if policy.requires and importlib.util.find_spec(policy.requires) is None:
        raise UserError(
            f"Strong augmentation {name!r} needs the package {policy.requires}, which "
            "is not installed. Install it, or choose other policies: "
            "STRONG_AUGMENTATION = ('color_jitter', 'cutout')."
        )
    return policy


for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")
