"""Reads the items of a split: in this process, or in one process per core.

Each item gives a `Result`, even a broken one. Worker processes are spawned, not forked,
because this process runs TensorFlow's threads; they do not load TensorFlow. Results
come in the order of the items, and only a few wait at any time.
"""

import collections
import concurrent.futures
import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Callable, NamedTuple, TypeVar

from data_prep.writing import fingerprints
from data_prep.writing.examples import Example, serialize
from wss.errors import UserError

Item = TypeVar("Item")
Made = TypeVar("Made")

# Processes take half a second to start. They pay off if the rest would take at least
# this long here, as estimated from the first items, which are made in this process.
_WORTH_SECONDS = 2.0
_TRIAL_SECONDS = 0.2
# Items per chunk, and chunks in flight per process.
_CHUNK = 4
_CHUNKS_IN_FLIGHT = 3
# Windows cannot wait for more.
_MAX_WORKERS = 61 if sys.platform == "win32" else 1024


class Result(NamedTuple):
    """The result of reading an item.

    Attributes:
      name: the item's name.
      record: the serialized example; empty if the item is broken.
      has_mask: whether the record has a mask.
      problem: what is broken, or empty.
      sources: fingerprint of the item's files before they were read.
    """

    name: str
    record: bytes
    has_mask: bool
    problem: str
    sources: fingerprints.Fingerprint


def attempt(item: Item, read: Callable[[Item], Example]) -> Result:
    """Makes the record of an item; a broken item gives a result too."""
    sources = fingerprints.of(item)
    name = str(getattr(item, "name", item))
    try:
        with warnings.catch_warnings():
            # Warnings of decoders about files that they can read.
            warnings.simplefilter("ignore")
            example = read(item)
        return Result(name, serialize(example), example.mask is not None, "", sources)
    except UserError as error:
        problem = str(error)
        if name not in problem:
            problem = f"'{name}': {problem}"
    except Exception as error:  # On damaged files decoders may raise any exception.
        where = traceback.extract_tb(error.__traceback__)[-1]
        problem = (
            f"'{name}' cannot be read: {type(error).__name__}: {error} "
            f"({os.path.basename(where.filename)}, line {where.lineno})."
        )
    return Result(name, b"", False, " ".join(problem.split()), sources)


def in_order(
    make: Callable[[Item], Made], items: Sequence[Item], workers: int = 0
) -> Iterator[Made]:
    """Applies a function to every item, in parallel if that is faster.

    Args:
      make: the function; it and its results must be picklable.
      items: its arguments.
      workers: number of processes; 0: one per core.

    Yields:
      The results of `make`, in the order of the items.

    Raises:
      UserError: a process died.
    """
    workers = min(workers or _num_cores(), _MAX_WORKERS)
    start = time.monotonic()
    for done, item in enumerate(items):
        seconds = time.monotonic() - start
        left = len(items) - done
        if workers > 1 and seconds >= _TRIAL_SECONDS:
            if seconds / max(done, 1) * left >= _WORTH_SECONDS:
                yield from _in_processes(make, items[done:], workers)
                return
        yield make(item)


def _in_processes(
    make: Callable[[Item], Made], items: Sequence[Item], workers: int
) -> Iterator[Made]:
    workers = min(workers, -(-len(items) // _CHUNK))
    pool = concurrent.futures.ProcessPoolExecutor(
        workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare_worker,
        initargs=(pickle.dumps(make),),
    )
    try:
        yield from _stream(pool, items, _CHUNKS_IN_FLIGHT * workers)
    except BrokenProcessPool as error:
        raise UserError(
            "A worker process died, most likely because the memory was full. Run the "
            f"same command again with fewer --workers than {workers}; --workers=1 "
            "shows any other cause."
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _stream(
    pool: concurrent.futures.Executor, items: Sequence[Item], in_flight: int
) -> Iterator[Any]:
    """Results in order; at most `in_flight` chunks are in progress."""
    waiting = collections.deque()
    for start in range(0, len(items), _CHUNK):
        with _no_interrupts():
            waiting.append(pool.submit(_make_chunk, items[start : start + _CHUNK]))
        if len(waiting) == in_flight:
            yield from waiting.popleft().result()
    while waiting:
        yield from waiting.popleft().result()


@contextlib.contextmanager
def _no_interrupts() -> Iterator[None]:
    """Blocks Ctrl-C in processes started here; only this process handles it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _prepare_worker(make: bytes) -> None:
    global _make
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _make = pickle.loads(make)


def _die_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


def _make_chunk(items: Sequence[Item]) -> list[Any]:
    return [_make(item) for item in items]


def _num_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
