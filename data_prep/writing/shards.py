"""The files of a split on their way: hidden, whole, in their place.

Shards are written in a hidden folder beside their place, each under a temporary name,
with a note of what it holds. When all of them are whole they move to their place, so
that nobody ever sees half a split. What a stopped run has left is used again as long as
the files that it was made from have not changed.
"""

import contextlib
import errno
import hashlib
import json
import os
import pickle
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Callable, NamedTuple, Optional

import tensorflow as tf

from data_prep.writing import fingerprints, processes
from data_prep.writing.examples import Example
from data_prep.writing.processes import Result, attempt
from wss.errors import UserError

gfile = tf.io.gfile

_FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)
_BLOCK = 2**22


class Shard(NamedTuple):
    """A shard in the hidden folder.

    Attributes:
      path: the file.
      items: what it is made of, in the order of its records.
    """

    path: str
    items: Sequence[Any]

    def write(self, results: Iterable[Result]) -> None:
        """Writes the shard, whole or not at all, and before it its note."""
        temporary = _temporary(self.path)
        note = {"examples": 0, "with_masks": 0, "problems": []}
        sources = []
        try:
            with tf.io.TFRecordWriter(temporary) as writer:
                for index, result in enumerate(results):
                    sources.append(result.sources)
                    if result.problem:
                        reason = {"name": result.name, "reason": result.problem}
                        note["problems"].append({"index": index, **reason})
                        continue
                    writer.write(result.record)
                    note["examples"] += 1
                    note["with_masks"] += result.has_mask
            note["sources"] = fingerprints.of_all(sources)._asdict()
            note["bytes"], note["sha256"] = _measure(temporary)
            _write_json(_note_path(self.path), note)
            gfile.rename(temporary, self.path, overwrite=True)
        except BaseException:
            with contextlib.suppress(tf.errors.OpError):
                gfile.remove(temporary)
            raise

    def note(self) -> dict[str, Any]:
        """What the shard holds."""
        return _read_json(_note_path(self.path))

    def kept(self, read: Callable[[Any], Example]) -> Optional[dict[str, Any]]:
        """The note of what an earlier run wrote, if this one would write the same.

        Returns:
          None where the shard has to be written: it is not there, files that it was
          made from have changed, or an item that was broken no longer is.
        """
        if not (gfile.exists(self.path) and gfile.exists(_note_path(self.path))):
            return None
        note = self.note()
        state = fingerprints.joined(map(fingerprints.state, self.items))
        found = (state, gfile.stat(self.path).length)
        if found != (note["sources"]["state"], note["bytes"]):
            return None
        for problem in note["problems"]:
            again = attempt(self.items[problem["index"]], read)
            if again.problem != problem["reason"]:
                return None
        return note

    def save_job(self, read: Callable[[Any], Example]) -> str:
        """Saves all that `run_job` needs; returns the path."""
        path = f"{self.path}.job"
        with gfile.GFile(path, "wb") as file:
            file.write(pickle.dumps((self, read)))
        return path


class Split:
    """The shards of one split, from the hidden folder where they are written on."""

    def __init__(self, output_dir: str, split: str, count: int):
        self._output_dir = output_dir
        self.name = split
        self._names = [f"{split}-{i:05d}-of-{count:05d}.tfrecord" for i in range(count)]
        self._hidden = os.path.join(output_dir, f".{split}.partial")
        self._plan = os.path.join(self._hidden, "plan.json")
        self._whole = os.path.join(self._hidden, "whole.json")

    def old(self) -> list[str]:
        """Shards of the split that lie in their place, of whatever run."""
        if not gfile.isdir(self._output_dir):
            return []
        shard = re.compile(re.escape(self.name) + r"-\d{5}-of-\d{5}\.tfrecord")
        found = filter(shard.fullmatch, gfile.listdir(self._output_dir))
        return [os.path.join(self._output_dir, name) for name in found]

    def can_continue(self, plan: str) -> bool:
        """Whether a run with the same plan was stopped after all shards were whole."""
        return self._has_plan(plan) and self.are_whole()

    def are_whole(self) -> bool:
        """Whether all shards were written and the old split is gone."""
        return gfile.exists(self._whole)

    @contextlib.contextmanager
    def begin(self, plan: str) -> Iterator[None]:
        """Makes the hidden folder, or keeps what a run with the same plan left.

        Raises:
          UserError: no folder can be made there, or another run is at work.
        """
        try:
            gfile.makedirs(self._hidden)
        except (
            tf.errors.FailedPreconditionError,
            tf.errors.InvalidArgumentError,  # A name that is too long.
            tf.errors.NotFoundError,
        ) as error:
            raise UserError(
                f"The folder {self._output_dir} cannot be made ({error.message}). "
                "Choose another --output_dir."
            ) from error
        with _locked(self._hidden) as is_alone:
            if not is_alone:
                raise UserError(
                    f"Another run is writing the split '{self.name}' to "
                    f"{self._output_dir}. Wait for its end, or stop it."
                )
            if not self._has_plan(plan):
                for name in gfile.listdir(self._hidden):
                    gfile.remove(os.path.join(self._hidden, name))
                _write_json(self._plan, {"plan": plan})
            yield

    def divide(self, items: Sequence[Any]) -> list[Shard]:
        """Shares the items out to the shards, as evenly as can be."""
        count = len(self._names)
        bounds = [len(items) * i // count for i in range(count + 1)]
        return [
            Shard(os.path.join(self._hidden, name), items[start:end])
            for name, start, end in zip(self._names, bounds, bounds[1:])
        ]

    def have_changed(
        self, items: Sequence[Any], sources: dict[str, str], workers: int = 0
    ) -> bool:
        """Whether the items' files are others than those that the shards came from.

        Args:
          items: as of `divide`.
          sources: as `publish` gave them.
          workers: number of processes that read; 0: one for each core.
        """

        def joined(texts: Sequence[str]) -> str:
            shards = self.divide(texts)
            return fingerprints.joined(fingerprints.joined(s.items) for s in shards)

        if joined([fingerprints.state(item) for item in items]) == sources["state"]:
            return False
        contents = processes.in_order(fingerprints.content, items, workers)
        return joined(list(contents)) != sources["content"]

    def notes(self) -> Iterator[dict[str, Any]]:
        """What the shards hold, one after the other."""
        for name in self._names:
            yield _read_json(_note_path(os.path.join(self._hidden, name)))

    def list_problems(self) -> str:
        """Writes a list of all broken items; returns its path."""
        path = os.path.join(self._hidden, "problems.txt")
        with gfile.GFile(path, "w") as file:
            for note in self.notes():
                for problem in note["problems"]:
                    file.write(f"{problem['name']}\t{problem['reason']}\n")
        return path

    def finish(self) -> None:
        """Removes the old split; from here on a stopped run has only to move shards."""
        for path in self.old():
            gfile.remove(path)
        _write_json(self._whole, {})

    def publish(self) -> dict[str, Any]:
        """Moves the shards to their place; returns the split's part of the manifest."""
        notes = dict(zip(self._names, self.notes()))
        for name in self._names:
            path = os.path.join(self._hidden, name)
            if gfile.exists(path):
                gfile.rename(path, os.path.join(self._output_dir, name))
        entry = {
            "examples": sum(note["examples"] for note in notes.values()),
            "with_masks": sum(note["with_masks"] for note in notes.values()),
            "shards": len(notes),
            "sources": fingerprints.of_all(
                fingerprints.Fingerprint(**note["sources"]) for note in notes.values()
            )._asdict(),
            "files": {
                name: {key: note[key] for key in ("examples", "bytes", "sha256")}
                for name, note in notes.items()
            },
        }
        skipped = [
            {key: problem[key] for key in ("name", "reason")}
            for note in notes.values()
            for problem in note["problems"]
        ]
        return {**entry, "skipped": skipped} if skipped else entry

    def clean_up(self, plan: str) -> None:
        """Removes the hidden folder, unless it belongs to another plan."""
        if not gfile.exists(self._hidden):
            return
        if gfile.exists(self._plan):
            if not self._has_plan(plan):
                return
            # First of all: what is left of the rest must not pass for the whole.
            gfile.remove(self._plan)
        with contextlib.suppress(tf.errors.NotFoundError):
            gfile.rmtree(self._hidden)

    def _has_plan(self, plan: str) -> bool:
        return gfile.exists(self._plan) and _read_json(self._plan)["plan"] == plan


def run_job(path: str) -> None:
    """Writes the shard of a job, on whatever machine."""
    with gfile.GFile(path, "rb") as file:
        shard, read = pickle.loads(file.read())
    shard.write(attempt(item, read) for item in shard.items)


@contextlib.contextmanager
def disk_errors(output_dir: str) -> Iterator[None]:
    """Says in a sentence that a disk is full, or that a folder cannot be written to.

    Raises:
      UserError: instead of the error that the file system gave.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if _is_full(error):
            raise UserError(
                f"The disk of {output_dir} is full. Nothing half-written is left; make "
                "room and run the same command again: it goes on from here."
            ) from error
        if isinstance(error, (PermissionError, tf.errors.PermissionDeniedError)):
            raise UserError(
                f"{output_dir} cannot be written to. Choose another --output_dir."
            ) from error
        raise


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[bool]:
    """Keeps others from a folder, where the system can; yields whether it succeeded.

    Whatever ends this process opens the lock.
    """
    try:
        import fcntl

        handle = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows; a folder that is in no file system.
        yield True
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_alone = os.path.isdir(folder)  # Unless who had it has just removed it.
    except OSError as error:
        is_alone = not isinstance(error, BlockingIOError)  # Others: cannot be locked.
    try:
        yield is_alone
    finally:
        os.close(handle)


def _note_path(path: str) -> str:
    return f"{path}.json"


def _temporary(path: str) -> str:
    """A name beside `path` that nobody else has, should work be started twice."""
    return f"{path}.{uuid.uuid4().hex}.tmp"


def _read_json(path: str) -> dict[str, Any]:
    with gfile.GFile(path) as file:
        return json.load(file)


def _write_json(path: str, content: dict[str, Any]) -> None:
    """Writes a file whole or not at all."""
    temporary = _temporary(path)
    with gfile.GFile(temporary, "w") as file:
        file.write(json.dumps(content))
    gfile.rename(temporary, path, overwrite=True)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, tf.errors.OpError):
        return isinstance(error, tf.errors.ResourceExhaustedError)
    return error.errno in _FULL


def _measure(path: str) -> tuple[int, str]:
    """Number of bytes of a file and their sha256."""
    size, digest = 0, hashlib.sha256()
    with gfile.GFile(path, "rb") as file:
        block = file.read(_BLOCK)
        while block:
            size += len(block)
            digest.update(block)
            block = file.read(_BLOCK)
    return size, digest.hexdigest()
