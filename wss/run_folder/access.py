"""Creates a run's folder, locks it for one run, and explains failures to write."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import tensorflow as tf

from wss.errors import UserError, reason
from wss.files import atomic


def explained_folder(folder: str) -> AbstractContextManager[None]:
    """Context that turns a failure to write below a folder into a `UserError`."""
    return _explained(folder, _not_writable)


def explained_scores(folder: str) -> AbstractContextManager[None]:
    """Like `explained_folder`, for an evaluation whose scores were already printed."""
    return _explained(folder, _scores_not_saved)


@contextlib.contextmanager
def _explained(
    folder: str, explain: Callable[[str, Exception], UserError]
) -> Iterator[None]:
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if folder not in str(error):
            raise
        raise explain(folder, error) from error


def make_folder(folder: str) -> None:
    """Creates a folder if it does not exist.

    Raises:
      UserError: it cannot be created. TensorFlow's error may name any parent folder.
    """
    try:
        tf.io.gfile.makedirs(folder)
    except tf.errors.OpError as error:
        raise _not_writable(folder, error) from error


@contextlib.contextmanager
def sole_training(folder: str) -> Iterator[None]:
    """Context that creates a folder and locks it against other runs on this machine.

    The lock ends with the process, however it ends.

    Args:
      folder: folder of the run. In a bucket, or without support of the file system for
        locks, it is not locked.

    Raises:
      UserError: another run is using the folder, or it cannot be created.
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
                f"Another run is training in {folder}. Wait for its end, or choose "
                "another --model_dir."
            )
        yield
    except UserError:
        if is_new:
            with contextlib.suppress(OSError):
                os.rmdir(folder)  # Fails if something has been written.
        raise
    finally:
        os.close(descriptor)


def _not_writable(folder: str, error: Exception) -> UserError:
    return UserError(
        f"The folder {folder} cannot be written to ({reason(error)}). Is its disk "
        "full or gone, and may you write to it? Make room, or choose another "
        "--model_dir. Earlier files are not harmed: once the folder can be written to, "
        "the same command resumes from the last checkpoint."
    )


def _scores_not_saved(folder: str, error: Exception) -> UserError:
    return UserError(
        f"The scores above are valid, but cannot be saved: {folder} cannot be "
        f"written to ({reason(error)}). To save them, make room, or copy the "
        "folder to a place where you may write, and evaluate there."
    )
