"""The workers that the environment variable TF_CONFIG names, and this one's place."""

import json
import os
from typing import Any, Dict, List, NamedTuple, Optional

from wss.errors import UserError

_JOBS = ("chief", "worker")  # In TensorFlow's order.
_EXAMPLE = (
    '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", '
    '"index": 0}}'
)


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
        f"TF_CONFIG can not be read ({reason}). It has to look like {_EXAMPLE}; see "
        "docs/tpu.md."
    )
