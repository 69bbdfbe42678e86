"""Checkpoints of a training: saved by step, the last few kept, restored on restart."""

from typing import Any, Optional

import tensorflow as tf

from wss.errors import UserError


class Checkpoints:
    """The checkpoints `<directory>/ckpt-<step>` of one training.

    Args:
      directory: where they lie.
      step: the variable that counts the steps.
      keep: how many of the last checkpoints to keep.
      items: what a checkpoint holds beside the step, by name.
    """

    def __init__(self, directory: str, step: tf.Variable, keep: int, **items: Any):
        self._step = step
        self._directory = directory
        self._checkpoint = tf.train.Checkpoint(step=step, **items)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, directory, max_to_keep=keep, checkpoint_name="ckpt"
        )

    @property
    def latest(self) -> Optional[str]:
        """Path of the last checkpoint, None before the first."""
        return self._manager.latest_checkpoint

    def save(self) -> str:
        """Saves now and returns the path."""
        return self._manager.save(checkpoint_number=self._step.numpy())

    def restore(self) -> bool:
        """Restores the last checkpoint; False where there is none.

        Raises:
          UserError: it was written by another configuration.
        """
        if self.latest is None:
            return False
        try:
            status = self._checkpoint.restore(self.latest)
            status.assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            reason = str(error).strip().splitlines()[0]
            raise UserError(
                f"The checkpoint {self.latest} does not fit this configuration "
                f"({reason}). Continue with the configuration it was written by "
                f"({self._directory}/config.gin), or train into another --model_dir."
            ) from error
        return True
