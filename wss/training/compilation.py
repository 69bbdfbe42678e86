"""XLA: whether it compiles the step, its flags, and where it keeps the result."""

import os
import re
from collections.abc import Mapping
from typing import Literal, Optional

import tensorflow as tf

Choice = Literal["auto", True, False]

# XLA compiles a network's step in minutes. These flags shorten that; they leave out
# candidates that were never chosen, and use all cores.
_FLAGS = {
    "xla_gpu_enable_triton_gemm": "false",
    "xla_gpu_force_compilation_parallelism": str(os.cpu_count() or 1),
}
# XLA ends the process at a flag that it does not know, so older versions do not get
# these.
_NEW_SINCE = (2, 21)
_NEW_FLAGS = {
    "xla_gpu_enable_llvm_module_compilation_parallelism": "true",
    "xla_gpu_experimental_enable_fusion_autotuner": "false",
}


def is_compiled(choice: Choice, strategy: tf.distribute.Strategy) -> bool:
    """Whether the step is to be compiled; "auto": on GPUs, not on CPUs.

    A TPU compiles by itself.
    """
    if isinstance(strategy, tf.distribute.TPUStrategy):
        return False
    if choice != "auto":
        return choice
    try:
        devices = strategy.extended.worker_devices
    except RuntimeError:  # TensorFlow's default strategy names no device.
        return False
    return all("GPU" in device.upper() for device in devices)


def prepare(cache_dir: Optional[str]) -> None:
    """Sets XLA's flags for GPUs; must be called before TensorFlow's first operation.

    Flags that are already in XLA_FLAGS or TF_XLA_FLAGS stay as they are.

    Args:
      cache_dir: folder for compiled steps, so that the next start of the same
        configuration does not compile again; None: they are not kept.
    """
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return
    version = tuple(int(part) for part in tf.__version__.split(".")[:2])
    _add("XLA_FLAGS", _FLAGS)
    if version >= _NEW_SINCE:
        _add("XLA_FLAGS", _NEW_FLAGS)
    if cache_dir is not None:
        details = tf.config.experimental.get_device_details(gpus[0])
        device = re.sub(r"\W+", "-", details.get("device_name", "GPU"))
        folder = os.path.join(
            os.path.expanduser(cache_dir), f"tensorflow-{tf.__version__}-{device}"
        )
        flags = {
            "tf_xla_persistent_cache_directory": folder,
            "tf_xla_persistent_cache_device_types": "GPU",
        }
        _add("TF_XLA_FLAGS", flags)


def _add(variable: str, flags: Mapping[str, str]) -> None:
    """Adds the flags that an environment variable does not have yet."""
    present = os.environ.get(variable, "")
    added = [
        f"--{name}={value}" for name, value in flags.items() if name not in present
    ]
    os.environ[variable] = " ".join([*present.split(), *added])
