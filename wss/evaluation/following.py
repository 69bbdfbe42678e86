"""Evaluates the checkpoints of a run that another process trains."""

import os
from collections.abc import Iterator
from typing import Optional

import tensorflow as tf

from wss.errors import UserError
from wss.evaluation.restoring import CheckpointEvaluator
from wss.experiment import Experiment
from wss.files import atomic, paths


def wait_for_first(model_dir: str, timeout: Optional[float] = None) -> None:
    """Waits for the first checkpoint of a run, which may not have started yet.

    Args:
      model_dir: folder of the run.
      timeout: seconds until it gives up; None: never.

    Raises:
      UserError: it is not a folder, or there was no checkpoint in time.
    """
    paths.check("--model_dir", model_dir)
    if tf.io.gfile.exists(model_dir) and not tf.io.gfile.isdir(model_dir):
        raise UserError(
            f"{model_dir} is not a folder. Name the folder of a run (--model_dir)."
        )
    print(f"Waiting for checkpoints in {model_dir}.", flush=True)
    next(_checkpoints(model_dir, timeout))


def follow(experiment: Experiment, timeout: Optional[float] = None) -> None:
    """Evaluates each new checkpoint, up to that of the run's last step.

    The run may stop and resume. Of several checkpoints that are written during an
    evaluation, only the newest is evaluated.

    Args:
      experiment: the run.
      timeout: seconds without a new checkpoint until it gives up; None: never.

    Raises:
      UserError: no new checkpoint in time, or a checkpoint of another network.
    """
    evaluator = CheckpointEvaluator(experiment)
    for checkpoint in _checkpoints(experiment.model_dir, timeout):
        try:
            step = evaluator.evaluate(checkpoint)
        except (UserError, tf.errors.NotFoundError, tf.errors.DataLossError):
            if tf.io.gfile.exists(f"{checkpoint}.index"):
                raise
            continue  # The run has deleted it in the meantime.
        if step >= experiment.train_steps:
            print(f"The run is finished after {step} steps.", flush=True)
            return


def _checkpoints(model_dir: str, timeout: Optional[float]) -> Iterator[str]:
    """Yields the paths of new checkpoints, without an end."""
    atomic.refuse_special(os.path.join(model_dir, "checkpoint"))
    try:
        yield from tf.train.checkpoints_iterator(model_dir, timeout=timeout)
    except ValueError as error:
        raise UserError(
            f"{os.path.join(model_dir, 'checkpoint')} is damaged: it names no "
            "checkpoint. The run writes it again with its next checkpoint; then start "
            "the same command again."
        ) from error
    raise UserError(
        f"There was no new checkpoint in {model_dir} for {timeout:.0f} s, and the run "
        "is not finished. Start the run again, or choose a longer "
        "--timeout; the same command continues from there."
    )
