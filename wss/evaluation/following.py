"""Evaluates the checkpoints of a training that runs somewhere else."""

import os
import time
from typing import Any, Callable, Optional

import tensorflow as tf

from wss import config
from wss.errors import UserError
from wss.files import atomic, paths

# Seconds between two looks.
_INTERVAL = 10.0


def follow(
    open_trained: Callable[[], Any],
    model_dir: str,
    timeout: Optional[float] = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Evaluates each new checkpoint until that of the training's last step.

    The training may not have begun, may stop and may be started again. Of several
    checkpoints since the last look only the newest is evaluated.

    Args:
      open_trained: gives the `wss.experiment.Experiment` of the folder, once its
        configuration is there.
      model_dir: folder of the training.
      timeout: seconds without a new checkpoint until it gives up; None: never.
      sleep: waits for a number of seconds.

    Raises:
      UserError: no folder, no new checkpoint in time, or a checkpoint of another
        network.
    """
    paths.check("--model_dir", model_dir)
    if tf.io.gfile.exists(model_dir) and not tf.io.gfile.isdir(model_dir):
        raise UserError(f"{model_dir} is no folder. Name that of a run (--model_dir).")
    wait = _Wait(model_dir, timeout, sleep)
    path = os.path.join(model_dir, config.CONFIG_FILE)
    wait.until(lambda: tf.io.gfile.exists(path))
    experiment = open_trained()
    evaluate = experiment.repeated_evaluation()
    last = None
    while True:
        checkpoint = wait.until(lambda: _newer(model_dir, last))  # noqa: B023
        try:
            step = evaluate(checkpoint)
        except (UserError, tf.errors.NotFoundError, tf.errors.DataLossError):
            if tf.io.gfile.exists(f"{checkpoint}.index"):
                raise
            continue  # The training has deleted it in the meantime.
        last = checkpoint
        if step >= experiment.train_steps:
            print(f"The training has taken its {step} steps.", flush=True)
            return


def _newer(model_dir: str, last: Optional[str]) -> Optional[str]:
    """The newest checkpoint if it is another than `last`."""
    atomic.refuse_special(os.path.join(model_dir, "checkpoint"))
    try:
        newest = tf.train.latest_checkpoint(model_dir)
    except ValueError:  # The file `checkpoint` is empty or no text; the next one is.
        return None
    return None if newest == last else newest


class _Wait:
    """Waits until something is there, and says so."""

    def __init__(
        self, model_dir: str, timeout: Optional[float], sleep: Callable[[float], None]
    ):
        self._model_dir = model_dir
        self._timeout = timeout
        self._sleep = sleep

    def until(self, look: Callable[[], Any]) -> Any:
        """What `look` gives, once it gives anything."""
        waited = 0.0
        while True:
            found = look()
            if found:
                return found
            if self._timeout is not None and waited >= self._timeout:
                raise UserError(
                    f"There was no new checkpoint in {self._model_dir} for "
                    f"{waited:.0f} s, and the training has not taken its last step. "
                    "Start it again, or give --continuous a longer --timeout; the same "
                    "command goes on from there."
                )
            if not waited:
                print(f"Waiting for a new checkpoint in {self._model_dir}.", flush=True)
            pause = _INTERVAL
            if self._timeout is not None:
                pause = min(pause, max(self._timeout - waited, 0.1))
            self._sleep(pause)
            waited += pause
