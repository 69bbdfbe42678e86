"""Batches prepared by another process are those that training makes itself."""

import socket
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.data import records
from wss.data import pipeline, service
from wss.data.pipeline import Split
from wss.errors import UserError


@pytest.fixture(scope="module")
def address():
    """The address of a service in a process of its own."""
    command = [sys.executable, "-m", "wss.data_service", "--port=0", "--host=localhost"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        line = process.stdout.readline()
        yield line.split("'")[1]
        process.terminate()


def batches(data_dir, steps=3, **options):
    dataset = pipeline.training_batches(
        Split(data_dir, "labeled"),
        Split(data_dir, "unlabeled"),
        spec=records.SPEC,
        crop_size=(33, 33),
        batch_size=2,
        **options,
    )
    assert dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    return dataset.element_spec, list(dataset.take(steps).as_numpy_iterator())


def test_the_batches_are_the_same(address, tmp_path):
    records.write_split(tmp_path, "labeled", [3, 2])
    records.write_split(tmp_path, "unlabeled", [4], with_mask=False, start=100)
    own_spec, own = batches(str(tmp_path), start_step=5)
    spec, served = batches(str(tmp_path), start_step=5, data_service=address)
    assert spec == own_spec
    tf.nest.map_structure(np.testing.assert_array_equal, served, own)
    short = address.replace("grpc://", "")
    _, served = batches(str(tmp_path), start_step=5, data_service=short)
    tf.nest.map_structure(np.testing.assert_array_equal, served, own)


def test_a_broken_record_is_named(address, tmp_path):
    records.write_split(tmp_path, "labeled", [2], with_mask=False)
    records.write_split(tmp_path, "unlabeled", [2], with_mask=False)
    with pytest.raises(tf.errors.InvalidArgumentError, match="has no mask"):
        batches(str(tmp_path), data_service=address)


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Can not listen on port {port} .*--port"):
            service.start(port)


@pytest.mark.parametrize("wrong", ["grpc://localhost:1", "here", "localhost:x"])
def test_nobody_answers(wrong, tmp_path):
    records.write_split(tmp_path, "labeled", [2])
    records.write_split(tmp_path, "unlabeled", [2])
    with pytest.raises(UserError, match="nobody answers there .*wss.data_service"):
        batches(str(tmp_path), data_service=wrong)
