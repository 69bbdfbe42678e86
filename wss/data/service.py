"""Batches that another machine prepares: one worker of tf.data's service.

There is one worker only, so that batches come in their order and a training goes on
exactly where it was.
"""

import socket
from typing import Any, Optional, Tuple

import tensorflow as tf

from wss.errors import UserError

_PATIENCE_S = 10.0


def start(port: int = 0, host: Optional[str] = None) -> Tuple[str, Any, Any]:
    """Starts a dispatcher and the worker that prepares batches.

    Args:
      port: of the dispatcher; 0: any that is free.
      host: name under which the training's machine finds this one; this machine's own
        name unless given.

    Returns:
      The address, and both servers; these serve as long as somebody holds them.

    Raises:
      UserError: the port is taken.
    """
    service = tf.data.experimental.service
    host = host or socket.gethostname()
    try:
        dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    except (RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"Can not listen on port {port} ({str(error).splitlines()[0]}). Choose "
            "another --port."
        ) from error
    port = int(dispatcher.target.rsplit(":", 1)[1])
    worker = service.WorkerServer(
        service.WorkerConfig(
            dispatcher_address=f"localhost:{port}", worker_address=f"{host}:%port%"
        )
    )
    return f"grpc://{host}:{port}", dispatcher, worker


def prepared_at(address: str, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same batches in the same order, prepared by the service at an address.

    Raises:
      UserError: nobody answers there.
    """
    host, _, port = address.removeprefix("grpc://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), _PATIENCE_S).close()
    except (OSError, ValueError) as error:
        raise UserError(
            f"training_batches.data_service = {address!r}: nobody answers there "
            f"({error}). Start python -m wss.data_service on that machine; it prints "
            "its address."
        ) from error
    undivided = tf.data.experimental.service.ShardingPolicy.OFF
    target = f"grpc://{host}:{port}"  # The protocol may be left out.
    return dataset.apply(tf.data.experimental.service.distribute(undivided, target))
