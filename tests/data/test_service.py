"""Batches prepared by another process are those that training makes itself."""

import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.data import records
from wss import data_service
from wss.data import input_pipeline, parsing, service
from wss.data.input_pipeline import Split
from wss.errors import UserError


def serving():
    """A service in a process of its own, which prints its address."""
    command = [sys.executable, "-m", "wss.data_service", "--port=0", "--host=localhost"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, **pipes)


@pytest.fixture(scope="module")
def address():
    with serving() as process:
        line = process.stdout.readline()
        yield line.split("'")[1]
        process.terminate()


def batches(data_dir, steps=3, **options):
    dataset = input_pipeline.training_batches(
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


def test_a_broken_record_is_named_and_the_protocol_may_be_left_out(address, tmp_path):
    records.write_split(tmp_path, "labeled", [2], with_mask=False)
    records.write_split(tmp_path, "unlabeled", [2], with_mask=False)
    short = address.replace("grpc://", "")
    with pytest.raises(tf.errors.InvalidArgumentError, match="has no mask"):
        batches(str(tmp_path), data_service=short, strong_augmentation=())


@pytest.mark.parametrize("distance", [0, 1])
def test_a_port_that_is_taken(distance):
    with socket.socket() as taken:
        taken.bind(("", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"Cannot listen on port {port} .*--port"):
            service.start(port - distance)


@pytest.mark.parametrize("port", [-1, 65535, 70000])
def test_a_port_that_is_none(port):
    with pytest.raises(UserError, match=f"--port={port}: choose one from 1 to 65534"):
        service.start(port)


def test_the_help_warns_of_open_ports(capsys):
    with pytest.raises(SystemExit):
        data_service.main(["--help"])
    printed = capsys.readouterr().out
    assert "WARNING: anyone who can reach" in printed and "ssh -N -L 5050" in printed


def read_until_it_fails(address):
    """The sentence with which reading ends, and the seconds until then."""
    numbers = tf.data.Dataset.range(1 << 40).map(lambda n: {"n": tf.fill([9, 9], n)})
    iterator = iter(service.prepared_at(address, numbers))
    for number in range(20):
        assert int(next(iterator)["n"][0, 0]) == number
    yield
    start = time.monotonic()
    with pytest.raises(UserError) as error, parsing.user_errors():
        for number in range(20, 1 << 40):
            assert int(next(iterator)["n"][0, 0]) == number
    yield str(error.value), time.monotonic() - start


def test_a_service_that_ends_is_missed():
    with serving() as process:
        address = process.stdout.readline().split("'")[1]
        reading = read_until_it_fails(address)
        next(reading)
        process.kill()
        process.wait()
        sentence, seconds = next(reading)
        warnings = process.stderr.read()
    assert "warning: anyone who can reach these ports" in warnings
    assert sentence.startswith(f"The data service at {address[7:]} has ended (")
    assert "Start python -m wss.data_service there again" in sentence
    assert seconds < 20


def test_a_service_that_falls_silent_is_missed(monkeypatch):
    monkeypatch.setattr(service, "_PATIENCE_S", 1.0)
    monkeypatch.setattr(service, "_SILENCE_S", 1.0)
    with serving() as process:
        address = process.stdout.readline().split("'")[1]
        reading = read_until_it_fails(address)
        next(reading)
        process.send_signal(signal.SIGSTOP)
        sentence, _ = next(reading)
        process.kill()
    assert "has ended (timed out)" in sentence


def test_somebody_else_listens_there(monkeypatch):
    monkeypatch.setattr(service, "_PATIENCE_S", 0.2)
    with socket.socket() as other:
        other.bind(("localhost", 0))
        other.listen()
        address = f"localhost:{other.getsockname()[1]}"
        with pytest.raises(UserError, match=f"'{address}': no service answers there"):
            service.prepared_at(address, tf.data.Dataset.range(1))


@pytest.mark.parametrize("wrong", ["grpc://localhost:1", "here", "localhost:x"])
def test_nobody_answers(wrong):
    with pytest.raises(UserError, match="no service answers there .*wss.data_service"):
        service.prepared_at(wrong, tf.data.Dataset.range(1))
