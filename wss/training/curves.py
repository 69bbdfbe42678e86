"""TensorBoard's curves of a run that was stopped and started again."""

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
