"""The workers of TF_CONFIG: checks that all are there, each with its own index.

TensorFlow waits for missing workers without a limit, blocks Python meanwhile, and does
not notice two workers with the same index. So before it starts, each worker asks every
other one for its address and index, on the ports that TensorFlow will use.
"""

import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn, Optional

from wss.errors import UserError

_JOBS = ("chief", "worker")  # In TensorFlow's order.
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", '
    '"index": 0}}'
)
_FIELDS = ("cluster", "from", "to", "problem")
_PERIOD_S, _PATIENCE_S, _MAX_BYTES = 0.5, 5.0, 1 << 16
# How long a worker that cannot start keeps trying to tell the others.
_REPORT_S = 20.0


class Cluster(NamedTuple):
    """Several workers that train together.

    Attributes:
      hosts: the workers' addresses, "host:port"; the first worker is the chief.
      names: the workers' names, such as "worker 1".
      own_index: position of this process in both lists.
    """

    hosts: list[str]
    names: list[str]
    own_index: int

    def describe(self, index: int) -> str:
        """Name and address of a worker, such as "worker 1 (host1:2222)"."""
        return f"{self.names[index]} ({self.hosts[index]})"


def read() -> Optional[Cluster]:
    """Reads TF_CONFIG; None if it is not set or names only one process.

    Raises:
      UserError: it does not describe a cluster of workers and an index in it.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is not JSON: {error}") from error
    if not isinstance(settings, dict):
        raise _unreadable("it is not a JSON object")
    jobs = _jobs(settings.get("cluster", {}))
    if not jobs:
        return None
    task = settings.get("task")
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise _unreadable('"task" must have "type" and "index"')
    name = f"{task['type']} {task['index']}"
    names = [f"{job} {index}" for job in jobs for index in range(len(jobs[job]))]
    if name not in names:
        raise UserError(
            f"TF_CONFIG says that this process is {name}, but its cluster has "
            f"{', '.join(names)}. Number the processes from 0."
        )
    hosts = [host for job in jobs for host in jobs[job]]
    return Cluster(hosts, names, names.index(name)) if len(hosts) > 1 else None


def _jobs(cluster: Any) -> dict[str, list[str]]:
    """The addresses by job, starting with the chief's."""
    if not isinstance(cluster, dict):
        raise _unreadable('"cluster" is not a JSON object')
    unknown = [job for job in cluster if job not in _JOBS]
    if unknown:
        raise _unreadable(
            f"its cluster has the job {unknown[0]!r}, but only workers and at most one "
            "chief are allowed"
        )
    jobs = {job: cluster[job] for job in _JOBS if job in cluster}
    for job, hosts in jobs.items():
        if not isinstance(hosts, list) or not hosts:
            raise _unreadable(f'"{job}" is not a list of addresses')
        for host in hosts:
            if not _is_address(host):
                raise _unreadable(f"{host!r} is not an address such as 'host0:2222'")
    if len(jobs.get("chief", [])) > 1:
        raise _unreadable("it has several chiefs")
    hosts = sum(jobs.values(), [])
    twice = [host for host in hosts if hosts.count(host) > 1]
    if twice:
        raise _unreadable(f"it has the address {twice[0]} twice")
    return jobs


def _is_address(host: Any) -> bool:
    if not isinstance(host, str):
        return False
    name, _, port = host.rpartition(":")
    return bool(name) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def _unreadable(reason: str) -> UserError:
    return UserError(
        f"TF_CONFIG cannot be read ({reason}). It must look like {_EXAMPLE}; see "
        "docs/tpu.md."
    )


def meet(cluster: Cluster, seconds: float) -> None:
    """Waits until all workers have answered and agree on the cluster.

    Args:
      cluster: the workers.
      seconds: how long to wait.

    Raises:
      UserError: a worker did not answer, the port of this one is in use, two have the
        same index or different clusters, or one of them could not start. All workers
        then raise it.
    """
    meeting = _Meeting(cluster)
    with meeting.listening():
        meeting.wait(time.monotonic() + seconds)


class _Meeting:
    """What this process knows about the other workers."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        others = set(range(len(cluster.hosts))) - {cluster.own_index}
        # Workers that have not answered yet, and workers that have not asked yet.
        self._unanswered, self._silent = set(others), set(others)
        self._failures: dict[int, str] = {}
        self._problem: Optional[str] = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Context in which the questions of the other workers are answered."""
        _, port = _split(self._cluster.hosts[self._cluster.own_index])
        try:
            server = _listen(port)
        except OSError as error:
            own = self._cluster.describe(self._cluster.own_index)
            reason = os.strerror(error.errno)  # Shorter than str(error).
            self._fail(
                f"{own} cannot listen on its port ({reason}). Does another process "
                "have the same index in its TF_CONFIG, or is an earlier run still "
                "running?",
                time.monotonic() + _REPORT_S,
            )
        stop = threading.Event()
        thread = threading.Thread(target=self._answer_all, args=(server, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()
            server.close()

    def wait(self, end: float) -> None:
        """Asks the others until all have answered and asked, or the time is over."""
        while self._unanswered or self._silent:
            for index in sorted(self._unanswered):
                self._ask(index)
            if self._problem:
                self._fail(self._problem)
            if time.monotonic() > end:
                self._give_up()
            if self._unanswered or self._silent:
                time.sleep(_PERIOD_S)

    def _ask(self, index: int) -> None:
        try:
            answer = _exchange(self._cluster.hosts[index], self._message(index))
        except (OSError, ValueError) as error:
            self._failures[index] = str(error) or type(error).__name__
            return
        self._check(answer)
        self._unanswered.discard(index)

    def _answer_all(self, server: socket.socket, stop: threading.Event) -> None:
        server.settimeout(_PERIOD_S / 5)
        while not stop.is_set():
            with contextlib.suppress(OSError, ValueError):
                connection, _ = server.accept()
                with connection:
                    question = _read(connection)
                    self._check(question)
                    connection.sendall(_packed(self._message(question["from"])))
                    self._silent.discard(question["from"])

    def _message(self, to: int) -> dict[str, Any]:
        content = (self._cluster.hosts, self._cluster.own_index, to, self._problem)
        return dict(zip(_FIELDS, content))

    def _check(self, message: dict[str, Any]) -> None:
        """Records a problem that the message of another process shows."""
        index, hosts = self._cluster.own_index, self._cluster.hosts
        if message.get("problem"):
            self._problem = self._problem or str(message["problem"])
        elif message["cluster"] != hosts:
            self._problem = (
                "The workers have different clusters in their TF_CONFIG: "
                f"{', '.join(hosts)} and {', '.join(map(str, message['cluster']))}. "
                "Only the index may differ."
            )
        elif message["to"] != index:
            self._problem = (
                f"The process at {hosts[message['to']]} has the index of "
                f"{self._cluster.names[index]}, but this is the address of "
                f"{self._cluster.names[message['to']]}. Give each process the index of "
                "its own address in TF_CONFIG."
            )

    def _give_up(self) -> None:
        missing = [
            f"{self._cluster.describe(index)}"
            + (f": {self._failures[index]}" if index in self._unanswered else "")
            for index in sorted(self._unanswered | self._silent)
        ]
        self._fail(
            f"Not all workers are there. No answer from {'; '.join(missing)}. Compare "
            "the addresses in TF_CONFIG, start the same command on all of them, or "
            "wait longer for them (get_strategy.wait_seconds)."
        )

    def _fail(self, problem: str, end: float = 0.0) -> NoReturn:
        """Raises an error, after telling each worker that answers before `end`."""
        self._problem = problem
        # This worker's address too: another process may use its index.
        untold = dict(enumerate(self._cluster.hosts))
        while untold:
            for index, host in list(untold.items()):
                with contextlib.suppress(OSError, ValueError):
                    _exchange(host, self._message(index), seconds=1.0)
                    del untold[index]
            if time.monotonic() > end:
                break
            time.sleep(_PERIOD_S)
        raise UserError(problem)


def _listen(port: int) -> socket.socket:
    if socket.has_dualstack_ipv6():
        return socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True
        )
    return socket.create_server(("", port))


def _exchange(
    host: str, message: dict[str, Any], seconds: float = _PATIENCE_S
) -> dict[str, Any]:
    with socket.create_connection(_split(host), seconds) as connection:
        connection.sendall(_packed(message))
        return _read(connection, seconds)


def _read(connection: socket.socket, seconds: float = _PATIENCE_S) -> dict[str, Any]:
    """Reads a message; raises a ValueError if the other side is not a worker."""
    connection.settimeout(seconds)
    with connection.makefile("rb") as file:
        message = json.loads(file.readline(_MAX_BYTES))
    if not isinstance(message, dict) or set(message) != set(_FIELDS):
        raise ValueError("something else answers there")
    return message


def _packed(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _split(host: str) -> tuple[str, int]:
    name, _, port = host.rpartition(":")
    return name.strip("[]"), int(port)
