"""Starts what gin has been configured to, and opens what was trained before."""

import os
from typing import Optional, Sequence, Tuple

import tensorflow as tf

from wss import agreement, config, config_changes
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.evaluation.segmenter import Segmenter
from wss.experiment import Experiment
from wss.files import paths, stored_files
from wss.training import diagnostics, distribution, workers
from wss.training.run_folder import CLASSES_FILE


def run(
    mode: str,
    model_dir: str,
    tpu: Optional[str] = None,
    profile_steps: Optional[Tuple[int, int]] = None,
) -> None:
    """Runs what gin has been configured to: "train", "eval" or "train_and_eval".

    Args:
      mode: one of the three.
      model_dir: folder of the training.
      tpu: name of a TPU.
      profile_steps: steps between which TensorFlow's profiler runs.

    Raises:
      UserError: a mistake in the configuration or the data.
    """
    paths.check("--model_dir", model_dir)
    experiment = _create(model_dir, tpu)
    is_chief = distribution.is_chief(experiment.strategy)
    with workers.together(experiment.strategy, model_dir) as own_dir:
        experiment.model_dir = own_dir
        if mode != "train":
            experiment.check_evaluation()
        if mode != "eval":
            experiment.check_training()
        agreement.check(experiment, mode, profile_steps)
        if mode != "eval":
            with diagnostics.explained_folder(model_dir), diagnostics.sole_training(
                own_dir
            ):
                experiment.train(mode == "train_and_eval" and is_chief, profile_steps)
        elif is_chief:
            experiment.evaluate()


def open_trained(
    model_dir: str, bindings: Sequence[str] = (), tpu: Optional[str] = None
) -> Experiment:
    """The experiment that was trained in `model_dir`, to be evaluated.

    Args:
      model_dir: folder of the training; its configuration is loaded.
      bindings: gin statements that win over the training's.
      tpu: name of a TPU.

    Raises:
      UserError: nothing was trained there, a mistake in the bindings or the data.
    """
    _configure(model_dir, bindings)
    experiment = _create(model_dir, tpu)
    experiment.check_evaluation()
    return experiment


def load(
    model_dir: str,
    checkpoint: str = "latest",
    bindings: Sequence[str] = (),
    tpu: Optional[str] = None,
) -> Segmenter:
    """What was trained in `model_dir`, for photos; the data need not be there.

    Args:
      model_dir: folder of the training.
      checkpoint: "latest", "best" or a path.
      bindings: gin statements that win over the training's.
      tpu: name of a TPU.

    Raises:
      UserError: nothing was trained there, a mistake in the bindings, a damaged
        checkpoint.
    """
    return segmenter(reopen(model_dir, bindings, tpu), checkpoint)[0]


def reopen(
    model_dir: str,
    bindings: Sequence[str] = (),
    tpu: Optional[str] = None,
    strategy: Optional[tf.distribute.Strategy] = None,
) -> Experiment:
    """As `open_trained`, but the data need not be there.

    Args:
      model_dir, bindings, tpu: as of `open_trained`.
      strategy: which devices, unless they are to be chosen by what is there.
    """
    _configure(model_dir, bindings)
    path = os.path.join(model_dir, CLASSES_FILE)
    spec = DatasetSpec.read(path) if tf.io.gfile.exists(path) else None
    return _create(model_dir, tpu, spec, strategy)


def segmenter(experiment: Experiment, checkpoint: str) -> Tuple[Segmenter, int]:
    """What was trained, as a checkpoint has it, and its step; errors as of `load`."""
    model, step = experiment.restored_model(checkpoint)
    return Segmenter(experiment.predictor(model), experiment.spec), step


def _configure(model_dir: str, bindings: Sequence[str]) -> None:
    paths.check("--model_dir", model_dir)
    path = os.path.join(model_dir, config.CONFIG_FILE)
    if not tf.io.gfile.exists(path):
        raise UserError(
            f"There is no {path}: {model_dir} is not the folder of a training. Train "
            f"first: python -m wss.train --gin_file=... --model_dir={model_dir}"
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
        # None would override what gin binds.
        strategy = distribution.get_strategy(**({"tpu": tpu} if tpu else {}))
    try:
        return Experiment(model_dir, strategy, spec=spec)
    except TypeError as error:
        # Python's own sentence about the setting that has no value.
        raise UserError(
            f"{str(error).splitlines()[0]}. Set it in a gin file."
        ) from error
