"""Access to a folder: made, locked for one run, and failures to write explained."""

import contextlib
import os
from typing import Iterator

import tensorflow as tf

from wss.errors import UserError, reason
from wss.files import atomic


@contextlib.contextmanager
def explained_folder(folder: str) -> Iterator[None]:
    """Turns a failure to write below a folder into a `UserError`."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if folder not in str(error):
            raise
        raise _not_writable(folder, error) from error


@contextlib.contextmanager
def explained_scores(folder: str) -> Iterator[None]:
    """As `explained_folder`, of an evaluation: its scores were printed before."""
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if folder not in str(error):
            raise
        raise UserError(
            f"The scores above are right, but {folder} does not keep them: it cannot "
            f"be written to ({reason(error)}). To keep them, make room or copy the "
            "folder to a place of your own, and evaluate there."
        ) from error


def make_folder(folder: str) -> None:
    """Makes a folder to write to, unless it is there.

    Raises:
      UserError: it cannot be made; the failure may name any folder above it.
    """
    try:
        tf.io.gfile.makedirs(folder)
    except tf.errors.OpError as error:
        raise _not_writable(folder, error) from error


@contextlib.contextmanager
def sole_training(folder: str) -> Iterator[None]:
    """Makes a folder unless it is there, and keeps other runs on this machine out.

    However this process ends, the folder is free again.

    Args:
      folder: in a bucket, and where the file system knows no locks, nobody is kept out.

    Raises:
      UserError: another training is there, or the folder cannot be made.
    """
    is_new = not tf.io.gfile.isdir(folder)
    make_folder(folder)
    if not os.path.isdir(folder):
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if atomic.try_lock(descriptor) is False:
            raise UserError(
                f"Another training is running in {folder}. Wait for its end, or name "
                "another --model_dir."
            )
        yield
    except UserError:
        if is_new:
            with contextlib.suppress(OSError):
                os.rmdir(folder)  # Only if nothing has been written.
        raise
    finally:
        os.close(descriptor)


def _not_writable(folder: str, error: Exception) -> UserError:
    return UserError(
        f"The folder {folder} cannot be written to ({reason(error)}). Is its disk "
        "full or gone, and may you write to it? Make room, or name another "
        "--model_dir. What was there before is not harmed: once the folder is there "
        "again, the same command goes on from the last checkpoint."
    )
