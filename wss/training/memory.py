"""Memory of this process and its devices."""

import ctypes
import os
from typing import Dict

import tensorflow as tf


def used() -> Dict[str, float]:
    """Gigabytes (10^9) in use: "host", and "GPU:0" and so on with their peaks."""
    sizes = {}
    if os.path.exists("/proc/self/statm"):
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        sizes["host"] = 1e-9 * pages * os.sysconf("SC_PAGE_SIZE")
    for index in range(len(tf.config.list_logical_devices("GPU"))):
        info = tf.config.experimental.get_memory_info(f"GPU:{index}")
        sizes[f"GPU:{index}"] = 1e-9 * info["current"]
        sizes[f"GPU:{index} peak"] = 1e-9 * info["peak"]
    return sizes


def give_back() -> None:
    """Gives memory that is free back to the system, where the C library is GNU's.

    Optimising a large graph leaves a hundred megabytes in free pieces, which the
    library keeps for small requests; a training step makes large ones.
    """
    try:
        ctypes.CDLL(None).malloc_trim(0)
    except (AttributeError, OSError, TypeError):
        pass  # Another C library.
