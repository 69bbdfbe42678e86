"""What a person sees of a training: TensorBoard and the progress line."""

import contextlib
import time
from typing import Iterator, Mapping, Optional

import tensorflow as tf


class Summaries:
    """Writes TensorBoard events into a directory."""

    def __init__(self, directory: str):
        self._writer = tf.summary.create_file_writer(directory)

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        with self._writer.as_default(step):
            for tag, value in values.items():
                tf.summary.scalar(tag, value)

    def histograms(self, tensors: Mapping[str, tf.Tensor], step: int) -> None:
        with self._writer.as_default(step):
            for tag, tensor in tensors.items():
                tf.summary.histogram(tag, tensor)

    def images(self, images: Mapping[str, tf.Tensor], step: int) -> None:
        """Writes images [count, height, width, 3], uint8."""
        with self._writer.as_default(step):
            for tag, image in images.items():
                tf.summary.image(tag, image, max_outputs=image.shape[0])

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        with self._writer.as_default(step):
            tf.summary.text(tag, markdown)

    def flush(self) -> None:
        self._writer.flush()


class Stopwatch:
    """Measures the pace of a training, without its pauses.

    The pace is a running mean in which a lap weighs as much as all before it, so
    that it follows changes but does not jump.
    """

    def __init__(self) -> None:
        self._step = 0
        self._time = 0.0
        self._seconds_per_step: Optional[float] = None

    def start(self, step: int) -> None:
        """Begins a lap; what was before is not measured."""
        self._step, self._time = step, time.monotonic()

    def lap(self, step: int) -> None:
        """Ends a lap and begins the next; nothing where no step was made since."""
        if step == self._step:
            return
        pace = (time.monotonic() - self._time) / (step - self._step)
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
) -> str:
    """One line for the screen: step, losses, learning rate, images/s, time left."""
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
    return line


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
