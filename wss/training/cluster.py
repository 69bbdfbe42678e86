"""The workers that TF_CONFIG names: who they are, and that all of them are there.

TensorFlow waits for the others without limit, holds up all of Python meanwhile, and
says nothing of two workers that take themselves for the same one. So all ask all who
they are, on the ports that TensorFlow will listen on, before it begins.
"""

import contextlib
import json
import os
import socket
import threading
import time
from typing import Any, Dict, Iterator, List, NamedTuple, NoReturn, Optional, Tuple

from wss.errors import UserError

_JOBS = ("chief", "worker")  # In TensorFlow's order.
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", '
    '"index": 0}}'
)
_FIELDS = ("cluster", "from", "to", "problem")
_PERIOD_S, _PATIENCE_S, _MAX_BYTES = 0.5, 5.0, 1 << 16
# How long one that cannot begin waits for the others, to tell them.
_TELLING_S = 20.0


class Cluster(NamedTuple):
    """Several processes that train together.

    Attributes:
      hosts: their addresses "host:port"; the first one writes for all.
      names: what they are called, "worker 1".
      place: which of them this process is.
    """

    hosts: List[str]
    names: List[str]
    place: int

    def describe(self, place: int) -> str:
        """Name and address, "worker 1 (host1:2222)"."""
        return f"{self.names[place]} ({self.hosts[place]})"


def read() -> Optional[Cluster]:
    """Reads TF_CONFIG; None where it is not set or names one process alone.

    Raises:
      UserError: it describes no cluster of workers, or no place in it.
    """
    text = os.environ.get("TF_CONFIG")
    if not text:
        return None
    try:
        settings = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is no JSON: {error}") from error
    if not isinstance(settings, dict):
        raise _unreadable("it is no JSON object")
    jobs = _jobs(settings.get("cluster", {}))
    if not jobs:
        return None
    task = settings.get("task")
    if not isinstance(task, dict) or not {"type", "index"} <= set(task):
        raise _unreadable('"task" has to give "type" and "index"')
    name = f"{task['type']} {task['index']}"
    names = [f"{job} {index}" for job in jobs for index in range(len(jobs[job]))]
    if name not in names:
        raise UserError(
            f"TF_CONFIG says that this process is {name}, but its cluster has "
            f"{', '.join(names)}. Give each process another index from 0 on."
        )
    hosts = [host for job in jobs for host in jobs[job]]
    return Cluster(hosts, names, names.index(name)) if len(hosts) > 1 else None


def _jobs(cluster: Any) -> Dict[str, List[str]]:
    """The addresses by job, the chief's first."""
    if not isinstance(cluster, dict):
        raise _unreadable('"cluster" is no JSON object')
    strange = [job for job in cluster if job not in _JOBS]
    if strange:
        raise _unreadable(
            f"its cluster has the job {strange[0]!r}, not only workers and at most one "
            "chief"
        )
    jobs = {job: cluster[job] for job in _JOBS if job in cluster}
    for job, hosts in jobs.items():
        if not isinstance(hosts, list) or not hosts:
            raise _unreadable(f'"{job}" is no list of addresses')
        for host in hosts:
            if not _is_address(host):
                raise _unreadable(f"{host!r} is no address such as 'host0:2222'")
    if len(jobs.get("chief", [])) > 1:
        raise _unreadable("it has several chiefs")
    hosts = sum(jobs.values(), [])
    twice = [host for host in hosts if hosts.count(host) > 1]
    if twice:
        raise _unreadable(f"the address {twice[0]} is there twice")
    return jobs


def _is_address(host: Any) -> bool:
    if not isinstance(host, str):
        return False
    name, _, port = host.rpartition(":")
    return bool(name) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def _unreadable(reason: str) -> UserError:
    return UserError(
        f"TF_CONFIG cannot be read ({reason}). It has to look like {_EXAMPLE}; see "
        "docs/tpu.md."
    )


def meet(cluster: Cluster, seconds: float) -> None:
    """Returns once all workers are there and take each other for whom they are.

    Args:
      cluster: who is to come.
      seconds: how long to wait for them.

    Raises:
      UserError: some did not come, this one's port is taken, two have the same place,
        or one could not begin: then all of them end.
    """
    meeting = _Meeting(cluster)
    with meeting.listening():
        meeting.wait(time.monotonic() + seconds)


class _Meeting:
    """What this process knows of the others."""

    def __init__(self, cluster: Cluster):
        self._cluster = cluster
        others = set(range(len(cluster.hosts))) - {cluster.place}
        # Whose answer did not come yet, and who did not ask yet.
        self._missing, self._silent = set(others), set(others)
        self._failures: Dict[int, str] = {}
        self._problem: Optional[str] = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Inside, the others are answered."""
        _, port = _split(self._cluster.hosts[self._cluster.place])
        try:
            server = _listen(port)
        except OSError as error:
            own = self._cluster.describe(self._cluster.place)
            reason = os.strerror(error.errno)  # Its own sentence is longer.
            self._end(
                f"{own} cannot listen on its port ({reason}). Has another "
                "process the same index in its TF_CONFIG, or does an earlier run still "
                "go on?",
                time.monotonic() + _TELLING_S,
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
        while self._missing or self._silent:
            for place in sorted(self._missing):
                self._ask(place)
            if self._problem:
                self._end(self._problem)
            if time.monotonic() > end:
                self._give_up()
            if self._missing or self._silent:
                time.sleep(_PERIOD_S)

    def _ask(self, place: int) -> None:
        try:
            answer = _exchange(self._cluster.hosts[place], self._message(place))
        except (OSError, ValueError) as error:
            self._failures[place] = str(error) or type(error).__name__
            return
        self._check(answer)
        self._missing.discard(place)

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

    def _message(self, to: int) -> Dict[str, Any]:
        content = (self._cluster.hosts, self._cluster.place, to, self._problem)
        return dict(zip(_FIELDS, content))

    def _check(self, message: Dict[str, Any]) -> None:
        """Notes what is wrong with what another process says."""
        place, hosts = self._cluster.place, self._cluster.hosts
        if message.get("problem"):
            self._problem = self._problem or str(message["problem"])
        elif message["cluster"] != hosts:
            self._problem = (
                "The workers have different clusters in their TF_CONFIG: "
                f"{', '.join(hosts)} and {', '.join(map(str, message['cluster']))}. "
                "It has to be the same on all, but for the index."
            )
        elif message["to"] != place:
            self._problem = (
                f"The process at {hosts[message['to']]} takes itself for "
                f"{self._cluster.names[place]}, but there is "
                f"{self._cluster.names[message['to']]}. Give each process the index of "
                "its own address in TF_CONFIG."
            )

    def _give_up(self) -> None:
        absent = [
            f"{self._cluster.describe(place)}"
            + (f": {self._failures[place]}" if place in self._missing else "")
            for place in sorted(self._missing | self._silent)
        ]
        self._end(
            f"Not all workers came. No answer from {'; '.join(absent)}. Compare the "
            "addresses in TF_CONFIG, start the same command on all of them, or wait "
            "longer for them (get_strategy.wait_seconds)."
        )

    def _end(self, problem: str, last: float = 0.0) -> NoReturn:
        """Ends this process; tells those that are there, or come until `last`."""
        self._problem = problem
        # The own address too: another process may take itself for this one.
        untold = dict(enumerate(self._cluster.hosts))
        while untold:
            for place, host in list(untold.items()):
                with contextlib.suppress(OSError, ValueError):
                    _exchange(host, self._message(place), seconds=1.0)
                    del untold[place]
            if time.monotonic() > last:
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
    host: str, message: Dict[str, Any], seconds: float = _PATIENCE_S
) -> Dict[str, Any]:
    with socket.create_connection(_split(host), seconds) as connection:
        connection.sendall(_packed(message))
        return _read(connection, seconds)


def _read(connection: socket.socket, seconds: float = _PATIENCE_S) -> Dict[str, Any]:
    """What the other side says; a ValueError where it is none of us."""
    connection.settimeout(seconds)
    with connection.makefile("rb") as file:
        message = json.loads(file.readline(_MAX_BYTES))
    if not isinstance(message, dict) or set(message) != set(_FIELDS):
        raise ValueError("something else answers there")
    return message


def _packed(message: Dict[str, Any]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def _split(host: str) -> Tuple[str, int]:
    name, _, port = host.rpartition(":")
    return name.strip("[]"), int(port)
