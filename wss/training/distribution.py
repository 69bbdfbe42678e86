"""Devices, several workers that train together, and deterministic sums.

All workers of TF_CONFIG run the same command. One of them, the chief, writes and prints
for all.
"""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Annotated, Callable, Optional

import gin
import numpy as np
import tensorflow as tf
from tensorflow.python.eager import context

from wss.errors import NotFiniteError, UserError, first_line
from wss.settings import Positive, Range
from wss.training import cluster, compilation

# Raised by collective operations if a worker does not answer.
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
    compilation_cache: Optional[str] = "~/.cache/wss/xla",
) -> tf.distribute.Strategy:
    """Chooses the devices: the TPU if one is named, else all GPUs, else the CPU.

    Must be called before the first TensorFlow operation. If the environment variable
    TF_CONFIG names several workers, this process is one of them and waits for the
    others.

    Args:
      tpu: name or address of a TPU; "local" on a TPU VM.
      logical_cpus: number of replicas on the CPU, to try several replicas without
        accelerators.
      wait_seconds: how long to wait for the other workers of TF_CONFIG.
      compilation_cache: folder for the steps that XLA compiled for GPUs, so that the
        next start of the same configuration is quick; None: they are not kept.

    Raises:
      UserError: the TPU is not found, TF_CONFIG cannot be read, a worker is missing or
        has the wrong index, or TensorFlow already runs with another number of logical
        CPUs.
    """
    if tpu is not None:
        return _tpu_strategy(tpu)
    compilation.prepare(compilation_cache)
    if cluster.read() is not None:
        return _multi_worker(wait_seconds)
    if logical_cpus > 1:
        set_logical_cpus(logical_cpus)
        return _mirrored(tuple(f"/cpu:{index}" for index in range(logical_cpus)))
    gpus = tf.config.list_logical_devices("GPU")
    if len(gpus) > 1:
        return _mirrored(tuple(f"/gpu:{index}" for index in range(len(gpus))))
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


def device_names(strategy: tf.distribute.Strategy) -> list[str]:
    """Names of the devices of all replicas; of several workers with their hosts."""
    own = [d.split("device:")[-1] for d in strategy.extended.worker_devices]
    if not isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy):
        return own
    # TensorFlow assumes that all workers have the same devices.
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
    """Splits the CPU into `count` devices, if it does not have that many yet.

    Raises:
      UserError: TensorFlow already runs with fewer devices.
    """
    cpu = tf.config.list_physical_devices("CPU")[0]
    wanted = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    if len(tf.config.get_logical_device_configuration(cpu) or []) >= count:
        return
    try:
        tf.config.set_logical_device_configuration(cpu, wanted)
    except RuntimeError as error:
        raise UserError(
            f"The CPU cannot be split into {count} replicas: TensorFlow has already "
            "started. Set get_strategy.logical_cpus before anything else runs."
        ) from error


@functools.cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    # Cached, because two strategies in one process use the same numbers for their
    # collective operations, which current TensorFlow then confuses.
    return tf.distribute.MirroredStrategy(devices)


@functools.cache
def _multi_worker(wait_seconds: float) -> tf.distribute.Strategy:
    workers = cluster.read()
    # Each worker says so: only the chief prints to standard output.
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
            f"All workers answered, but cannot work together ({first_line(error)}). "
            "Start the same command on all of them again."
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
            "'local' on a TPU VM; without --tpu, the GPUs or the CPU are used."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


@contextlib.contextmanager
def together(strategy: tf.distribute.Strategy, model_dir: str) -> Iterator[str]:
    """Context in which this process works together with the other workers, if any.

    The chief writes and prints for all. The other workers write to a temporary folder,
    and what they print is discarded. At the end all workers wait for each other, since
    one that has left would stop the others.

    Args:
      strategy: the devices to train on.
      model_dir: output folder of the chief.

    Yields:
      The output folder of this process.

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
            with _discarded_output() as folder:
                yield folder
        _wait_for_all(strategy)
    except _LOST as error:
        raise UserError(
            f"Another worker is gone or cannot be reached ({first_line(error)}), and "
            "the others cannot continue without it. Start the same command on all of "
            "them again; it resumes from the last checkpoint."
        ) from error
    except NotFiniteError as error:
        if is_chief(strategy):
            raise
        # Only the chief knows the checkpoints and the list of the batch's images.
        raise UserError(
            f"The step after step {error.step} failed on all workers. The message of "
            "the chief, the first worker, says why."
        ) from error


def share(strategy: tf.distribute.Strategy, variables: Sequence[tf.Variable]) -> None:
    """Copies the chief's values of the variables to all workers.

    So only the chief needs the checkpoint.
    """
    if not are_several(strategy):
        return

    @tf.function(autograph=False)
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
    """Whether `flag` is set on any worker; all must call it after the same step."""
    if not are_several(strategy):
        return flag
    return int(_adder(strategy)(tf.constant(int(flag)))) > 0


def gather(strategy: tf.distribute.Strategy, text: str) -> list[str]:
    """The texts of all workers, in the order of `cluster.Cluster.hosts`.

    All workers must call it.
    """
    workers = cluster.read()
    if not are_several(strategy) or workers is None:
        return [text]
    own = np.frombuffer(text.encode(), np.uint8)

    def gather_rows(row: np.ndarray) -> np.ndarray:
        table = np.zeros([len(workers.hosts), len(row)], np.int32)
        table[workers.own_index] = row
        replicas = strategy.num_replicas_in_sync // len(workers.hosts)
        return _adder(strategy)(tf.constant(table)).numpy() // replicas

    sizes = gather_rows(np.array([len(own)]))[:, 0]
    rows = gather_rows(np.pad(own, [0, max(sizes) - len(own)]))
    rows = rows.astype(np.uint8)
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes)]


@functools.lru_cache(maxsize=1)
def _adder(strategy: tf.distribute.Strategy) -> Callable[[tf.Tensor], tf.Tensor]:
    @tf.function(autograph=False)
    def add(number: tf.Tensor) -> tf.Tensor:
        return strategy.reduce(
            "SUM", strategy.run(tf.identity, args=(number,)), axis=None
        )

    return add


def are_several(strategy: tf.distribute.Strategy) -> bool:
    """Whether several workers train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


@contextlib.contextmanager
def _discarded_output() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder, open(os.devnull, "w") as nowhere:
        with contextlib.redirect_stdout(nowhere):
            yield folder


def _wait_for_all(strategy: tf.distribute.Strategy) -> None:
    @tf.function(autograph=False)
    def meet() -> tf.Tensor:
        return strategy.reduce("SUM", strategy.run(lambda: tf.ones([])), axis=None)

    meet()


def configure_determinism(deterministic: bool = False) -> None:
    """Makes TensorFlow add, read and write in the same order in every run.

    Must be called first: functions that already ran may keep their order.

    Args:
      deterministic: use kernels that compute the same numbers each time, which may be
        slower. It matters on GPUs; no differences were found on CPUs.
    """
    _keep_order()
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def _keep_order() -> None:
    """Switches off two passes of TensorFlow's graph optimizer.

    The pass that saves memory: if it considers memory short (it assumes 256 MB for a
    CPU), it adds three or more tensors into a temporary variable in the order in which
    they become ready. That order changes from run to run. `tf.config.optimizer` has no
    option for this pass.

    The pass that removes dependencies: it drops the control dependency "write after
    this read" if there is another path from the read to the write. If that path leads
    through an operation that is split later (`tf.identity_n`, which `all_reduce` adds),
    the order is lost: some steps read weights that they had just written.
    """
    current = context.context()
    options = tf.compat.v1.ConfigProto()
    if current._config is not None:
        options.CopyFrom(current._config)
    rewriting = options.graph_options.rewrite_options
    rewriting.memory_optimization = rewriting.NO_MEM_OPT
    rewriting.dependency_optimization = rewriting.OFF
    current._config = options
    current.function_call_options = None  # They are rebuilt from the above.
