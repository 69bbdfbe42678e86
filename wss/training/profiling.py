"""A window of steps that TensorFlow's profiler records."""

from typing import Optional

import tensorflow as tf

from wss.errors import UserError, first_line


def parse_window(text: str) -> tuple[int, int]:
    """ "A,B" -> the steps (A, B), between which the profiler runs.

    Raises:
      UserError: the text is not a pair of steps in ascending order.
    """
    try:
        first, last = map(int, text.split(","))
    except ValueError:
        first = last = -1
    if not 0 < first < last:
        raise UserError(
            f"--profile_steps={text}: give two steps A,B with 0 < A < B, for example "
            "100,105. The profile begins after step A and ends after step B."
        )
    return first, last


class ProfileWindow:
    """Starts and stops the profiler after given steps.

    Args:
      window: the steps after which it starts and stops; None: no profile.
      directory: output folder, for TensorBoard's profile plugin.
    """

    def __init__(self, window: Optional[tuple[int, int]], directory: str):
        self._window = window
        self._directory = directory
        self._is_running = False

    def steps_to_next(self, step: int) -> Optional[int]:
        """Steps until it starts or stops; None if it does neither any more."""
        to_come = [edge - step for edge in self._window or () if edge > step]
        return min(to_come, default=None)

    def update(self, step: int) -> None:
        """Starts or stops the profiler if that is due after `step`."""
        if self._window is None:
            return
        first, last = self._window
        if step >= last:
            self.stop()
        elif step >= first and not self._is_running:
            try:
                tf.profiler.experimental.start(self._directory)
            except tf.errors.OpError as error:
                self._window = None
                print(
                    f"warning: the profiler cannot be started: {first_line(error)}",
                    flush=True,
                )
                return
            self._is_running = True

    def stop(self) -> None:
        """Stops the profiler and writes the profile, if it is running."""
        if not self._is_running:
            return
        self._is_running = False
        try:
            tf.profiler.experimental.stop()
        except tf.errors.OpError as error:
            print(
                f"warning: the profile cannot be written: {first_line(error)}",
                flush=True,
            )
            return
        print(f"The profile is in {self._directory}/plugins/profile.", flush=True)
