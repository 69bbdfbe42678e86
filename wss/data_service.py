"""Prepares the input of a training on another machine, one with more cores.

    python -m wss.data_service --port=5050

serves until Ctrl-C. The training, on a host whose cores do not keep its accelerators
fed, asks for its batches there:

    python -m wss.train --gin_file=gin_configs/voc_1-16.gin \\
        --gin_bindings="training_batches.data_service = 'grpc://HOST:5050'"

Both machines need this package in the same version, and the shards under the same path.
The batches are those that the training would have made itself.

WARNING: whoever reaches the two ports (--port and the one after it) can read and
write this machine's files with your rights: TensorFlow listens on every interface and
asks for no password. Let a firewall close both, and come to them by an SSH tunnel:

    python -m wss.data_service --port=5050 --host=localhost           # on HOST
    ssh -N -L 5050:localhost:5050 -L 5051:localhost:5051 HOST         # at the training
    ... --gin_bindings="training_batches.data_service = 'grpc://localhost:5050'"
"""

import argparse
import sys
import threading
from typing import Annotated, Optional, Sequence

from wss import cli
from wss.settings import Range

_PORT = Annotated[int, Range(low=0, high=65535)]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)

    def command() -> None:
        # TensorFlow takes seconds to import: late, so that --help answers at once.
        from wss.data import service

        address, *servers = service.start(options.port, options.host)
        print(
            "warning: whoever reaches this machine's ports can read and write its "
            "files with your rights, for TensorFlow asks for no password. Close them "
            "by a firewall; --help shows the way by an SSH tunnel.",
            file=sys.stderr,
            flush=True,
        )
        print(
            "Serving; the training takes --gin_bindings="
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
        help="it and the one after it are listened on, on every interface (default: "
        "5050); 0: any two",
    )
    parser.add_argument(
        "--host",
        help="name or address by which trainings come to this machine (default: its "
        "own name); 'localhost' for those of this machine or by a tunnel",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
