"""TensorBoard event files: written, cut off where a run resumes, and read back."""

import contextlib
import os
import re
import time
from typing import Dict, Iterator, List, Mapping, Tuple

import tensorflow as tf

from wss.errors import first_line

# As TensorFlow names files of events: the second they began, and what tells them apart.
_EVENTS = re.compile(r"(events\.out\.tfevents\.)(\d+)(\..+)")
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
                f"warning: TensorBoard events cannot be written to {self._directory} "
                f"({first_line(error)}). The run goes on without them.",
                flush=True,
            )


def forget_from(directory: str, step: int) -> None:
    """Has TensorBoard drop what it finds in a directory from a step on.

    To be called before this run's first event: TensorBoard reads the files of a
    directory in the order of their time. Where it cannot be written, nor can the
    events that would be drawn twice.

    Args:
      directory: of events.
      step: the first one that will be drawn again.
    """
    if not tf.io.gfile.isdir(directory):
        return
    start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    try:
        _put_before_now(directory)
        with tf.Graph().as_default():
            writer = tf.compat.v1.summary.FileWriter(directory)
        # TensorBoard takes the first one in a directory for that of the first run.
        for _ in range(2):
            writer.add_session_log(start, step)
        writer.close()
    except (tf.errors.OpError, OSError):
        return


def _put_before_now(directory: str) -> None:
    """Renames files of events from the future: the clock has been set back since.

    Their order stays, and what is written from now on comes after them.
    """
    matches = [_EVENTS.fullmatch(name) for name in tf.io.gfile.listdir(directory)]
    found = sorted((m for m in matches if m), key=lambda m: m.string)
    now = int(time.time())
    if not found or int(found[-1][2]) < now:
        return
    for number, match in enumerate(found, start=now - len(found)):
        tf.io.gfile.rename(
            os.path.join(directory, match.string),
            os.path.join(directory, f"{match[1]}{number:010d}{match[3]}"),
        )


def read_curves(directory: str, group: str) -> Dict[str, List[Tuple[int, float]]]:
    """The curves that TensorBoard shows of a directory.

    Args:
      directory: of events.
      group: what comes before the slash of their tags, such as "losses".

    Returns:
      Points (step, value) by the rest of the tag; none where there are no events.
    """
    if not tf.io.gfile.isdir(directory):
        return {}
    # Late, for it takes a while, and training does without it.
    from tensorboard.backend.event_processing import plugin_event_accumulator

    events = plugin_event_accumulator.EventAccumulator(
        directory, {"tensors": 1}, tensor_size_guidance={"scalars": 0}
    )
    tags = events.Reload().PluginTagToContent("scalars")
    return {
        # By step, and each once: the order of the files is that of a clock.
        tag[len(group) + 1 :]: sorted(
            {
                event.step: float(tf.make_ndarray(event.tensor_proto))
                for event in events.Tensors(tag)
            }.items()
        )
        for tag in tags
        if tag.startswith(f"{group}/")
    }
