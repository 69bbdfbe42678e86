"""Whether all workers train the same: their settings, data and code."""

import hashlib
import json
from typing import Any, Dict, Iterator, List, Optional, Tuple

import tensorflow as tf

from wss import config, config_changes
from wss.data import datasets
from wss.errors import UserError
from wss.experiment import Experiment
from wss.training import cluster, versions, workers

# Each machine may have its own: paths, and what no step depends on.
_FREE = {
    "Experiment.data_dir",
    "Experiment.init_checkpoint",  # The chief's is taken.
    "InputClock",
    "get_strategy",
    "training_batches.data_service",
}


def check(
    experiment: Experiment, mode: str, profile_steps: Optional[Tuple[int, int]]
) -> None:
    """Compares all workers before the first step; every one of them has to ask.

    Args:
      experiment: what this worker is to train.
      mode: of `wss.runs.run`.
      profile_steps: as there: workers come back to Python behind the same steps.

    Raises:
      UserError: they differ; it says who, in what.
    """
    if not workers.are_several(experiment.strategy):
        return
    facts = {
        "--mode": mode,
        "--profile_steps": profile_steps,
        **_facts(experiment, mode),
    }
    own = json.dumps({"settings": config.text(), "facts": facts}, default=str)
    told = list(map(json.loads, workers.gather(experiment.strategy, own)))
    names = cluster.read().names
    differences: List[str] = []
    for name, other in zip(names[1:], told[1:]):
        differences += _differences(told[0], other, (f"on {names[0]}", f"on {name}"))
    if differences:
        raise UserError(
            f"The workers do not train the same: {'; '.join(differences)}. Start the "
            "same command, with the same code and data, on all of them."
        )


def _facts(experiment: Experiment, mode: str) -> Dict[str, Any]:
    """What settings do not tell, by the name that a message gives it."""
    splits = {}
    if mode != "eval":
        splits["LABELED_SPLIT"] = experiment.labeled_split
        if experiment.method.uses_unlabeled:
            splits["UNLABELED_SPLIT"] = experiment.unlabeled_split
    if mode != "train":
        splits["EVAL_SPLIT"] = experiment.eval_split
    manifest = datasets.manifest.read(experiment.data_dir)
    facts = {
        "the version of wss": versions.code_version(),
        "the version of TensorFlow": tf.__version__,
        "the data set": experiment.spec.name,
        "the list of classes": list(experiment.spec.class_names),
        "the ignore label": experiment.spec.ignore_label,
    }
    for macro, split in splits.items():
        facts[f"the number of images of {macro}"] = experiment.count_images(
            macro, split, needs_masks=False
        )
        facts[f"the checksum of {macro}"] = _checksum(manifest, split)
    return facts


def _checksum(manifest: Optional[Dict[str, Any]], split: str) -> Optional[str]:
    """One for the shards that data_prep wrote; None for those of other tools."""
    written = manifest["splits"] if manifest else {}
    files = [written.get(part, {}).get("files") for part in split.split("+")]
    if not all(files):
        return None
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]


def _differences(
    first: Dict[str, Any], other: Dict[str, Any], places: Tuple[str, str]
) -> Iterator[str]:
    yield from config_changes.find(first["settings"], other["settings"], _FREE, places)
    for name in {**first["facts"], **other["facts"]}:
        values = [told["facts"].get(name) for told in (first, other)]
        if values[0] != values[1]:
            yield f"{name} is {values[0]!r} {places[0]} and {values[1]!r} {places[1]}"
