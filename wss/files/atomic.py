"""Small files, written whole or not at all, and locks between processes."""

import contextlib
import errno
import os
import uuid
from collections.abc import Iterator
from typing import Optional

from wss.errors import UserError

try:
    import fcntl
except ImportError:  # Not a POSIX system.
    fcntl = None

# Errors of file systems that cannot flush a folder.
_NOTHING_TO_KEEP = (errno.EINVAL, errno.ENOTSUP, errno.EROFS, errno.EACCES)


def write_text(path: str, text: str) -> None:
    """Writes a file atomically: readers see the old text or the new one.

    This holds for concurrent writers too. The written file survives a power cut.
    """
    import tensorflow as tf  # Late: other functions do not need it.

    folder = os.path.dirname(path)
    # A unique name whose length does not depend on the file's name.
    temporary = os.path.join(folder, f".{uuid.uuid4().hex}.tmp")
    try:
        with tf.io.gfile.GFile(temporary, "w") as file:
            file.write(text)
        keep(temporary)
        tf.io.gfile.rename(temporary, path, overwrite=True)
    except BaseException:
        with contextlib.suppress(tf.errors.OpError):
            tf.io.gfile.remove(temporary)
        raise
    keep(folder or ".")


def keep(path: str) -> None:
    """Flushes a file or folder to the disk; does nothing in a bucket.

    Raises:
      OSError: flushing fails.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # In a bucket, or a folder on a system that cannot open folders.
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NOTHING_TO_KEEP:
            raise OSError(error.errno, error.strerror, path) from error
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> Optional[bool]:
    """Locks an open file or folder until it is closed, without waiting.

    A lock ends with its process.

    Returns:
      True if it is locked now, False if another process has locked it, None if the
      system or the file system has no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Waits for a lock between processes, and holds it.

    Args:
      path: of a file for the lock. It does not wait in a bucket, if the file cannot be
        created, or if the file system has no locks.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield
        return
    try:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # The file system has no locks.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_special(path: str, what: str = "file") -> None:
    """Refuses a path that exists but is not a regular file: opening a pipe would wait.

    Args:
      path: of a file to read.
      what: word for the file in the message.

    Raises:
      UserError: it is a pipe, a device or a folder.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(
            f"The {what} {path} cannot be read: it is not a regular file. Name "
            "another, or move it away."
        )
