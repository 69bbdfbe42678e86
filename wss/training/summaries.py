"""What a person sees of a run: the progress line, and TensorBoard's curves."""

import contextlib
import math
import os
import sys
import threading
import time
from typing import Dict, Iterator, Mapping, Optional

import tensorflow as tf

from wss.experiment import Experiment
from wss.run_folder.event_files import Summaries
from wss.training.train_step import Results

# Seconds that a step waits for its batch until that is worth a warning.
_STALL_SECONDS = 60.0
# Below this share, waiting is what every pipeline does now and then.
_WAITING_WORTH_A_LOOK = 0.05


class Progress:
    """Shows how a run gets on: on the screen and in TensorBoard.

    Args:
      experiment: the run.
      directory: of TensorBoard's events.
    """

    def __init__(self, experiment: Experiment, directory: str):
        self.summaries = Summaries(directory)
        self._experiment = experiment
        self._stopwatch = Stopwatch()
        self._waited: Optional[float] = None  # Seconds; None: not measured.

    def start(self, step: int) -> None:
        """Begins to measure the pace; the first step, which is traced, is left out."""
        self._stopwatch.start(step)
        self._waited = None

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Time inside is that of waiting for a batch; a long wait gives a warning."""
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
        """Time inside does not count for the pace."""
        return self._stopwatch.pause()

    def log(self, step: int, results: Results, weight_norm: tf.Tensor) -> None:
        """Prints the progress line and adds a point to each curve.

        Args:
          step: number of steps taken.
          results: of the last one.
          weight_norm: Euclidean norm of all weights, scalar.
        """
        self._stopwatch.lap(step)
        pace = self._stopwatch.steps_per_second
        losses = {name: float(value) for name, value in results["losses"].items()}
        scalars = {
            **_tagged("losses", losses),
            **_tagged("monitors", results["monitors"]),
            "learning_rate": float(results["learning_rate"]),
            "monitors/weight_norm": weight_norm,
            **_tagged("memory_gb", memory_in_use()),
        }
        images_per_second = waiting = None
        if pace:
            images_per_second = pace * self._experiment.images_per_step
            scalars["performance/images_per_second"] = images_per_second
            scalars["performance/seconds_per_step"] = 1.0 / pace
            if self._waited is not None:
                waiting = min(
                    1.0, self._waited / max(self._stopwatch.lap_seconds, 1e-9)
                )
                scalars["performance/waiting_for_input"] = waiting
        self._waited = None
        print(
            progress_line(
                step,
                self._experiment.train_steps,
                losses,
                scalars["learning_rate"],
                images_per_second,
                pace,
                waiting or 0.0,
            ),
            flush=True,
        )
        if losses.get("supervised") == 0.0:
            print(
                f"warning: step {step} found no labeled pixel: its masks are ignored "
                "everywhere. python -m data_prep.verify shows which values they hold.",
                file=sys.stderr,
                flush=True,
            )
        self.summaries.scalars(scalars, step)
        self.summaries.flush()

    def draw(self, step: int, results: Results) -> None:
        """Histograms, pictures, and a curve for each class that the last batch had."""
        self.summaries.histograms(results["histograms"], step)
        self.summaries.images(_tagged("samples", results["images"]), step)
        self.summaries.scalars(
            {
                f"{monitor}/{name}": value
                for monitor, entries in results["classes"].items()
                for name, value in zip(
                    self._experiment.spec.class_names, entries.numpy().tolist()
                )
                if math.isfinite(value)
            },
            step,
        )


def _tagged(group: str, values: Mapping[str, object]) -> Dict[str, object]:
    return {f"{group}/{name}": value for name, value in values.items()}


def _warn_of_stall() -> None:
    print(
        f"warning: the step has waited for its batch for {_STALL_SECONDS:.0f} s. Is "
        "the disk or the network that holds the data slow or gone?",
        file=sys.stderr,  # Each worker's own: only the chief prints.
        flush=True,
    )


class Stopwatch:
    """Measures the pace of a training, without its pauses.

    The pace is a running mean in which a lap weighs as much as all before it, so
    that it follows changes but does not jump.
    """

    def __init__(self) -> None:
        self._step = 0
        self._time = 0.0
        # Of the last lap, without pauses.
        self.lap_seconds = 0.0
        self._seconds_per_step: Optional[float] = None

    def start(self, step: int) -> None:
        """Begins a lap; what was before is not measured."""
        self._step, self._time = step, time.monotonic()

    def lap(self, step: int) -> None:
        """Ends a lap and begins the next; nothing where no step was made since."""
        if step == self._step:
            return
        self.lap_seconds = time.monotonic() - self._time
        pace = self.lap_seconds / (step - self._step)
        old = self._seconds_per_step
        self._seconds_per_step = pace if old is None else (old + pace) / 2.0
        self.start(step)

    @contextlib.contextmanager
    def pause(self) -> Iterator[None]:
        """Time inside does not count."""
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
    """One line for the screen: step, losses, learning rate, images/s, time left.

    `waiting`, the share of the time without a batch, is shown where it is worth a look.
    """
    parts = ", ".join(
        f"{name} {value:.4f}" for name, value in losses.items() if name != "total"
    )
    line = (
        f"step {step:>{len(str(total_steps))}}/{total_steps}"
        f"  loss {losses['total']:.4f} ({parts})  lr {learning_rate:.2e}"
    )
    if steps_per_second:
        left = _duration((total_steps - step) / steps_per_second)
        line += f"  {images_per_second:.1f} images/s  {left} left"
    if waiting >= _WAITING_WORTH_A_LOOK:
        line += f"  {100 * waiting:.0f}% waiting for input"
    return line


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def memory_in_use() -> Dict[str, float]:
    """Gigabytes (10^9) in use: "host", and "GPU:0" and so on with their peaks."""
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
