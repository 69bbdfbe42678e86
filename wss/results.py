"""What evaluations gave, in the folder of a training.

metrics.json is the last evaluation in full, evaluations.json a line of each.
"""

import json
import os
from typing import Any, Dict, List, Mapping, Optional, Sequence

import tensorflow as tf

from wss import files

METRICS_FILE = "metrics.json"
EVALUATIONS_FILE = "evaluations.json"


def read_metrics(model_dir: str) -> Optional[Dict[str, Any]]:
    """The last evaluation's metrics.json, None before the first."""
    path = os.path.join(model_dir, METRICS_FILE)
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path) as file:
        return json.load(file)


def write_metrics(model_dir: str, metrics: Mapping[str, Any]) -> None:
    """Writes metrics.json."""
    text = json.dumps(metrics, indent=2)
    files.write_text(os.path.join(model_dir, METRICS_FILE), text + "\n")


def read_evaluations(model_dir: str) -> List[Dict[str, Any]]:
    """Step, split, protocol and scores of all evaluations, by their steps."""
    path = os.path.join(model_dir, EVALUATIONS_FILE)
    if not tf.io.gfile.exists(path):
        return []
    with tf.io.gfile.GFile(path) as file:
        return json.load(file)


def remember(model_dir: str, evaluated: Mapping[str, Any]) -> None:
    """Adds an evaluation to the list; a repeated one replaces the earlier."""
    same = ("step", "split", "protocol")
    others = [
        other
        for other in read_evaluations(model_dir)
        if any(other.get(key) != evaluated[key] for key in same)
    ]
    write_evaluations(
        model_dir, sorted([*others, evaluated], key=lambda one: one["step"])
    )


def write_evaluations(model_dir: str, evaluations: Sequence[Mapping[str, Any]]) -> None:
    """Writes the list anew."""
    path = os.path.join(model_dir, EVALUATIONS_FILE)
    files.write_text(path, json.dumps(evaluations, indent=2) + "\n")


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
