"""TensorBoard's curves: of a run that was started again, and to be read back."""

from typing import Dict, List, Tuple

import tensorflow as tf


def forget_from(directory: str, step: int) -> None:
    """Has TensorBoard drop what it finds in a directory from a step on.

    To be called before this run's first event: TensorBoard reads the files of a
    directory in the order of their time. Where it can not be written, nor can the
    events that would be drawn twice.

    Args:
      directory: of events.
      step: the first one that will be drawn again.
    """
    if not tf.io.gfile.isdir(directory):
        return
    start = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
    try:
        with tf.Graph().as_default():
            writer = tf.compat.v1.summary.FileWriter(directory)
        # TensorBoard takes the first one in a directory for that of the first run.
        for _ in range(2):
            writer.add_session_log(start, step)
        writer.close()
    except (tf.errors.OpError, OSError):
        return


def read(directory: str, group: str) -> Dict[str, List[Tuple[int, float]]]:
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
