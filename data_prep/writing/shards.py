"""Writes the shards of a split: hidden first, then published.

Shards are written to a hidden folder in the output folder, each under a temporary name
and with a note on its content. When all are complete, they are moved to the output
folder, so that an incomplete split is never visible. The shards of an interrupted run
are reused if their source files have not changed.
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
from wss.files import atomic

gfile = tf.io.gfile

_FULL = (errno.ENOSPC, errno.EDQUOT) if hasattr(errno, "EDQUOT") else (errno.ENOSPC,)
_BLOCK = 2**22


class Shard(NamedTuple):
    """A shard in the hidden folder.

    Attributes:
      path: the file.
      items: its content, in the order of its records.
    """

    path: str
    items: Sequence[Any]

    def write(self, results: Iterable[Result]) -> None:
        """Writes the note and then the shard, whole or not at all."""
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
            note["bytes"], note["sha256"] = measure(temporary)
            atomic.write_text(_note_path(self.path), json.dumps(note))
            gfile.rename(temporary, self.path, overwrite=True)
        except BaseException:
            with contextlib.suppress(tf.errors.OpError):
                gfile.remove(temporary)
            raise

    def note(self) -> dict[str, Any]:
        """The note on the shard's content."""
        return _read_json(_note_path(self.path))

    def kept(self, read: Callable[[Any], Example]) -> Optional[dict[str, Any]]:
        """The note of an earlier run, if this run would write the same shard.

        Returns:
          None if the shard must be written: it is missing, its source files have
          changed, or a broken item was repaired.
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
        """Saves what `run_job` needs; returns the path."""
        path = f"{self.path}.job"
        with gfile.GFile(path, "wb") as file:
            file.write(pickle.dumps((self, read)))
        return path


class Split:
    """The shards of one split, in the hidden folder and after publication."""

    def __init__(self, output_dir: str, split: str, count: int):
        self._output_dir = output_dir
        self.name = split
        self._names = [f"{split}-{i:05d}-of-{count:05d}.tfrecord" for i in range(count)]
        self._hidden = os.path.join(output_dir, f".{split}.partial")
        self._plan = os.path.join(self._hidden, "plan.json")
        self._whole = os.path.join(self._hidden, "whole.json")

    def old(self) -> list[str]:
        """Published shards of the split, from any run."""
        if not gfile.isdir(self._output_dir):
            return []
        shard = re.compile(re.escape(self.name) + r"-\d{5}-of-\d{5}\.tfrecord")
        found = filter(shard.fullmatch, gfile.listdir(self._output_dir))
        return [os.path.join(self._output_dir, name) for name in found]

    def can_continue(self, plan: str) -> bool:
        """Whether a run with the same plan stopped when all shards were complete."""
        return self._has_plan(plan) and self.are_whole()

    def are_whole(self) -> bool:
        """Whether all shards were written and the old split is gone."""
        return gfile.exists(self._whole)

    @contextlib.contextmanager
    def begin(self, plan: str) -> Iterator[None]:
        """Creates the hidden folder, or keeps that of a run with the same plan.

        Raises:
          UserError: the folder cannot be created, or another run is writing.
        """
        try:
            gfile.makedirs(self._hidden)
        except (
            tf.errors.FailedPreconditionError,
            tf.errors.InvalidArgumentError,  # The name is too long.
            tf.errors.NotFoundError,
        ) as error:
            raise UserError(
                f"The folder {self._output_dir} cannot be created ({error.message}). "
                "Choose another --output_dir."
            ) from error
        with _locked(self._hidden) as is_alone:
            if not is_alone:
                raise UserError(
                    f"Another run is writing the split '{self.name}' to "
                    f"{self._output_dir}. Wait until it ends, or stop it."
                )
            if not self._has_plan(plan):
                for name in gfile.listdir(self._hidden):
                    gfile.remove(os.path.join(self._hidden, name))
                atomic.write_text(self._plan, json.dumps({"plan": plan}))
            yield

    def divide(self, items: Sequence[Any]) -> list[Shard]:
        """Distributes the items over the shards, as evenly as possible."""
        count = len(self._names)
        bounds = [len(items) * i // count for i in range(count + 1)]
        return [
            Shard(os.path.join(self._hidden, name), items[start:end])
            for name, start, end in zip(self._names, bounds, bounds[1:])
        ]

    def have_changed(
        self, items: Sequence[Any], sources: dict[str, str], workers: int = 0
    ) -> bool:
        """Whether the items' files have changed since the shards were written.

        Args:
          items: see `divide`.
          sources: from `publish`.
          workers: number of processes; 0: one per core.
        """

        def joined(texts: Sequence[str]) -> str:
            shards = self.divide(texts)
            return fingerprints.joined(fingerprints.joined(s.items) for s in shards)

        if joined([fingerprints.state(item) for item in items]) == sources["state"]:
            return False
        contents = processes.in_order(fingerprints.content, items, workers)
        return joined(list(contents)) != sources["content"]

    def notes(self) -> Iterator[dict[str, Any]]:
        """The notes of the shards, in order."""
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
        """Removes the old split; after this, the shards only need to be moved."""
        for path in self.old():
            gfile.remove(path)
        atomic.write_text(self._whole, json.dumps({}))

    def publish(self) -> dict[str, Any]:
        """Moves the shards to the output folder; returns the split's manifest entry."""
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
            # First, so that a partly removed folder is not taken for a complete one.
            gfile.remove(self._plan)
        with contextlib.suppress(tf.errors.NotFoundError):
            gfile.rmtree(self._hidden)

    def _has_plan(self, plan: str) -> bool:
        return gfile.exists(self._plan) and _read_json(self._plan)["plan"] == plan


def run_job(path: str) -> None:
    """Writes the shard of a job, on any machine."""
    with gfile.GFile(path, "rb") as file:
        shard, read = pickle.loads(file.read())
    shard.write(attempt(item, read) for item in shard.items)


@contextlib.contextmanager
def disk_errors(output_dir: str) -> Iterator[None]:
    """Turns the errors of a full disk or a read-only folder into a sentence.

    Raises:
      UserError: instead of the file system's error.
    """
    try:
        yield
    except (OSError, tf.errors.OpError) as error:
        if _is_full(error):
            raise UserError(
                f"The disk of {output_dir} is full. No incomplete files are left. Free "
                "some space and run the same command again to resume."
            ) from error
        if isinstance(error, (PermissionError, tf.errors.PermissionDeniedError)):
            raise UserError(
                f"{output_dir} is not writable. Choose another --output_dir."
            ) from error
        raise


@contextlib.contextmanager
def _locked(folder: str) -> Iterator[bool]:
    """Locks a folder, if possible; yields whether no other run holds the lock."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # On Windows, or for a folder in a bucket.
        yield True
        return
    try:
        # The holder of the lock may just have removed the folder.
        yield atomic.try_lock(handle) is not False and os.path.isdir(folder)
    finally:
        os.close(handle)


def _note_path(path: str) -> str:
    return f"{path}.json"


def _temporary(path: str) -> str:
    """A unique name beside `path`, in case a job runs twice."""
    return f"{path}.{uuid.uuid4().hex}.tmp"


def _read_json(path: str) -> dict[str, Any]:
    with gfile.GFile(path) as file:
        return json.load(file)


def _is_full(error: BaseException) -> bool:
    if isinstance(error, tf.errors.OpError):
        return isinstance(error, tf.errors.ResourceExhaustedError)
    return error.errno in _FULL


def measure(path: str) -> tuple[int, str]:
    """Size of a file in bytes, and its sha256."""
    size, digest = 0, hashlib.sha256()
    with gfile.GFile(path, "rb") as file:
        block = file.read(_BLOCK)
        while block:
            size += len(block)
            digest.update(block)
            block = file.read(_BLOCK)
    return size, digest.hexdigest()
