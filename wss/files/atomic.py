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
except ImportError:  # No POSIX system.
    fcntl = None

# What systems say of folders whose file system has nothing to keep.
_NOTHING_TO_KEEP = (errno.EINVAL, errno.ENOTSUP, errno.EROFS, errno.EACCES)


def write_text(path: str, text: str) -> None:
    """Writes a file so that a reader sees the old text or the new one.

    That holds for several that write at a time, and once it returns for a machine that
    loses its power, too.
    """
    import tensorflow as tf  # Who only reads needs none.

    folder = os.path.dirname(path)
    # A name that nobody else has, and that is not too long where the path is not.
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
    """Has the disk hold what was written to a file or a folder; no bucket needs it.

    Raises:
      OSError: the disk did not take it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # It is in a bucket, or a folder on a system that opens none.
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

    Whatever ends a process opens its locks.

    Returns:
      True if it is locked now, False if another process holds it, None where the system
      or the file system knows no locks.
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
    """Waits until no other process is within; whatever ends a process lets others in.

    Args:
      path: of a file for the lock. In a bucket, where it can not be made, and where the
        file system knows no locks, nobody waits.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError:
        yield
        return
    try:
        if fcntl is not None:
            with contextlib.suppress(OSError):  # Of a file system without locks.
                fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def refuse_special(path: str, what: str = "file") -> None:
    """Refuses what is there but is no regular file: whoever opens a pipe waits.

    Args:
      path: that somebody is about to read.
      what: it is to be, for the message.

    Raises:
      UserError: it is a pipe, a device or a folder.
    """
    if os.path.exists(path) and not os.path.isfile(path):
        raise UserError(
            f"The {what} {path} cannot be read: it is no regular file. Name "
            "another, or move it away."
        )
