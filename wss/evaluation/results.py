"""What evaluations gave, in the folder of a training.

metrics.json is the last evaluation in full, evaluations.json a line of each. Several
processes may evaluate one folder at a time. Neither file is worth a training: where one
is damaged, a copy is set aside and the run goes on.
"""

import hashlib
import json
import os
from typing import Any, Callable, ContextManager, Dict, List, Mapping, Optional

import tensorflow as tf

from wss.files import atomic, outputs

METRICS_FILE = "metrics.json"
EVALUATIONS_FILE = "evaluations.json"
_LOCK = ".evaluations.lock"
_NEEDED = {"step", "split", "mean_iou"}  # Of each evaluation.


def read_metrics(model_dir: str) -> Optional[Dict[str, Any]]:
    """The last evaluation's metrics.json, None before the first."""
    return read_json(os.path.join(model_dir, METRICS_FILE), _is_metrics)


def write_metrics(model_dir: str, metrics: Mapping[str, Any]) -> None:
    """Writes metrics.json."""
    _write(os.path.join(model_dir, METRICS_FILE), metrics)


def read_evaluations(model_dir: str) -> List[Dict[str, Any]]:
    """Step, split, protocol and scores of all evaluations, by their steps."""
    return read_json(os.path.join(model_dir, EVALUATIONS_FILE), _are_evaluations) or []


def remember(model_dir: str, evaluated: Mapping[str, Any]) -> None:
    """Adds an evaluation to the list; a repeated one replaces the earlier."""

    def is_same(other: Mapping[str, Any]) -> bool:
        return all(
            other.get(key) == evaluated[key] for key in ("step", "split", "protocol")
        )

    path = os.path.join(model_dir, EVALUATIONS_FILE)
    with _alone(path):
        others = [one for one in read_evaluations(model_dir) if not is_same(one)]
        _write(path, sorted([*others, evaluated], key=lambda one: one["step"]))


def forget(model_dir: str, which: Callable[[Mapping[str, Any]], bool]) -> None:
    """Takes the evaluations for which `which` is true out of the list."""
    path = os.path.join(model_dir, EVALUATIONS_FILE)
    with _alone(path):
        evaluations = read_evaluations(model_dir)
        kept = [one for one in evaluations if not which(one)]
        if len(kept) < len(evaluations):
            _write(path, kept)


def best(model_dir: str, split: str, protocol: str) -> Optional[Dict[str, Any]]:
    """The evaluation of the highest mean IoU, the earliest of several.

    Args:
      model_dir: folder of the training.
      split: of the images.
      protocol: its text; evaluations by another one are not compared with it.
    """
    evaluations = [
        one
        for one in read_evaluations(model_dir)
        if (one["split"], one.get("protocol")) == (split, protocol)
    ]
    return max(evaluations, key=lambda one: one["mean_iou"], default=None)


def _alone(path: str) -> ContextManager[None]:
    """Keeps others from writing between reading a file and writing it."""
    return atomic.locked(os.path.join(os.path.dirname(path), _LOCK))


def _write(path: str, content: Any) -> None:
    outputs.write_noted(path, json.dumps(content, indent=2) + "\n")


def read_json(path: str, is_sound: Callable[[Any], bool]) -> Any:
    """What a file of a training's folder holds; None where it is not there, or damaged.

    Args:
      path: of the file. A copy of a damaged one is set aside, with a warning.
      is_sound: whether what it holds can be what was written.
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
    except ValueError:  # No JSON, or no text at all.
        pass
    _set_aside(path, content)
    return None


def _set_aside(path: str, content: bytes) -> None:
    """Keeps a copy of a damaged file, which the next one that is written replaces."""
    copy = f"{path}.damaged-{hashlib.sha256(content).hexdigest()[:8]}"
    where = f"a copy of it is {copy}"
    try:
        with tf.io.gfile.GFile(copy, "wb") as file:
            file.write(content)
    except tf.errors.OpError:  # Nothing can be written there: nothing will replace it.
        where = "it stays where it is"
    print(f"warning: {path} is damaged and goes unread; {where}.", flush=True)


def _is_metrics(read: Any) -> bool:
    return isinstance(read, dict)


def _are_evaluations(read: Any) -> bool:
    return isinstance(read, list) and all(
        isinstance(one, dict) and _NEEDED <= set(one) for one in read
    )
