"""Which devices train: one, several GPUs of one or more machines, or TPUs."""

import functools
import sys
from typing import Annotated, List, Optional

import gin
import tensorflow as tf

from wss.errors import UserError, first_line
from wss.settings import Positive, Range
from wss.training import cluster, meeting


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
      UserError: the TPU is not found, TF_CONFIG can not be read, a worker does not come
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
    """Names of all replicas' devices, behind their workers' where these are several."""
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
            f"The CPU can not become {count} replicas any more: TensorFlow has already "
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
    meeting.meet(workers, wait_seconds)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (RuntimeError, ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"The workers met, but can not work together ({first_line(error)}). Start "
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
            f"The TPU {tpu!r} can not be used ({reason}). Give its name or address, or "
            "'local' on a TPU VM; without --tpu the GPUs or the CPU train."
        ) from error
    return tf.distribute.TPUStrategy(resolver)
