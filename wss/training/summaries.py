"""What a person sees of a training: TensorBoard and the progress line."""

import contextlib
import time
from typing import Iterator, Mapping, Optional

import tensorflow as tf

from wss.errors import first_line

# Below this share, waiting is what every pipeline does now and then.
_WAITING_WORTH_A_LOOK = 0.05

# What a full disk, a vanished folder or a missing package raises.
_FAILURES = (tf.errors.OpError, OSError, ImportError)


class Summaries:
    """Writes TensorBoard events into a directory.

    Where writing fails it warns once and writes no more: curves are no reason to stop a
    training.
    """

    def __init__(self, directory: str):
        self._directory = directory
        self._writer = None
        self._failed = False
        with self._guarded():
            self._writer = tf.summary.create_file_writer(directory)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        with self._writing(step):
            for tag, value in values.items():
                tf.summary.scalar(tag, value)

    def histograms(self, tensors: Mapping[str, tf.Tensor], step: int) -> None:
        with self._writing(step):
            for tag, tensor in tensors.items():
                tf.summary.histogram(tag, tensor)

    def images(self, images: Mapping[str, tf.Tensor], step: int) -> None:
        """Writes images [count, height, width, 3], uint8."""
        with self._writing(step):
            for tag, image in images.items():
                tf.summary.image(tag, image, max_outputs=image.shape[0])

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        with self._writing(step):
            tf.summary.text(tag, markdown)

    def flush(self) -> None:
        with self._guarded():
            if self._writer is not None:
                self._writer.flush()

    @contextlib.contextmanager
    def _writing(self, step: int) -> Iterator[None]:
        with self._guarded():
            if self._writer is None:
                yield  # Without a writer the operations write nothing.
                return
            with self._writer.as_default(step):
                yield

    @contextlib.contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            self._writer = None
            if self._failed:
                return
            self._failed = True
            print(
                f"warning: TensorBoard events can not be written to {self._directory} "
                f"({first_line(error)}). The run goes on without them.",
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
