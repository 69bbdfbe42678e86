"""Two CPU devices for the tests of several replicas.

TensorFlow fixes its devices when it first runs an operation, so this happens before any
test module is imported.
"""

import gc
import os
import signal
from unittest import mock

import gin
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# XLA's machine code runs a few times here: optimizing it takes longer than it saves
# (20 instead of 5 s for a step of PseudoSeg). XLA's passes over the graph stay.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# A shell that runs the tests in the background has all its processes ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)

import wss  # noqa: E402, F401  (chooses the Keras version before TensorFlow starts)
from tests import trained  # noqa: E402
from wss.data import input_pipeline  # noqa: E402
from wss.training import distribution  # noqa: E402

distribution.set_logical_cpus(2)
# Graphs are many objects that live long: looking through them for garbage less often
# saves 7 % of the time.
gc.freeze()
gc.set_threshold(50_000, 20, 50)


@pytest.fixture(scope="session")
def two_cpus():
    """A strategy with two replicas."""
    return distribution.get_strategy(logical_cpus=2)


@pytest.fixture(scope="session", autouse=True)
def untuned_input():
    """The same batches without tf.data's tuner.

    Whoever stops reading waits for its thread, which sleeps longer and longer: for up
    to as long as the reading took.
    """

    def options(original=input_pipeline._options):
        made = original()
        made.autotune.enabled = False
        return made

    with mock.patch.object(input_pipeline, "_options", options):
        yield


@pytest.fixture(autouse=True)
def own_configuration():
    """Clears the configuration after each test, so that no test sees another's."""
    yield
    gin.clear_config()


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """The folder of a finished run with a tiny network."""
    path = tmp_path_factory.mktemp("run")
    trained.make(path)
    return path


@pytest.fixture(scope="module")
def plain_backbone():
    """The variant "plain": a quick network for tests in which any network will do."""
    from tests.training import tiny

    with tiny.plain_backbone():
        yield


@pytest.fixture
def unoptimized():
    """Graphs of methods and networks as traced; those of the training are optimized."""
    with trained.unoptimized():
        yield


@pytest.fixture
def eagerly():
    """No graphs, for tests of what surrounds a step: tracing takes most of the time."""
    with trained.eagerly():
        yield
