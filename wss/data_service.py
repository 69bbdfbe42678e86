"""Prepares training batches on another machine, one with more cores.

    python -m wss.data_service --port=5050

serves until Ctrl-C. A run whose host is too slow to feed its accelerators gets its
batches from there:

    python -m wss.train --gin_file=gin_configs/voc_1-16.gin \\
        --gin_bindings="training_batches.data_service = 'grpc://HOST:5050'"

Both machines need the same version of this package, and the shards under the same path.
The batches are the same as without the service.

WARNING: anyone who can reach the two ports (--port and the next one) can read and write
this machine's files with your rights: TensorFlow listens on every interface and asks
for no password. Close both with a firewall, and connect through an SSH tunnel:

    python -m wss.data_service --port=5050 --host=localhost     # on HOST
    ssh -N -L 5050:localhost:5050 -L 5051:localhost:5051 HOST   # on the other machine
    ... --gin_bindings="training_batches.data_service = 'grpc://localhost:5050'"
"""

import argparse
import sys
import threading
from collections.abc import Sequence
from typing import Annotated, Optional

from wss import cli
from wss.settings import Range

_PORT = Annotated[int, Range(low=0, high=65535)]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)

    def command() -> None:
        # Late, so that --help is quick: importing TensorFlow takes seconds.
        from wss.data import service

        address, *servers = service.start(options.port, options.host)
        print(
            "warning: anyone who can reach these ports can read and write this "
            "machine's files with your rights, because TensorFlow asks for no "
            "password. Close them with a firewall; --help shows how to use an SSH "
            "tunnel.",
            file=sys.stderr,
            flush=True,
        )
        print(
            "Serving; train with --gin_bindings="
            f"\"training_batches.data_service = '{address}'\"",
            flush=True,
        )
        threading.Event().wait()
        del servers

    return cli.run(command)


def _parser() -> argparse.ArgumentParser:
    parser = cli.make_parser("wss.data_service", __doc__)
    parser.add_argument(
        "--port",
        type=cli.number(_PORT),
        default=5050,
        help="listen on this port and the next one, on every interface (default: "
        "5050); 0: any two ports",
    )
    parser.add_argument(
        "--host",
        help="name or address under which runs reach this machine (default: its own "
        "name); 'localhost' for runs on this machine or through a tunnel",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
