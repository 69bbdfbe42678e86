"""Checkpoints of a run, named by step: the last few and the best are kept.

TensorFlow writes the values of a checkpoint first and its index last, each value with a
checksum. So reading a checkpoint reveals whether it is incomplete or damaged.
"""

import contextlib
import os
import re
from typing import Any, Callable, Optional, TypeVar

import tensorflow as tf

from wss.errors import UserError, first_line
from wss.files import atomic

Value = TypeVar("Value")

LATEST, BEST = "ckpt", "best"  # ckpt-<step>, best-<step>
_FILE = re.compile(rf"({LATEST}|{BEST})-(\d+)(\.index|\.data-.*|_temp/?)")


class Checkpoints:
    """The checkpoints `<directory>/ckpt-<step>` and `best-<step>` of one run.

    Args:
      directory: folder of the run.
      step: the variable that counts the steps.
      keep: how many of the last checkpoints to keep, at least 1.
      items: the other contents of a checkpoint, by name.

    Attributes:
      latest: path of the checkpoint that was saved or restored last; None before.
    """

    def __init__(self, directory: str, step: tf.Variable, keep: int, **items: Any):
        self.latest: Optional[str] = None
        self._step = step
        self._keep = keep
        self._directory = directory
        self._checkpoint = tf.train.Checkpoint(step=step, **items)

    def save(self) -> None:
        """Saves a checkpoint, unless this step has one, and deletes the oldest.

        Raises:
          UserError: it cannot be written; earlier checkpoints stay.
        """
        step = int(self._step.numpy())
        path = _path(self._directory, LATEST, step)
        if path == self.latest:
            return
        if self.latest and not tf.io.gfile.exists(f"{self.latest}.index"):
            print(
                f"warning: {self.latest} is gone. Has {self._directory} been emptied? "
                "The run continues and saves there; the curves so far are lost.",
                flush=True,
            )
        self._write(path)
        # Later checkpoints could not be read, otherwise this run would have resumed
        # from them.
        steps = [s for s in _steps(self._directory, LATEST) if s <= step][-self._keep :]
        self._write_state(steps)
        self.latest = path
        _delete_others(self._directory, LATEST, steps)

    def save_best(self) -> None:
        """Saves the best checkpoint; errors: see `save`."""
        step = int(self._step.numpy())
        self._write(_path(self._directory, BEST, step))
        _delete_others(self._directory, BEST, [step])

    def restore(self) -> bool:
        """Restores the last readable checkpoint; returns False if there is none.

        Raises:
          UserError: another configuration wrote it, or no checkpoint can be read.
        """
        path = find_latest(self._directory)
        if path is None:
            return False
        try:
            self._checkpoint.read(path).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise UserError(
                f"The checkpoint {path} does not fit this configuration "
                f"({first_line(error)}). Continue with the configuration of the run "
                f"({self._directory}/config.gin), or train into another --model_dir."
            ) from error
        self.latest = path
        return True

    def _write(self, path: str) -> None:
        try:
            self._checkpoint.write(path)
            self._sync(os.path.basename(path))
        except (tf.errors.OpError, OSError) as error:
            self._delete_unfinished()
            earlier = "no checkpoint was written before"
            if self.latest:
                earlier = f"the last good checkpoint is {self.latest}"
            raise UserError(
                f"The checkpoint {path} cannot be written ({first_line(error)}); "
                f"{earlier}. Make room, or make the folder writable; the same command "
                "then resumes from there."
            ) from error

    def _sync(self, prefix: str) -> None:
        """Waits until a checkpoint is on the disk, before others are deleted.

        Otherwise a full disk or a power cut could cost both.
        """
        for name in _files(self._directory, LATEST, BEST):
            if name.startswith(f"{prefix}."):
                atomic.keep(os.path.join(self._directory, name))

    def _write_state(self, steps: list[int]) -> None:
        """Writes the file that `tf.train.latest_checkpoint` reads."""
        lines = [f'model_checkpoint_path: "{LATEST}-{steps[-1]}"']
        lines += [f'all_model_checkpoint_paths: "{LATEST}-{step}"' for step in steps]
        path = os.path.join(self._directory, "checkpoint")
        atomic.write_text(path, "\n".join(lines) + "\n")

    def _delete_unfinished(self) -> None:
        with contextlib.suppress(tf.errors.OpError):
            for kind in (LATEST, BEST):
                _delete_others(self._directory, kind, _steps(self._directory, kind))


def exist(directory: str) -> bool:
    """Whether a run has saved a checkpoint in a folder."""
    return any(_candidates(directory, kind) for kind in (LATEST, BEST))


def check_latest(directory: str) -> None:
    """Checks that a run would not start anew and replace the best checkpoint.

    Raises:
      UserError: there is a best checkpoint, but no last one.
    """
    if _candidates(directory, LATEST) or not _candidates(directory, BEST):
        return
    best = _candidates(directory, BEST)[0]
    raise UserError(
        f"{directory} has a best checkpoint, but no {LATEST}-* to resume from: the run "
        "would start anew and replace the best. Put back a copy of the last "
        f"checkpoint, or train into another --model_dir; INIT_CHECKPOINT = '{best}' "
        "and Experiment.initialize_last_layer = True start from its weights."
    )


def find_latest(directory: str) -> Optional[str]:
    """Path of the last checkpoint that can be read; None if there is no checkpoint.

    Prints a warning for each later one that cannot be read.

    Raises:
      UserError: there are checkpoints, but none can be read.
    """
    return _find(directory, LATEST)


def find_best(directory: str) -> Optional[str]:
    """Like `find_latest`, for the best checkpoint."""
    return _find(directory, BEST)


def find(directory: str, which: str) -> str:
    """Path of a checkpoint.

    Args:
      directory: folder of the run.
      which: "latest", "best" or a path, which is returned as it is.

    Raises:
      UserError: the run has no such checkpoint.
    """
    finders = {"latest": find_latest, "best": find_best}
    if which not in finders:
        return which
    path = finders[which](directory)
    if path is not None:
        return path
    if which == "best" and exist(directory):
        raise UserError(
            f"There is no best checkpoint in {directory}: the run evaluated none. Use "
            "the last one, --checkpoint=latest."
        )
    if which == "latest" and exist(directory):
        raise UserError(
            f"There is no last checkpoint ({LATEST}-*) in {directory}, only the best. "
            "Use it, --checkpoint=best."
        )
    raise UserError(
        f"There is no checkpoint in {directory}. Train first: python -m wss.train "
        f"--gin_file=... --model_dir={directory}"
    )


def use(directory: str, which: str, action: Callable[[str], Value]) -> Value:
    """Reads a checkpoint, and tries again if a run deletes it in the meantime.

    Args:
      directory: folder of the run.
      which: "latest", "best" or a path.
      action: reads the checkpoint with a path.

    Returns:
      The result of the action.

    Raises:
      UserError: there is no such checkpoint, or the action raised it.
    """
    while True:
        path = find(directory, which)
        try:
            return action(path)
        except (UserError, tf.errors.OpError):
            if path == which or tf.io.gfile.exists(f"{path}.index"):
                raise


def problem(path: str) -> Optional[str]:
    """Reads a whole checkpoint; returns why it cannot be read, None if it can."""
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)
    except (tf.errors.OpError, ValueError, RuntimeError, IndexError) as error:
        return first_line(error)
    return None


def _find(directory: str, kind: str) -> Optional[str]:
    candidates, reasons = _candidates(directory, kind), []
    while len(reasons) < len(candidates):
        reason = problem(candidates[len(reasons)])
        if reason is None:
            break
        reasons.append(reason)
        now = _candidates(directory, kind)
        if now != candidates:  # A run has deleted it in the meantime.
            candidates, reasons = now, []
    for path, reason in zip(candidates, reasons):
        print(
            f"warning: the checkpoint {path} cannot be read ({reason}); the one "
            "before it is used.",
            flush=True,
        )
    if len(reasons) < len(candidates):
        return candidates[len(reasons)]
    if candidates:
        raise UserError(
            f"None of the checkpoints in {directory} can be read. Put back a copy of "
            f"{candidates[0]}.*, or start a new run with another --model_dir."
        )
    return None


def _candidates(directory: str, kind: str) -> list[str]:
    """Paths of all checkpoints with an index, newest first.

    A checkpoint without an index was never finished. The one that the file `checkpoint`
    names was: if it is lost, its path comes first.
    """
    steps = _steps(directory, kind)
    paths = [_path(directory, kind, step) for step in reversed(steps)]
    named = _named_latest(directory) if kind == LATEST else None
    if named is not None and named not in paths:
        paths.insert(0, named)
    return paths


def _named_latest(directory: str) -> Optional[str]:
    """The path named in the file `checkpoint`, which is written after each save."""
    atomic.refuse_special(os.path.join(directory, "checkpoint"))
    try:
        state = tf.train.get_checkpoint_state(directory)
    except ValueError:  # The file is empty or not text.
        return None
    return None if state is None else state.model_checkpoint_path


def _steps(directory: str, kind: str) -> list[int]:
    """Steps of the checkpoints that have an index, in ascending order."""
    files = _files(directory, kind).items()
    return sorted(step for name, step in files if name.endswith(".index"))


def _files(directory: str, *kinds: str) -> dict[str, int]:
    """Steps of all files and folders of checkpoints of some kinds, by their names."""
    if not tf.io.gfile.isdir(directory):
        return {}
    matches = map(_FILE.fullmatch, tf.io.gfile.listdir(directory))
    return {m[0]: int(m[2]) for m in matches if m and m[1] in kinds}


def _delete_others(directory: str, kind: str, steps: list[int]) -> None:
    for name, step in _files(directory, kind).items():
        path = os.path.join(directory, name)
        if step in steps and "_temp" not in name:
            continue
        if tf.io.gfile.isdir(path):
            tf.io.gfile.rmtree(path)
        else:
            tf.io.gfile.remove(path)


def _path(directory: str, kind: str, step: int) -> str:
    return os.path.join(directory, f"{kind}-{step}")
