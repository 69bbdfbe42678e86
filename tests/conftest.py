"""Two CPU devices for the tests of several replicas.

TensorFlow fixes its devices when it first runs an operation, so this happens before any
test module is imported.
"""

import os
import signal

import gin
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# A shell that runs the tests in the background has all its processes ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

import wss  # noqa: E402, F401  (chooses the Keras version before TensorFlow starts)
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
