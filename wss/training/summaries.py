"""Reports the progress of a run: on the screen and in TensorBoard."""

import contextlib
import math
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Optional

import tensorflow as tf

from wss.experiment import Experiment
from wss.run_folder.event_files import (
    LOSSES,
    MONITORS,
    PERFORMANCE,
    SAMPLES,
    SINGLE_CLASSES,
    Summaries,
    tagged,
)
from wss.training.train_step import Results

# A step that waits longer for its batch prints a warning.
_STALL_SECONDS = 60.0
# Smaller shares of waiting are normal for any pipeline, and are not shown.
_SHOWN_WAITING = 0.05
# Maximum length of a progress line.
_COLUMNS = 100


class Progress:
    """Shows the progress of a run: on the screen and in TensorBoard.

    Args:
      experiment: the run.
      directory: folder for TensorBoard's events.
    """

    def __init__(self, experiment: Experiment, directory: str):
        self.summaries = Summaries(directory)
        self._experiment = experiment
        self._stopwatch = Stopwatch()
        self._waited: Optional[float] = None  # Seconds; None: not measured.

    def start(self, step: int) -> None:
        """Starts to measure the speed, after the first step, which includes tracing."""
        self._stopwatch.start(step)
        self._waited = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Context of the wait for a batch: it is measured, and a long wait warns."""
        warning = threading.Timer(_STALL_SECONDS, _warn_of_stall)
        warning.daemon = True
        warning.start()
        start = time.monotonic()
        try:
            yield
        finally:
            warning.cancel()
            self._waited = (self._waited or 0.0) + time.monotonic() - start

    def paused(self) -> contextlib.AbstractContextManager:
        """Context whose time is not part of the measured speed."""
        return self._stopwatch.pause()

    def log(self, step: int, results: Results, weight_norm: tf.Tensor) -> None:
        """Prints the progress line and adds a point to each curve.

        Args:
          step: number of steps taken.
          results: the results of the last step.
          weight_norm: Euclidean norm of all weights, scalar.
        """
        self._stopwatch.lap(step)
        speed = self._stopwatch.steps_per_second
        losses = {name: float(value) for name, value in results["losses"].items()}
        monitors = {
            **results["monitors"],
            "learning_rate": float(results["learning_rate"]),
            "weight_norm": weight_norm,
        }
        performance = {f"memory_gb/{k}": v for k, v in memory_in_use().items()}
        waiting = 0.0
        if speed:
            monitors["images_per_second"] = speed * self._experiment.images_per_step
            performance["seconds_per_step"] = 1.0 / speed
            if self._waited is not None:
                waiting = self._waited / max(self._stopwatch.lap_seconds, 1e-9)
                waiting = performance["waiting_for_input"] = min(1.0, waiting)
        self._waited = None
        print(
            progress_line(
                step,
                self._experiment.train_steps,
                losses,
                monitors["learning_rate"],
                monitors.get("images_per_second"),
                speed,
                waiting,
            ),
            flush=True,
        )
        if losses.get("supervised") == 0.0:
            print(
                f"warning: the masks of step {step} have no labeled pixel: all are "
                "ignored. python -m data_prep.verify shows their values.",
                file=sys.stderr,
                flush=True,
            )
        for group, values in (
            (LOSSES, losses),
            (MONITORS, monitors),
            (PERFORMANCE, performance),
        ):
            self.summaries.scalars(tagged(group, values), step)
        self.summaries.flush()

    def draw(self, step: int, results: Results) -> None:
        """Writes histograms, images, and curves of the classes in the last batch."""
        self.summaries.histograms(tagged(SAMPLES, results["histograms"]), step)
        self.summaries.images(tagged(SAMPLES, results["images"]), step)
        of_classes = {
            f"{monitor}/{name}": value
            for monitor, entries in results["classes"].items()
            for name, value in zip(
                self._experiment.spec.class_names, entries.numpy().tolist()
            )
            if math.isfinite(value)
        }
        self.summaries.scalars(tagged(SINGLE_CLASSES, of_classes), step)


def _warn_of_stall() -> None:
    print(
        f"warning: the step has waited for its batch for {_STALL_SECONDS:.0f} s. Is "
        "the disk or the network of the data slow or gone?",
        file=sys.stderr,  # Each worker warns: only the chief prints to standard output.
        flush=True,
    )


class Stopwatch:
    """Measures the speed of a run, without its pauses.

    The speed is a running mean in which the last lap weighs as much as all earlier
    ones, so that it follows changes but does not jump.

    Attributes:
      lap_seconds: duration of the last lap, without pauses.
    """

    def __init__(self) -> None:
        self._step = 0
        self._time = 0.0
        self.lap_seconds = 0.0
        self._seconds_per_step: Optional[float] = None

    def start(self, step: int) -> None:
        """Starts a lap; the time before is not measured."""
        self._step, self._time = step, time.monotonic()

    def lap(self, step: int) -> None:
        """Ends a lap and starts the next; does nothing if no step was taken since."""
        if step == self._step:
            return
        self.lap_seconds = time.monotonic() - self._time
        new = self.lap_seconds / (step - self._step)
        old = self._seconds_per_step
        self._seconds_per_step = new if old is None else (old + new) / 2.0
        self.start(step)

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Context whose time is not measured."""
        before = time.monotonic()
        yield
        self._time += time.monotonic() - before

    @property
    def steps_per_second(self) -> Optional[float]:
        """None before the first lap."""
        if self._seconds_per_step is None:
            return None
        return 1.0 / max(self._seconds_per_step, 1e-9)


def progress_line(
    step: int,
    total_steps: int,
    losses: Mapping[str, float],
    learning_rate: float,
    images_per_second: Optional[float],
    steps_per_second: Optional[float],
    waiting: float = 0.0,
) -> str:
    """The line that shows step, losses, learning rate, images/s and time left.

    `waiting`, the share of the time spent waiting for batches, is shown if it is large.
    A line of more than `_COLUMNS` leaves out the last loss (the weight decay), then the
    learning rate, then further losses: all of them have curves.
    """
    values = {
        name: f"{loss:.3f}" if abs(loss) < 1e4 else f"{loss:.3g}"
        for name, loss in losses.items()
    }
    total = values.pop("total")
    parts = [f"{name} {value}" for name, value in values.items()]
    start = f"step {step:>{len(str(total_steps))}}/{total_steps}  loss {total}"
    rate = f"  lr {learning_rate:.2e}"
    end = ""
    if steps_per_second:
        left = _duration((total_steps - step) / steps_per_second)
        end += f"  {images_per_second:.1f} images/s  {left} left"
    if waiting >= _SHOWN_WAITING:
        end += f"  {100 * waiting:.0f}% input wait"

    def line(count: int, rate: str = "") -> str:
        shown = ", ".join(parts[:count]) + (" ..." if count < len(parts) else "")
        return start + (f" ({shown})" if count else "") + rate + end

    most = len(parts) - 1
    lines = [line(most + 1, rate), line(most, rate), *map(line, range(most, 0, -1))]
    return next((one for one in lines if len(one) <= _COLUMNS), line(0))


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def memory_in_use() -> dict[str, float]:
    """Memory in use, in gigabytes (10^9 bytes): "host", "GPU:0", "GPU:0 peak" etc."""
    sizes = {}
    if os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        sizes["host"] = 1e-9 * pages * os.sysconf("SC_PAGE_SIZE")
    for index in range(len(tf.config.list_logical_devices("GPU"))):
        info = tf.config.experimental.get_memory_info(f"GPU:{index}")
        sizes[f"GPU:{index}"] = 1e-9 * info["current"]
        sizes[f"GPU:{index} peak"] = 1e-9 * info["peak"]
    return sizes
