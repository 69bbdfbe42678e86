"""Which devices train: one, several GPUs of one machine, or a TPU."""

import functools
from typing import Optional

import gin
import tensorflow as tf

from wss.errors import UserError


@gin.configurable
def get_strategy(
    tpu: Optional[str] = None, logical_cpus: int = 1
) -> tf.distribute.Strategy:
    """Chooses by what is there: the TPU asked for, else GPUs, else the CPU.

    Has to be called before the first TensorFlow operation.

    Args:
      tpu: name or address of a TPU, "local" on a TPU VM.
      logical_cpus: number of replicas on the CPU, to try several replicas where there
        is no accelerator.

    Raises:
      UserError: the TPU is not found, or TensorFlow already runs with another number
        of logical CPUs.
    """
    if tpu is not None:
        return _tpu_strategy(tpu)
    if logical_cpus > 1:
        set_logical_cpus(logical_cpus)
        return _mirrored(tuple(f"/cpu:{index}" for index in range(logical_cpus)))
    gpus = tf.config.list_logical_devices("GPU")
    if len(gpus) > 1:
        return _mirrored(tuple(f"/gpu:{index}" for index in range(len(gpus))))
    return tf.distribute.OneDeviceStrategy("/gpu:0" if gpus else "/cpu:0")


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
