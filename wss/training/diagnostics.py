"""Advice after a step has failed: how to save memory, which images it used."""

import json
import os
from typing import Any, Optional

from wss.data import sampling
from wss.data.tfrecords import Records
from wss.errors import NotFiniteError
from wss.experiment import Experiment
from wss.files import atomic
from wss.models import backbone
from wss.run_folder import checkpoints


def less_memory(experiment: Experiment) -> str:
    """Which settings reduce the memory of a step, for `explained_memory`."""
    height, width = experiment.crop_size
    advice = "Start again with one of them."
    if checkpoints.exist(experiment.model_dir):
        # A resumed run must keep these settings.
        advice = (
            "They need another --model_dir; the same command resumes from the last "
            "checkpoint, on a device with more memory."
        )
    of_network = f"a larger Experiment.output_stride (now {experiment.output_stride})"
    if backbone.patch_size(experiment.model_variant):
        of_network = "DPT.recompute = True"
    return (
        "Four settings reduce the memory of a step: a "
        f"smaller CROP_SIZE (now {height} x {width}), {of_network}, PRECISION = "
        f"'mixed_bfloat16' (now '{experiment.precision}'), and more "
        f"ACCUMULATION_STEPS (now {experiment.accumulation_steps}) or a smaller "
        f"BATCH_SIZE (now {experiment.batch_size}). {advice}"
    )


def explained_batch(
    experiment: Experiment, error: NotFiniteError, latest: Optional[str]
) -> NotFiniteError:
    """Lists the images of a bad step in a file; returns an error with advice.

    Args:
      experiment: the run.
      error: names the step.
      latest: path of the last good checkpoint; None if there is none.
    """
    path = save_batch(experiment, error.step, str(error))
    return NotFiniteError(
        f"{error} The images of its batch are listed in {path}. "
        f"{_advice_on_rate(latest)}",
        error.step,
    )


def _advice_on_rate(latest: Optional[str]) -> str:
    settings = (
        "a smaller learning_rate.base or a slow start (learning_rate.slow_start_steps)"
    )
    if latest is None:
        return (
            f"No checkpoint was written before. Start again with {settings}, or from "
            "other weights if INIT_CHECKPOINT is set."
        )
    # A resumed run must keep its learning rate.
    return (
        f"The last good checkpoint is {latest}. Train into another --model_dir with "
        f"{settings}. If the losses were fine until then, INIT_CHECKPOINT = "
        f"'{latest}' and Experiment.initialize_last_layer = True start from its "
        "weights."
    )


def save_batch(experiment: Experiment, step: int, problem: str) -> str:
    """Writes a list of the images of a step's batch.

    The seed determines them, so the device is not needed.

    Args:
      experiment: the run.
      step: number of the step, 0 for the first.
      problem: what happened in this step.

    Returns:
      Path of the file in the model directory, `batch_of_step_<step>.json`.
    """
    content = {"step": step, "problem": problem, **_records(experiment, step)}
    path = os.path.join(experiment.model_dir, f"batch_of_step_{step}.json")
    atomic.write_text(path, json.dumps(content, indent=2) + "\n")
    return path


def _records(experiment: Experiment, step: int) -> dict[str, list[dict[str, Any]]]:
    streams = {"labeled": (experiment.labeled_split, sampling.LABELED)}
    if experiment.method.uses_unlabeled:
        streams["unlabeled"] = (experiment.unlabeled_split, sampling.UNLABELED)
    return {
        name: sampling.records_of_step(
            Records(experiment.data_dir, split, experiment.dataset),
            stream=stream,
            seed=experiment.seed,
            batch_size=experiment.batch_size,
            step=step,
        )
        for name, (split, stream) in streams.items()
    }
