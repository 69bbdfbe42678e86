"""Two CPU devices for the tests of several replicas.

TensorFlow fixes its devices when it first runs an operation, so this happens before any
test module is imported.
"""

import ctypes
import gc
import os
import signal

import gin
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# XLA's machine code runs a few times here; to optimise it costs more than that gains (23
# instead of 4 s for a step of PseudoSeg). What XLA makes of the graph is the same.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# A shell that runs the tests in the background has all its processes ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

import wss  # noqa: E402, F401, I001  (chooses the Keras version before TensorFlow starts)
import tensorflow as tf  # noqa: E402
from wss.training import distribution  # noqa: E402

distribution.set_logical_cpus(2)


@pytest.fixture(scope="session")
def two_cpus():
    """A strategy with two replicas."""
    return distribution.get_strategy(logical_cpus=2)


@pytest.fixture(autouse=True)
def own_configuration():
    """What a test configures ends with it: no test learns another one's settings."""
    yield
    gin.clear_config()


@pytest.fixture(scope="module", autouse=True)
def memory_goes_back():
    """Graphs and networks end with a module; a worker would grow to 11 GB otherwise."""
    yield
    tf.keras.backend.clear_session()
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:  # glibc keeps what is free in pieces.
        trim(0)
