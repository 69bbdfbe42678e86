"""Two CPU devices for the tests of several replicas.

TensorFlow fixes its devices when it first runs an operation, so this happens before any
test module is imported.
"""

import os
import signal

import gin
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# In the background of a shell, all processes ignore it.
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
    """Clears the configuration after each test, so that no test sees another's."""
    yield
    gin.clear_config()
