"""What goes wrong while training, told so that a user can go on."""

import contextlib
import json
import os
from typing import Any, Dict, Iterator, List, Optional

import tensorflow as tf

from wss.data import sampling
from wss.data.tfrecords import Records
from wss.errors import NotFiniteError, UserError, reason
from wss.experiment import Experiment
from wss.files import atomic
from wss.training import checkpoints


@contextlib.contextmanager
def explained_memory(experiment: Experiment, evaluates: bool = False) -> Iterator[None]:
    """Turns the device's "out of memory" into a `UserError` that says what helps.

    Args:
      experiment: of the run.
      evaluates: whether it only evaluates.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        # A full disk is told by the same exception.
        if "No space left" in str(error):
            raise
        advice = _smaller_images if evaluates else _smaller_steps
        raise UserError(f"The device is out of memory. {advice(experiment)}") from error


def _smaller_images(experiment: Experiment) -> str:
    height, width = experiment.eval_crop_size
    return (
        f"An image takes less with a smaller EVAL_CROP_SIZE (now {height} x {width}); "
        "--sliding_window then sees all of its pixels."
    )


def _smaller_steps(experiment: Experiment) -> str:
    height, width = experiment.crop_size
    goes_on = "Start again with one of them."
    if checkpoints.exist(experiment.model_dir):
        # In the same folder they have to stay what they are.
        goes_on = (
            "They need another --model_dir; the same command goes on from the last "
            "checkpoint, on a device with more memory."
        )
    return (
        "Four settings reduce what a step needs: a "
        f"smaller CROP_SIZE (now {height} x {width}), a larger "
        f"Experiment.output_stride (now {experiment.output_stride}), PRECISION = "
        f"'mixed_bfloat16' (now '{experiment.precision}'), and more "
        f"ACCUMULATION_STEPS (now {experiment.accumulation_steps}) or a smaller "
        f"BATCH_SIZE (now {experiment.batch_size}). {goes_on}"
    )


@contextlib.contextmanager
def explained_folder(folder: str) -> Iterator[None]:
    """Turns a failure to write below a folder into a `UserError`."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if folder not in str(error):
            raise
        raise _not_writable(folder, error) from error


@contextlib.contextmanager
def explained_scores(folder: str) -> Iterator[None]:
    """As `explained_folder`, of an evaluation: its scores were printed before."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if folder not in str(error):
            raise
        raise UserError(
            f"The scores above are right, but {folder} does not keep them: it cannot "
            f"be written to ({reason(error)}). To keep them, make room or copy the "
            "folder to a place of your own, and evaluate there."
        ) from error


def make_folder(folder: str) -> None:
    """Makes a folder to write to, unless it is there.

    Raises:
      UserError: it cannot be made; the failure may name any folder above it.
    """
    try:
        tf.io.gfile.makedirs(folder)
    except tf.errors.OpError as error:
        raise _not_writable(folder, error) from error


@contextlib.contextmanager
def sole_training(folder: str) -> Iterator[None]:
    """Makes a folder unless it is there, and keeps other runs on this machine out.

    However this process ends, the folder is free again.

    Args:
      folder: in a bucket, and where the file system knows no locks, nobody is kept out.

    Raises:
      UserError: another training is there, or the folder cannot be made.
    """
    is_new = not tf.io.gfile.isdir(folder)
    make_folder(folder)
    if not os.path.isdir(folder):
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if atomic.try_lock(descriptor) is False:
            raise UserError(
                f"Another training is running in {folder}. Wait for its end, or name "
                "another --model_dir."
            )
        yield
    except UserError:
        if is_new:
            with contextlib.suppress(OSError):
                os.rmdir(folder)  # Only if nothing has been written.
        raise
    finally:
        os.close(descriptor)


def _not_writable(folder: str, error: Exception) -> UserError:
    return UserError(
        f"The folder {folder} cannot be written to ({reason(error)}). Is its disk "
        "full or gone, and may you write to it? Make room, or name another "
        "--model_dir. What was there before is not harmed: once the folder is there "
        "again, the same command goes on from the last checkpoint."
    )


def explained_batch(
    experiment: Experiment, error: NotFiniteError, latest: Optional[str]
) -> NotFiniteError:
    """Writes down the batch of a bad step; the error with what to do about it.

    Args:
      experiment: of the run.
      error: names the step.
      latest: path of the last good checkpoint, None where there is none.
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
            "other weights where there is an INIT_CHECKPOINT."
        )
    # In the same folder the rate has to stay what it is.
    return (
        f"The last good checkpoint is {latest}. Train into another --model_dir with "
        f"{settings}. If the losses were sound until then, INIT_CHECKPOINT = "
        f"'{latest}' and Experiment.initialize_last_layer = True begin with its "
        "weights."
    )


def save_batch(experiment: Experiment, step: int, problem: str) -> str:
    """Writes down the images of a step's batch.

    They are found again from the seed, without the device.

    Args:
      experiment: of the run.
      step: number of the step, 0 for the first.
      problem: what happened there.

    Returns:
      Path of the file in the model directory, `batch_of_step_<step>.json`.
    """
    content = {"step": step, "problem": problem, **_records(experiment, step)}
    path = os.path.join(experiment.model_dir, f"batch_of_step_{step}.json")
    atomic.write_text(path, json.dumps(content, indent=2) + "\n")
    return path


def _records(experiment: Experiment, step: int) -> Dict[str, List[Dict[str, Any]]]:
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
