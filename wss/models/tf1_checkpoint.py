"""Checkpoints with TF1 variable names.

Reads the published ImageNet and DeepLab checkpoints, those of the original code and our
own (which contain the name of every variable); writes checkpoints that TF1 code reads.
"""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from absl import logging
from tensorflow.core.protobuf import trackable_object_graph_pb2

from wss.errors import UserError, first_line
from wss.files import atomic, paths

# Attribute of a layer -> last part of the TF1 name.
_LEAVES = {
    "kernel": "weights",
    "depthwise_kernel": "depthwise_weights",
    "bias": "biases",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
    "class_token": "class_token",
    "position_embedding": "position_embedding",
    "register_tokens": "register_tokens",
}
_GLOBAL_STEP, _OWN_STEP = "global_step", "step/.ATTRIBUTES/VARIABLE_VALUE"
_FILE_ENDING = re.compile(r"\.(index|meta|data-\d+-of-\d+)$")
# The end of a checkpoint in one file, as TensorFlow wrote it before 0.12.
_ONE_FILE = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"
# The beginnings of files that people mistake for checkpoints.
_FOREIGN = {
    b"\x89HDF": "an HDF5 file of Keras weights",
    b"PK\x03\x04": "an archive of Keras, PyTorch or zip",
    b"\x1f\x8b": "a compressed archive (unpack it first)",
}
_OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
# The attribute of a method that holds the moving average of its network. Both have the
# same TF1 names.
_AVERAGE = "teacher"


@dataclasses.dataclass(frozen=True)
class Report:
    """The outcome of `restore`, by TF1 name.

    Attributes:
      loaded: variables with a value from the checkpoint.
      skipped: the reason, for variables that have another shape there or are excluded.
      missing: variables that are not in the checkpoint.
    """

    loaded: Sequence[str]
    skipped: Mapping[str, str]
    missing: Sequence[str]


def named_variables(module: tf.Module) -> dict[str, tf.Variable]:
    """The variables of the module's layers by TF1 name.

    A layer's name is its TF1 scope: the kernel of the layer "aspp0" is "aspp0/weights".
    """
    variables = {}
    for layer in module.submodules:
        if isinstance(layer, tf.keras.layers.Layer):
            for attribute, leaf in _LEAVES.items():
                variable = getattr(layer, attribute, None)
                if isinstance(variable, tf.Variable):
                    variables[f"{layer.name}/{leaf}"] = variable
    return variables


def restore(
    path: str,
    module: tf.Module,
    exclude: Sequence[str] = (),
    average: bool = False,
) -> Report:
    """Assigns the checkpoint's values to the module's variables, by TF1 name.

    A variable of another shape, such as a head for another number of classes, keeps its
    value. A log line counts the loaded, skipped and missing variables; `--verbosity=1`
    names them.

    Args:
      path: a TF1 checkpoint, one of ours, or a directory (for its latest).
      module: model or method; all variables exist.
      exclude: prefixes of TF1 names not to load.
      average: if one of our checkpoints has a moving average of the network (a method's
        `teacher`), load the average.

    Returns:
      The outcome for each variable.

    Raises:
      UserError: there is no checkpoint, or none of its variables fits.
    """
    path = find(path)
    try:
        reader = tf.train.load_checkpoint(path)
        report = _restore(reader, path, module, exclude, average)
    except UserError:
        raise
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        raise UserError(
            f"{path} is damaged or not a TensorFlow checkpoint "
            f"({first_line(error)}). Copy it again, or choose another one."
        ) from error
    return report


def _restore(
    reader: Any, path: str, module: tf.Module, exclude: Sequence[str], average: bool
) -> Report:
    keys, wanted = _keys(reader, average), named_variables(module)
    values = {name: reader.get_tensor(keys[name]) for name in wanted if name in keys}
    report = assign(path, values, module, exclude)
    if not report.loaded:
        raise UserError(
            f"No variable of the checkpoint {path} fits the model. It holds "
            f"{_examples(keys)}; the model has {_examples(wanted)}. "
            "Choose the MODEL_VARIANT it was trained with, or another checkpoint."
        )
    return report


def assign(
    origin: str,
    values: Mapping[str, np.ndarray],
    module: tf.Module,
    exclude: Sequence[str] = (),
) -> Report:
    """Assigns values to the module's variables by TF1 name, and logs the report.

    Args:
      origin: where the values come from, for the log.
      values: values by TF1 name.
      module, exclude: see `restore`.

    Returns:
      Which variables were loaded, skipped and missing.
    """
    loaded, skipped, missing = [], {}, []
    for name, variable in sorted(named_variables(module).items()):
        shape = variable.shape.as_list()
        if name not in values:
            missing.append(name)
        elif name.startswith(tuple(exclude)):
            skipped[name] = "excluded"
        elif list(values[name].shape) != shape:
            given = list(values[name].shape)
            skipped[name] = f"{given} in the checkpoint, {shape} here"
        else:
            variable.assign(values[name])
            loaded.append(name)
    report = Report(loaded, skipped, missing)
    _log(origin, report)
    return report


def export(path: str, module: tf.Module, step: int = 0) -> None:
    """Writes the module's variables as a checkpoint with TF1 names.

    Args:
      path: prefix of the files `.index` and `.data-...`, e.g. "model.ckpt".
      module: model or method; all variables exist.
      step: training step of the variables; TF1 code restores it.
    """
    values = {
        name: tf.convert_to_tensor(variable)
        for name, variable in named_variables(module).items()
    }
    values[_GLOBAL_STEP] = tf.constant(step, tf.int64)
    names = sorted(values)
    tf.raw_ops.SaveV2(
        prefix=path,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[values[name] for name in names],
    )


def step_of(path: str) -> int:
    """The training step in a checkpoint, of TF1 or ours; 0 if it has none.

    Args:
      path: of a readable checkpoint, or its directory.
    """
    reader = tf.train.load_checkpoint(find(path))
    for key in (_OWN_STEP, _GLOBAL_STEP):
        if reader.has_tensor(key):
            return int(reader.get_tensor(key))
    return 0


def find(path: str) -> str:
    """The prefix of a checkpoint.

    Args:
      path: the prefix or one of the checkpoint's files; or a directory or its file
        `checkpoint`, for the latest.

    Raises:
      UserError: there is none, or several of which none is the latest; or it is a file
        of another program.
    """
    paths.check("The checkpoint", path)
    path = _FILE_ENDING.sub("", path)
    if os.path.basename(path) == "checkpoint" and not tf.io.gfile.isdir(path):
        path = os.path.dirname(path) or os.curdir
    if tf.io.gfile.isdir(path):
        return _find_in(path)
    if not tf.io.gfile.exists(f"{path}.index"):
        if not tf.io.gfile.exists(path):
            raise UserError(
                f"There is no checkpoint {path}. Give its path without .index, or a "
                "directory that contains a checkpoint."
            )
        _refuse_foreign(path)
    return path


def _find_in(directory: str) -> str:
    atomic.refuse_special(os.path.join(directory, "checkpoint"))
    try:
        latest = tf.train.latest_checkpoint(directory)
    except ValueError:  # The file `checkpoint` is empty or not text.
        latest = None
    if latest is not None:
        return latest
    # An unpacked archive often lacks the file `checkpoint` that names the latest.
    found = [p[: -len(".index")] for p in tf.io.gfile.glob(f"{directory}/*.index")]
    found += tf.io.gfile.glob(f"{directory}/*.ckpt")  # Before TensorFlow 0.12.
    if len(found) != 1:
        names = ", ".join(sorted(pathlib.PurePath(p).name for p in found))
        raise UserError(
            f"The directory {directory} has {'no checkpoint' if not found else names}. "
            "Name one checkpoint, without .index."
        )
    return found[0]


def _refuse_foreign(path: str) -> None:
    """Raises a UserError for a file that is not a TensorFlow checkpoint."""
    atomic.refuse_special(path)
    with tf.io.gfile.GFile(path, "rb") as file:
        beginning = file.read(8)
        file.seek(max(0, file.size() - len(_ONE_FILE)))
        end = file.read()
    for signature, what in _FOREIGN.items():
        if beginning.startswith(signature):
            raise UserError(
                f"{path} is {what}, not a TensorFlow checkpoint. Give one that "
                "tf.train saved; docs/checkpoints.md lists published ones."
            )
    if end != _ONE_FILE:
        raise UserError(
            f"{path} is not a TensorFlow checkpoint, or is cut off. Give the path of "
            "its files without .index, or their folder."
        )


def _keys(reader: Any, average: bool) -> dict[str, str]:
    """TF1 name -> key in the checkpoint; `average`: of the average, if it has one."""
    keys = reader.get_variable_to_shape_map()
    if _OBJECT_GRAPH not in keys:
        return {key: key for key in keys}
    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    graph.ParseFromString(np.asarray(reader.get_tensor(_OBJECT_GRAPH)).item())
    names: dict[str, str] = {}
    edges = [child for node in graph.nodes for child in node.children]
    teachers = [edge.node_id for edge in edges if edge.local_name == _AVERAGE]
    roots = teachers if average and teachers else [0]
    for number in _reachable(graph, roots):
        for attribute in graph.nodes[number].attributes:
            scope, _, leaf = attribute.full_name.rpartition("/")
            if leaf in _LEAVES:
                names[f"{scope}/{_LEAVES[leaf]}"] = attribute.checkpoint_key
    return names


def _reachable(graph: Any, roots: Iterable[int]) -> set[int]:
    """Nodes of an object graph reachable from the roots, but not through an average."""
    found, waiting = set(), set(roots)
    while waiting:
        number = waiting.pop()
        found.add(number)
        children = graph.nodes[number].children
        ids = {child.node_id for child in children if child.local_name != _AVERAGE}
        waiting |= ids - found
    return found


def _examples(names: Mapping[str, object]) -> list[str]:
    return sorted(names)[:1] + sorted(names)[-1:]


def _log(path: str, report: Report) -> None:
    logging.info(
        "Initialized from %s: %d variables loaded, %d skipped, %d missing "
        "(--verbosity=1 names them)",
        path,
        len(report.loaded),
        len(report.skipped),
        len(report.missing),
    )
    for name in report.loaded:
        logging.debug("loaded %s", name)
    for name, reason in report.skipped.items():
        logging.debug("skipped %s: %s", name, reason)
    for name in report.missing:
        logging.debug("missing %s", name)
