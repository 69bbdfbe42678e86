"""Several processes that train together: they start alike, and one of them writes."""

import contextlib
import functools
import os
import re
import tempfile
from typing import Callable, Iterator, List, Sequence

import numpy as np
import tensorflow as tf

from wss.errors import NotFiniteError, UserError
from wss.training import cluster
from wss.training.distribution import is_chief

# What an operation on all workers raises where one of them does not answer.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@contextlib.contextmanager
def together(strategy: tf.distribute.Strategy, model_dir: str) -> Iterator[str]:
    """Inside, this process works with the others that TF_CONFIG names, if it names any.

    One of them, the chief, writes and prints for all. The others' files go into a
    folder that vanishes at the end, and what they print goes nowhere. No one leaves
    before all are done: who is gone is missed.

    Args:
      strategy: which devices train.
      model_dir: where the chief writes.

    Yields:
      The folder that this process writes to.

    Raises:
      UserError: another worker is gone.
    """
    if not are_several(strategy):
        yield model_dir
        return
    try:
        if is_chief(strategy):
            yield model_dir
        else:
            with _aside() as folder:
                yield folder
        _wait_for_all(strategy)
    except _LOST as error:
        raise UserError(
            f"{_name_lost(strategy, str(error))} is gone or can not be reached, and "
            "the others can not go on without it. Start the same command on all of "
            "them again; it goes on from the last checkpoint."
        ) from error
    except NotFiniteError as error:
        if is_chief(strategy):
            raise
        # It knows neither the checkpoints nor the file that lists the images.
        raise UserError(
            f"The step after step {error.step} went wrong on all workers; the first "
            "one says how."
        ) from error


def share(strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable]) -> None:
    """Gives the variables the chief's values on all workers.

    Only the chief has to find a checkpoint.
    """
    if not are_several(strategy):
        return

    @tf.function
    def read() -> Sequence[tf.Tensor]:
        def replica() -> Sequence[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            is_first = context.replica_id_in_sync_group == 0
            return [
                context.all_reduce("SUM", tf.where(is_first, v, tf.zeros_like(v)))
                for v in variables
            ]

        return strategy.run(replica)

    with strategy.scope():
        for variable, value in zip(variables, read()):
            variable.assign(strategy.experimental_local_results(value)[0])


def any_of(strategy: tf.distribute.Strategy, flag: bool) -> bool:
    """Whether it is so on any worker; all of them have to ask at the same step."""
    return _total(strategy, int(flag)) > 0


def mean_of(strategy: tf.distribute.Strategy, number: int) -> int:
    """The mean of the workers' numbers, rounded down; asked for as `any_of`."""
    if not are_several(strategy):
        return number
    return _total(strategy, number) // strategy.num_replicas_in_sync


def gather(strategy: tf.distribute.Strategy, text: str) -> List[str]:
    """The texts of all workers, in the order of `cluster.Cluster`; as for `any_of`."""
    workers = cluster.read()
    if not are_several(strategy) or workers is None:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)

    def of_all(row: np.ndarray) -> np.ndarray:
        table = np.zeros([len(workers.hosts), len(row)], np.int32)
        table[workers.place] = row
        replicas = strategy.num_replicas_in_sync // len(workers.hosts)
        return _adder(strategy)(tf.constant(table)).numpy() // replicas

    sizes = of_all(np.array([len(own)]))[:, 0]
    rows = of_all(np.pad(own, [0, max(sizes) - len(own)]))
    rows = rows.astype(np.uint8)
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes)]


def _total(strategy: tf.distribute.Strategy, number: int) -> int:
    """The sum over the replicas, each with its worker's number."""
    if not are_several(strategy):
        return number
    return int(_adder(strategy)(tf.constant(number)))


@functools.lru_cache(maxsize=1)
def _adder(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.function
    def add(number: tf.Tensor) -> tf.Tensor:
        return strategy.reduce(
            "SUM", strategy.run(tf.identity, args=(number,)), axis=None
        )

    return add


def are_several(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is one of several."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


@contextlib.contextmanager
def _aside() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        with contextlib.redirect_stdout(nowhere):
            yield folder


def _wait_for_all(strategy: tf.distribute.Strategy) -> None:
    @tf.function
    def meet() -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(lambda: tf.ones([])), axis=None)

    meet()


def _name_lost(strategy: tf.distribute.Strategy, message: str) -> str:
    """ "Worker 1 (host:port)" if the message of the failure says which one."""
    resolver = strategy.cluster_resolver
    cluster = resolver.cluster_spec()
    # "Task /job... heartbeat timeout", or in current TensorFlow a list of "unhealthy".
    place = r"(?:Task |unhealthy[^/]*)/job:(\w+)/replica:\d+/task:(\d+)"
    lost = [(job, int(index)) for job, index in re.findall(place, message)[:1]]
    if not lost:
        this = (resolver.task_type, resolver.task_id)
        everyone = [(job, i) for job in cluster.jobs for i in cluster.task_indices(job)]
        lost = [one for one in everyone if one != this]
    if len(lost) > 1:
        return "Another worker"
    ((job, index),) = lost
    return f"{job.capitalize()} {index} ({cluster.task_address(job, index)})"
