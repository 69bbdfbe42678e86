"""Starts the run that gin configures, and opens earlier runs."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import gin
import tensorflow as tf

from wss import config, config_changes
from wss.data import datasets
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.evaluation import restoring
from wss.evaluation.evaluator import build_predictor, check_evaluation
from wss.evaluation.segmenter import Segmenter
from wss.experiment import Experiment
from wss.files import paths, stored_files
from wss.run_folder import access, description
from wss.training import (
    cluster,
    distribution,
    starting_point,
    versions,
)
from wss.training.loop import run_training

# Settings in which workers may differ: paths, and settings that change no step.
_OWN_SETTINGS = {
    "Experiment.data_dir",
    "Experiment.init_checkpoint",  # The chief's weights are used.
    "get_strategy",
    "training_batches.data_service",
}


def run(
    mode: str,
    model_dir: str,
    tpu: Optional[str] = None,
    profile_steps: Optional[tuple[int, int]] = None,
) -> None:
    """Trains or evaluates what gin configures.

    Args:
      mode: "train", "eval" or "train_and_eval".
      model_dir: folder of the run.
      tpu: name of a TPU.
      profile_steps: steps between which TensorFlow's profiler runs.

    Raises:
      UserError: the configuration or the data have a mistake.
    """
    paths.check("--model_dir", model_dir)
    experiment = _create(model_dir, tpu)
    is_chief = distribution.is_chief(experiment.strategy)
    with distribution.together(experiment.strategy, model_dir) as own_dir:
        experiment = dataclasses.replace(experiment, model_dir=own_dir)
        _check(experiment, mode)
        check_agreement(experiment, mode, profile_steps)
        if mode != "eval":
            evaluates = mode == "train_and_eval" and is_chief
            with access.explained_folder(model_dir), access.sole_training(own_dir):
                run_training(experiment, evaluates, profile_steps)
        elif is_chief:
            restoring.evaluate_checkpoint(experiment)


def check(mode: str, model_dir: str, tpu: Optional[str] = None) -> None:
    """Checks what gin configures without running it; see `run`."""
    paths.check("--model_dir", model_dir)
    _check(_create(model_dir, tpu), mode)


def _check(experiment: Experiment, mode: str) -> None:
    if mode != "train":
        check_evaluation(experiment)
    if mode != "eval":
        check_training(experiment)


def check_training(experiment: Experiment) -> None:
    """Checks everything that training needs, without building a network.

    Raises:
      UserError: see `Experiment.check_training`; or INIT_CHECKPOINT is missing, or the
        folder has checkpoints of other settings, classes or images.
    """
    experiment.check_training()
    description.check_training(experiment)
    starting_point.check(experiment)


def open_trained(
    model_dir: str, bindings: Sequence[str] = (), tpu: Optional[str] = None
) -> Experiment:
    """Opens the run in `model_dir` for evaluation.

    Args:
      model_dir: folder of the run; its configuration is loaded.
      bindings: gin bindings that override those of the run.
      tpu: name of a TPU.

    Raises:
      UserError: the folder has no run, or the bindings or the data have a mistake.
    """
    _configure(model_dir, bindings)
    experiment = _create(model_dir, tpu)
    check_evaluation(experiment)
    return experiment


def load(
    model_dir: str,
    checkpoint: str = "latest",
    bindings: Sequence[str] = (),
    tpu: Optional[str] = None,
) -> Segmenter:
    """Loads the network trained in `model_dir`; the data are not needed.

    Args:
      model_dir: folder of the run.
      checkpoint: "latest", "best" or a path.
      bindings: gin bindings that override those of the run.
      tpu: name of a TPU.

    Raises:
      UserError: the folder has no run, the bindings have a mistake, or the checkpoint
        is damaged.
    """
    return segmenter(reopen(model_dir, bindings, tpu), checkpoint)[0]


def load_all(
    model_dir: str,
    checkpoint: str = "latest",
    bindings: Sequence[str] = (),
    tpu: Optional[str] = None,
) -> list[Segmenter]:
    """Like `load`, for the network of the result and, with a teacher, the student."""
    experiment = reopen(model_dir, bindings, tpu)
    return [
        Segmenter(build_predictor(experiment, network), experiment.spec)
        for network in restoring.restored_networks(experiment, checkpoint).values()
    ]


def reopen(
    model_dir: str,
    bindings: Sequence[str] = (),
    tpu: Optional[str] = None,
    strategy: Optional[tf.distribute.Strategy] = None,
) -> Experiment:
    """Like `open_trained`, without the data.

    Args:
      model_dir, bindings, tpu: see `open_trained`.
      strategy: the devices; None: see `distribution.get_strategy`.
    """
    _configure(model_dir, bindings)
    path = os.path.join(model_dir, description.CLASSES_FILE)
    spec = DatasetSpec.read(path) if tf.io.gfile.exists(path) else None
    return _create(model_dir, tpu, spec, strategy)


def segmenter(experiment: Experiment, checkpoint: str) -> tuple[Segmenter, int]:
    """Loads a checkpoint's network; returns it and its step. Errors: see `load`."""
    network, step = restoring.restored_network(experiment, checkpoint)
    return Segmenter(build_predictor(experiment, network), experiment.spec), step


def check_agreement(
    experiment: Experiment, mode: str, profile_steps: Optional[tuple[int, int]]
) -> None:
    """Checks before the first step that all workers train the same; all must call it.

    Args:
      experiment: the experiment of this worker.
      mode: see `run`.
      profile_steps: see `run`; must be equal, since all workers must return to Python
        after the same steps.

    Raises:
      UserError: names the workers and their differences.
    """
    if not distribution.are_several(experiment.strategy):
        return
    facts = {
        "--mode": mode,
        "--profile_steps": profile_steps,
        **_facts(experiment, mode),
    }
    own = json.dumps({"settings": config.text(), "facts": facts}, default=str)
    first, *others = map(json.loads, distribution.gather(experiment.strategy, own))
    chief, *names = cluster.read().names
    differences: list[str] = []
    for name, other in zip(names, others):
        differences += _differences(first, other, (f"on {chief}", f"on {name}"))
    if differences:
        raise UserError(
            f"The workers do not train the same: {'; '.join(differences)}. Start the "
            "same command, with the same code and data, on all of them."
        )


def _configure(model_dir: str, bindings: Sequence[str]) -> None:
    paths.check("--model_dir", model_dir)
    path = os.path.join(model_dir, config.CONFIG_FILE)
    if not tf.io.gfile.exists(path):
        raise UserError(
            f"There is no {path}: {model_dir} is not the folder of a run. Train first: "
            f"python -m wss.train --gin_file=... --model_dir={model_dir}"
        )
    stored_files.read_text(path, config_changes.ADVICE)
    config.load([path], bindings)


def _create(
    model_dir: str,
    tpu: Optional[str],
    spec: Optional[DatasetSpec] = None,
    strategy: Optional[tf.distribute.Strategy] = None,
) -> Experiment:
    if strategy is None:
        # Passing None would override gin's binding.
        strategy = distribution.get_strategy(**({"tpu": tpu} if tpu else {}))
    given = {"model_dir", "strategy", *gin.get_bindings(Experiment)}
    missing = [
        f"Experiment.{field.name}"
        for field in dataclasses.fields(Experiment)
        if field.default is dataclasses.MISSING and field.name not in given
    ]
    if missing:
        raise UserError(f"No gin file sets {', '.join(missing)}. Set them in yours.")
    experiment = Experiment(model_dir, strategy, spec=spec)
    distribution.configure_determinism(experiment.deterministic)
    tf.config.experimental.enable_tensor_float_32_execution(experiment.tensor_float_32)
    return experiment


def _facts(experiment: Experiment, mode: str) -> dict[str, Any]:
    """What workers must have in common besides the settings, by name for messages."""
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


def _checksum(manifest: Optional[dict[str, Any]], split: str) -> Optional[str]:
    """A checksum of all shards that data_prep wrote; None for those of other tools."""
    written = manifest["splits"] if manifest else {}
    files = [written.get(part, {}).get("files") for part in split.split("+")]
    if not all(files):
        return None
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:12]


def _differences(
    first: dict[str, Any], other: dict[str, Any], places: tuple[str, str]
) -> Iterator[str]:
    yield from config_changes.find(
        first["settings"], other["settings"], _OWN_SETTINGS, places
    )
    for name in {**first["facts"], **other["facts"]}:
        values = [worker["facts"].get(name) for worker in (first, other)]
        if values[0] != values[1]:
            yield f"{name} is {values[0]!r} {places[0]} and {values[1]!r} {places[1]}"
