"""A window of steps that TensorFlow's profiler records."""

from typing import Optional, Tuple

import tensorflow as tf

from wss.errors import UserError, first_line


def parse_window(text: str) -> Tuple[int, int]:
    """ "A,B" -> the steps (A, B), between which the profiler runs.

    Raises:
      UserError: it is no such pair.
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
    """Starts and stops the profiler at steps.

    Args:
      window: the steps after which it starts and stops, or None for no profile.
      directory: where it writes; TensorBoard's profile plugin shows it.
    """

    def __init__(self, window: Optional[Tuple[int, int]], directory: str):
        self._window = window
        self._directory = directory
        self._runs = False

    def steps_to_next(self, step: int) -> Optional[int]:
        """Steps until it starts or stops, None where neither is to come."""
        to_come = [edge - step for edge in self._window or () if edge > step]
        return min(to_come, default=None)

    def update(self, step: int) -> None:
        """Starts or stops if that is due after `step`."""
        if self._window is None:
            return
        first, last = self._window
        if step >= last:
            self.stop()
        elif step >= first and not self._runs:
            try:
                tf.profiler.experimental.start(self._directory)
            except tf.errors.OpError as error:
                self._window = None
                print(
                    f"warning: the profiler does not start: {first_line(error)}",
                    flush=True,
                )
                return
            self._runs = True

    def stop(self) -> None:
        """Stops and writes, if it runs."""
        if not self._runs:
            return
        self._runs = False
        try:
            tf.profiler.experimental.stop()
        except tf.errors.OpError as error:
            print(
                f"warning: the profile was not written: {first_line(error)}", flush=True
            )
            return
        print(f"The profile is in {self._directory}/plugins/profile.", flush=True)
