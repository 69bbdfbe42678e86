"""Batches prepared on another machine, by one worker of tf.data's service.

There is only one worker, so that batches keep their order and a run resumes exactly.
"""

import functools
import socket
import time
from typing import Any, Optional

import tensorflow as tf

from wss.data import parsing
from wss.errors import UserError

_PATIENCE_S = 10.0
# How often a run checks that its service is alive, and how long it waits for an answer.
# A service that has ended refuses the connection at once.
_PERIOD_S, _SILENCE_S = 1.0, 60.0


def start(port: int = 0, host: Optional[str] = None) -> tuple[str, Any, Any]:
    """Starts a dispatcher and the worker that prepares batches.

    TensorFlow listens on every interface, without authentication.

    Args:
      port: of the dispatcher; the worker has the next one. 0: any free ports.
      host: name of this machine on the network; default: its host name.

    Returns:
      The address and both servers, which run as long as they are referenced.

    Raises:
      UserError: a port is taken or out of range.
    """
    service = tf.data.experimental.service
    host = host or socket.gethostname()
    if not 0 <= port < 65535:
        raise UserError(f"--port={port}: choose one from 1 to 65534, or 0 for any.")
    worker_port = port + 1 if port else 0
    for each in (port, worker_port):
        _check_free(each)
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    port = int(dispatcher.target.rsplit(":", 1)[1])
    worker = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=f"localhost:{port}",
            worker_address=f"{host}:%port%",
            port=worker_port,
        )
    )
    return f"grpc://{host}:{port}", dispatcher, worker


def _check_free(port: int) -> None:
    """Checks a port: TensorFlow does not name one that is taken, or even crashes."""
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
    except OSError as error:
        raise UserError(
            f"Cannot listen on port {port} ({error.strerror}). Choose another --port; "
            "it and the next one have to be free."
        ) from error


def prepared_at(address: str, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches in the same order, prepared by the service at an address.

    If the service ends, reading fails by `parsing.ensure`.

    Raises:
      UserError: no service answers there.
    """
    host, _, port = address.removeprefix("grpc://").rpartition(":")
    try:
        place = (host, int(port))
        _ask(place, _PATIENCE_S)
    except (OSError, ValueError, OverflowError) as error:
        raise UserError(
            f"training_batches.data_service = {address!r}: no service answers there "
            f"({error}). Start python -m wss.data_service on that machine; it prints "
            "its address."
        ) from error
    undivided = tf.data.experimental.service.ShardingPolicy.OFF
    target = f"grpc://{host}:{port}"  # The protocol may be left out.
    prepared = dataset.apply(tf.data.experimental.service.distribute(undivided, target))
    # TensorFlow waits forever for a service that has ended: a restarted one does not
    # know the run. So batches are read together with a check that fails.
    watch = functools.partial(_watch, place, dataset.element_spec)
    # flat_map: asks the service for a batch only after the check runs.
    late = tf.data.Dataset.from_tensors(0).flat_map(lambda _: prepared)
    sources = tf.data.Dataset.from_tensors(late).concatenate(
        tf.data.Dataset.range(1 << 62).map(watch)
    )
    return sources.interleave(
        lambda source: source, cycle_length=2, num_parallel_calls=2, deterministic=False
    ).with_options(_own_threads())


def _watch(
    place: tuple[str, int], element_spec: Any, number: tf.Tensor
) -> tf.data.Dataset:
    """Empty, after a while; fails if the service at (host, port) has ended."""

    def ask(_):
        problem = tf.numpy_function(lambda: _problem(place), [], tf.string)
        alive = parsing.ensure(tf.strings.length(problem) == 0, problem)
        with tf.control_dependencies([alive]):
            return tf.nest.map_structure(
                lambda spec: tf.zeros(spec.shape, spec.dtype), element_spec
            )

    return tf.data.Dataset.from_tensors(number).map(ask).filter(lambda *_: False)


def _problem(place: tuple[str, int]) -> bytes:
    """An error message if the service at (host, port) has ended; else, later, b""."""
    time.sleep(_PERIOD_S)
    silent_since = time.monotonic()
    while True:
        try:
            _ask(place, _PATIENCE_S)
            return b""
        except OSError as error:
            silence = time.monotonic() - silent_since
            if isinstance(error, ConnectionError) or silence > _SILENCE_S:
                host, port = place
                return (
                    f"The data service at {host}:{port} has ended ({error}). Start "
                    "python -m wss.data_service there again."
                ).encode()
            time.sleep(_PERIOD_S)


def _ask(place: tuple[str, int], seconds: float) -> None:
    """Raises an OSError unless a gRPC server, which sends first, is at (host, port)."""
    with socket.create_connection(place, seconds) as connection:
        if not connection.recv(1):
            raise ConnectionError("the connection was closed")


def _own_threads() -> tf.data.Options:
    """Own threads: the check sleeps and must not block those of the steps."""
    options = tf.data.Options()
    options.threading.private_threadpool_size = 2
    return options
