"""Small files, written whole or not at all."""

import contextlib

import tensorflow as tf


def write_text(path: str, text: str) -> None:
    """Writes a file so that a reader sees the old text or the new one."""
    temporary = f"{path}.tmp"
    try:
        with tf.io.gfile.GFile(temporary, "w") as file:
            file.write(text)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException:
        with contextlib.suppress(tf.errors.OpError):
            tf.io.gfile.remove(temporary)
        raise
