"""How long training waits for its input, and a warning when it waits too long."""

import contextlib
import sys
import threading
import time
from typing import Any, Iterator

import gin
import tensorflow as tf

from wss.settings import NonNegative


@gin.configurable
class InputClock:
    """Measures the wait for each batch within the step's own graph.

    Has to be created outside of a strategy's scope: its variables belong to the host.

    Args:
      stall_seconds: a wait for one batch that is worth a warning; 0: never.
    """

    def __init__(self, stall_seconds: NonNegative = 60.0):
        self._stall_seconds = stall_seconds
        with tf.device("/cpu:0"):
            # Seconds of all waits, and since when (Unix time) a step waits; 0: it does
            # not.
            self._waited = tf.Variable(0.0, trainable=False, dtype=tf.float64)
            self._since = tf.Variable(0.0, trainable=False, dtype=tf.float64)

    def timed(self, batches: Any, step: tf.Variable) -> Any:
        """The iterator `batches`, whose every `next` is measured.

        With deterministic kernels TensorFlow has no clock: then it is not measured.

        Args:
          batches: the iterator.
          step: a variable that a step changes; the next step's wait begins then.
        """
        try:
            tf.timestamp()
        except tf.errors.FailedPreconditionError:
            return batches
        return TimedIterator(batches, self, step)

    def take(self) -> float:
        """Seconds waited since the last call."""
        waited = float(self._waited.numpy())
        self._waited.assign(0.0)
        return waited

    def start(self) -> tf.Tensor:
        """Notes that a wait begins; returns when, Unix time, float64."""
        with tf.device("/cpu:0"):
            now = tf.timestamp()
            self._since.assign(now)
        return now

    def stop(self, start: tf.Tensor) -> tf.Operation:
        """Notes that the wait that began at `start` is over."""
        with tf.device("/cpu:0"):
            waited = self._waited.assign_add(tf.timestamp() - start)
            with tf.control_dependencies([waited, self._since.assign(0.0)]):
                return tf.no_op()

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Inside, warns of a step whose batch does not come."""
        done = threading.Event()
        thread = threading.Thread(target=self._watch, args=(done,), daemon=True)
        if self._stall_seconds > 0:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if thread.is_alive():
                thread.join()

    def _watch(self, done: threading.Event) -> None:
        warn_at = self._stall_seconds
        while not done.wait(min(5.0, self._stall_seconds / 4)):
            since = float(self._since.numpy())
            waited = time.time() - since if since else 0.0
            if waited < self._stall_seconds:
                warn_at = self._stall_seconds
            elif waited >= warn_at:
                warn_at = 2 * waited
                print(
                    f"warning: the step has waited for its batch for {waited:.0f} s. "
                    "Is the disk or the network that holds the data slow or gone?",
                    file=sys.stderr,  # Each worker's own: only the chief prints.
                    flush=True,
                )


class TimedIterator:
    """An iterator to be used inside a `tf.function`; see `InputClock.timed`."""

    def __init__(self, batches: Any, clock: InputClock, step: tf.Variable):
        self._batches = batches
        self._clock = clock
        self._step = step

    @property
    def element_spec(self) -> Any:
        """The batches' structure, shapes and types."""
        return self._batches.element_spec

    def __iter__(self) -> "TimedIterator":
        return self

    def __next__(self) -> Any:
        # Nothing else would keep a graph of many steps from looking at the clock first.
        with tf.control_dependencies([self._step.read_value()]):
            start = self._clock.start()
        with tf.control_dependencies([start]):
            batch = next(self._batches)
        with tf.control_dependencies(tf.nest.flatten(batch, expand_composites=True)):
            stopped = self._clock.stop(start)

        def behind(tensor: tf.Tensor) -> tf.Tensor:
            # Otherwise a busy CPU begins the step first and looks at the clock late.
            with tf.device(tensor.device), tf.control_dependencies([stopped]):
                return tf.identity(tensor)

        return tf.nest.map_structure(behind, batch, expand_composites=True)
