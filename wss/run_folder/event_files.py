"""TensorBoard event files: writes them, cuts them off on resume, reads curves."""

import contextlib
import os
import re
import time
from collections.abc import Iterator, Mapping

import tensorflow as tf

from wss.errors import first_line

# Groups of tags. TensorBoard sorts by tag and opens only the first two groups, so the
# alphabet must put them in the order of their importance.
EVALUATION = "evaluation"  # Mean IoU alone.
LOSSES = "losses"
MONITORS = "monitors"
OTHER_SCORES = "other_scores"
PERFORMANCE = "performance"
SAMPLES = "samples"
SINGLE_CLASSES = "single_classes"

# TensorFlow's names of event files: the time of creation in seconds, and a suffix that
# makes the name unique.
_EVENTS = re.compile(r"(events\.out\.tfevents\.)(\d+)(\..+)")
# Raised for a full disk, a deleted folder or a missing package.
_FAILURES = (tf.errors.OpError, OSError, ImportError)


class Summaries:
    """Writes TensorBoard events into a directory.

    If writing fails, it warns once and stops writing: a run does not end because of its
    curves.
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
                yield  # Without a writer the operations do nothing.
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
                f"({first_line(error)}). The run continues without them.",
                flush=True,
            )


def tagged(group: str, values: Mapping[str, object]) -> dict[str, object]:
    """The values by tag; `group` is one of this module's."""
    return {f"{group}/{name}": value for name, value in values.items()}


def forget_from(directory: str, step: int) -> None:
    """Makes TensorBoard drop the events of a directory from a step on.

    Must be called before the first event of this process, because TensorBoard reads the
    files of a directory in the order of their times. If the directory cannot be
    written, nothing happens: then no event is drawn twice either.

    Args:
      directory: folder of the events.
      step: the first step that will be written again.
    """
    if not tf.io.gfile.isdir(directory):
        return
    start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    try:
        _put_before_now(directory)
        with tf.Graph().as_default():
            writer = tf.compat.v1.summary.FileWriter(directory)
        # TensorBoard takes the first such event in a directory for the start of the
        # first run, and drops nothing.
        for _ in range(2):
            writer.add_session_log(start, step)
        writer.close()
    except (tf.errors.OpError, OSError):
        return


def _put_before_now(directory: str) -> None:
    """Renames event files from the future, written before the clock was set back.

    They keep their order, and new files come after them.
    """
    matches = [_EVENTS.fullmatch(name) for name in tf.io.gfile.listdir(directory)]
    files = sorted((m for m in matches if m), key=lambda m: m.string)
    now = int(time.time())
    if not files or int(files[-1][2]) < now:
        return
    for number, match in enumerate(files, start=now - len(files)):
        tf.io.gfile.rename(
            os.path.join(directory, match.string),
            os.path.join(directory, f"{match[1]}{number:010d}{match[3]}"),
        )


def read_curves(directory: str, group: str) -> dict[str, list[tuple[int, float]]]:
    """The curves of a directory, as TensorBoard shows them.

    Args:
      directory: folder of the events.
      group: first part of the tags, before the slash, such as `LOSSES`.

    Returns:
      Points (step, value) by the rest of the tag; empty without events.
    """
    if not tf.io.gfile.isdir(directory):
        return {}
    # Imported late: it is slow, and training does not need it.
    from tensorboard.backend.event_processing import plugin_event_accumulator

    events = plugin_event_accumulator.EventAccumulator(
        directory, {"tensors": 1}, tensor_size_guidance={"scalars": 0}
    )
    tags = events.Reload().PluginTagToContent("scalars")
    return {
        # Sorted, and each step once: the order of the files depends on the clock.
        tag[len(group) + 1 :]: sorted(
            {
                event.step: float(tf.make_ndarray(event.tensor_proto))
                for event in events.Tensors(tag)
            }.items()
        )
        for tag in tags
        if tag.startswith(f"{group}/")
    }
