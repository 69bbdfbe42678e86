"""Which devices train, several processes that train together, and the order of sums.

The processes that TF_CONFIG names start alike, and one of them, the chief, writes and
prints for all.
"""

import contextlib
import functools
import os
import sys
import tempfile
from typing import Annotated, Callable, Iterator, List, Optional, Sequence

import gin
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from wss.errors import NotFiniteError, UserError, first_line
from wss.settings import Positive, Range
from wss.training import cluster

# What an operation on all workers raises where one of them does not answer.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)


@gin.configurable
def get_strategy(
    tpu: Optional[str] = None,
    logical_cpus: Annotated[int, Range(low=1, high=256)] = 1,
    wait_seconds: Positive = 300.0,
) -> tf.distribute.Strategy:
    """Chooses by what is there: the TPU asked for, else GPUs, else the CPU.

    Has to be called before the first TensorFlow operation. Where the environment
    variable TF_CONFIG names several workers, this process is one of them and waits for
    the others.

    Args:
      tpu: name or address of a TPU, "local" on a TPU VM.
      logical_cpus: number of replicas on the CPU, to try several replicas where there
        is no accelerator.
      wait_seconds: how long to wait for the other workers that TF_CONFIG names.

    Raises:
      UserError: the TPU is not found, TF_CONFIG cannot be read, a worker does not come
        or is not who it should be, or TensorFlow already runs with another number of
        logical CPUs.
    """
    if tpu is not None:
        return _tpu_strategy(tpu)
    if cluster.read() is not None:
        return _multi_worker(wait_seconds)
    if logical_cpus > 1:
        set_logical_cpus(logical_cpus)
        return _mirrored(tuple(f"/cpu:{index}" for index in range(logical_cpus)))
    gpus = tf.config.list_logical_devices("GPU")
    if len(gpus) > 1:
        return _mirrored(tuple(f"/gpu:{index}" for index in range(len(gpus))))
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def device_names(strategy: tf.distribute.Strategy) -> List[str]:
    """Names of all replicas' devices, with their workers' where these are several."""
    own = [d.split("device:")[-1] for d in strategy.extended.worker_devices]
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return own
    # TensorFlow takes all workers for alike.
    jobs = strategy.cluster_resolver.cluster_spec().as_dict()
    hosts = [host for job in ("chief", "worker") for host in jobs.get(job, [])]
    return [f"{host} {device}" for host in hosts for device in own]


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process is the one that writes and prints for all workers."""
    resolver = strategy.cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    if resolver.task_type == "chief":
        return True
    has_chief = "chief" in resolver.cluster_spec().jobs
    return resolver.task_type == "worker" and not has_chief and resolver.task_id == 0


def set_logical_cpus(count: int) -> None:
    """Splits the CPU into `count` devices, unless that is done already.

    Raises:
      UserError: TensorFlow already runs with fewer.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    wanted = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    if len(tf.config.get_logical_device_configuration(cpu) or []) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, wanted)
    except RuntimeError as error:
        raise UserError(
            f"The CPU cannot become {count} replicas any more: TensorFlow has already "
            "started. Set get_strategy.logical_cpus before anything else runs."
        ) from error


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # Two of them in one process number their collective operations alike, and current
    # TensorFlow then takes one's for the other's.
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _multi_worker(wait_seconds: float) -> tf.distribute.Strategy:
    workers = cluster.read()
    # Of several workers only one writes to the standard output.
    print(
        f"Waiting for all workers: {', '.join(workers.hosts)}.",
        file=sys.stderr,
        flush=True,
    )
    cluster.meet(workers, wait_seconds)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"The workers met, but cannot work together ({first_line(error)}). Start "
            "the same command on all of them again."
        ) from error


def _tpu_strategy(tpu: str) -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu=tpu)
        if tpu not in ("", "local"):
            tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no TPU"
        raise UserError(
            f"The TPU {tpu!r} cannot be used ({reason}). Give its name or address, or "
            "'local' on a TPU VM; without --tpu the GPUs or the CPU train."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


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
            f"Another worker is gone or cannot be reached ({first_line(error)}). None "
            "goes on without it. Start the same command on all of them again; it goes "
            "on from the last checkpoint."
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
    if not are_several(strategy):
        return flag
    return int(_adder(strategy)(tf.constant(int(flag)))) > 0


def gather(strategy: tf.distribute.Strategy, text: str) -> List[str]:
    """The texts of all workers, in the order of `cluster.Cluster`; see `any_of`."""
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


def configure_determinism(deterministic: bool = False) -> None:
    """Has TensorFlow add, read and write in the same order in every run.

    Functions that have run before may keep their order.

    Args:
      deterministic: choose kernels that give the same numbers each time, which may be
        slower. For GPUs; the CPU's were not found to differ.
    """
    _keep_order()
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def _keep_order() -> None:
    """Switches off two passes of TensorFlow's graph optimizer.

    Where the one that saves memory thinks that it is short (a CPU counts as 256 MB), it
    adds three or more tensors into a temporary variable in the order in which they
    become ready. That order changes from run to run. `tf.config.optimizer` knows all
    passes but this one.

    The one on dependencies takes "written after this reading" away where another path
    leads from the reading to the writing. Where that path is through an operation that
    it splits later (`tf.identity_n`, which `all_reduce` adds), nothing is left of the
    order: some steps read weights that they had just written.
    """
    current = context.context()
    options = tf.compat.v1.ConfigProto()
    if current._config is not None:
        options.CopyFrom(current._config)
    rewriting = options.graph_options.rewrite_options
    rewriting.memory_optimization = rewriting.NO_MEM_OPT
    rewriting.dependency_optimization = rewriting.OFF
    current._config = options
    current.function_call_options = None  # They are made anew from the above.
