"""Results of evaluations, in the folder of a run.

metrics.json has the full last evaluation, evaluations.json a summary of each. Several
processes may evaluate one folder at the same time. A damaged file does not stop a run:
a copy is set aside and the run continues.
"""

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Optional

import tensorflow as tf

from wss.files import atomic, outputs

METRICS_FILE = "metrics.json"
EVALUATIONS_FILE = "evaluations.json"
_LOCK = ".evaluations.lock"
_NEEDED = {"step", "split", "mean_iou"}  # Keys of each evaluation.


def read_metrics(model_dir: str) -> Optional[dict[str, Any]]:
    """The content of metrics.json; None before the first evaluation."""
    return read_json(os.path.join(model_dir, METRICS_FILE), _is_metrics)


def write_metrics(model_dir: str, metrics: Mapping[str, Any]) -> None:
    """Writes metrics.json."""
    _write(os.path.join(model_dir, METRICS_FILE), metrics)


def read_evaluations(model_dir: str) -> list[dict[str, Any]]:
    """Step, split, protocol and scores of all evaluations, sorted by step."""
    return read_json(os.path.join(model_dir, EVALUATIONS_FILE), _are_evaluations) or []


def remember(model_dir: str, evaluated: Mapping[str, Any]) -> None:
    """Adds an evaluation to the list; it replaces an earlier one of the same kind."""

    def is_same(other: Mapping[str, Any]) -> bool:
        return all(
            other.get(key) == evaluated[key] for key in ("step", "split", "protocol")
        )

    path = os.path.join(model_dir, EVALUATIONS_FILE)
    with _alone(path):
        others = [one for one in read_evaluations(model_dir) if not is_same(one)]
        _write(path, sorted([*others, evaluated], key=lambda one: one["step"]))


def forget(model_dir: str, which: Callable[[Mapping[str, Any]], bool]) -> None:
    """Removes the evaluations for which `which` is true."""
    path = os.path.join(model_dir, EVALUATIONS_FILE)
    with _alone(path):
        evaluations = read_evaluations(model_dir)
        others = [one for one in evaluations if not which(one)]
        if len(others) < len(evaluations):
            _write(path, others)


def best(model_dir: str, split: str, protocol: str) -> Optional[dict[str, Any]]:
    """The evaluation with the highest mean IoU, the earliest if several are equal.

    Args:
      model_dir: folder of the run.
      split: name of the split.
      protocol: text of the protocol; evaluations with another one are ignored.
    """
    evaluations = [
        one
        for one in read_evaluations(model_dir)
        if (one["split"], one.get("protocol")) == (split, protocol)
    ]
    return max(evaluations, key=lambda one: one["mean_iou"], default=None)


def _alone(path: str) -> AbstractContextManager[None]:
    """Locks a file against other processes between reading and writing it."""
    return atomic.locked(os.path.join(os.path.dirname(path), _LOCK))


def _write(path: str, content: Any) -> None:
    outputs.write_noted(path, json.dumps(content, indent=2) + "\n")


def read_json(path: str, is_sound: Callable[[Any], bool]) -> Any:
    """The content of a JSON file in a run's folder; None if it is missing or damaged.

    Args:
      path: path of the file. A copy of a damaged file is set aside, with a warning.
      is_sound: whether the content has the expected structure.
    """
    if not tf.io.gfile.exists(path):
        return None
    atomic.refuse_special(path)
    with tf.io.gfile.GFile(path, "rb") as file:
        content = file.read()
    try:
        read = json.loads(content)
        if is_sound(read):
            return read
    except ValueError:  # Not JSON, or not text.
        pass
    _set_aside(path, content)
    return None


def _set_aside(path: str, content: bytes) -> None:
    """Copies a damaged file, because the next write replaces it."""
    copy = f"{path}.damaged-{hashlib.sha256(content).hexdigest()[:8]}"
    where = f"a copy is kept in {copy}"
    try:
        with tf.io.gfile.GFile(copy, "wb") as file:
            file.write(content)
    except tf.errors.OpError:  # The folder is not writable: nothing replaces the file.
        where = "it stays where it is"
    print(f"warning: {path} is damaged and was ignored; {where}.", flush=True)


def _is_metrics(read: Any) -> bool:
    return isinstance(read, dict)


def _are_evaluations(read: Any) -> bool:
    return isinstance(read, list) and all(
        isinstance(one, dict) and _NEEDED <= set(one) for one in read
    )
