"""Workers meet before TensorFlow begins."""

import json
import socket
import threading
import time

import pytest

from wss.errors import UserError
from wss.training import cluster
from wss.training.cluster import Cluster


def free_hosts(count):
    with socket.socket() as first, socket.socket() as second, socket.socket() as third:
        ends = [first, second, third][:count]
        for end in ends:
            end.bind(("localhost", 0))
        return [f"localhost:{end.getsockname()[1]}" for end in ends]


def member(hosts, place):
    return Cluster(hosts, [f"worker {index}" for index in range(len(hosts))], place)


def meet(*clusters, seconds=20.0):
    """The result of each process that meets: None or a message."""
    ends = [None] * len(clusters)

    def run(number):
        try:
            cluster.meet(clusters[number], seconds)
        except UserError as error:
            ends[number] = str(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(clusters))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return ends


@pytest.mark.parametrize("count", [2, 3])
def test_all_meet(count):
    hosts = free_hosts(count)
    assert meet(*(member(hosts, place) for place in range(count))) == [None] * count
    for host in hosts:  # TensorFlow listens there now.
        with socket.create_server(("", int(host.split(":")[1]))):
            pass


def test_a_host_that_is_not_there_is_named_when_the_time_is_over():
    hosts = [*free_hosts(2), "nowhere.invalid:2222"]
    start = time.monotonic()
    ends = meet(member(hosts, 0), member(hosts, 1), seconds=2.0)
    assert time.monotonic() - start < 20
    sentence = (
        "Not all workers are there. No answer from worker 2 (nowhere.invalid:2222): "
    )
    for end in ends:
        assert end.startswith(sentence) and "worker 1" not in end
        assert "get_strategy.wait_seconds" in end


def test_two_workers_with_one_index_end_all(monkeypatch):
    monkeypatch.setattr(cluster, "_REPORT_S", 1.0)
    hosts = free_hosts(2)
    ends = meet(member(hosts, 1), member(hosts, 1), seconds=60.0)
    for end in ends:
        assert end.startswith(f"worker 1 ({hosts[1]}) cannot listen on its port (")
        assert "the same index" in end


def test_an_index_of_another_machine_is_named():
    """As if all machines have the same port, and the first claims to be the second."""
    hosts = free_hosts(2)
    second = member(hosts, 1)
    ends = []

    def ask():
        message = dict(zip(cluster._FIELDS, (hosts, 1, 0, None)))
        while not ends:
            try:
                ends.append(cluster._exchange(hosts[1], message)["problem"])
            except OSError:
                time.sleep(0.1)

    thread = threading.Thread(target=ask)
    thread.start()
    (end,) = meet(second)
    thread.join()
    assert ends == [end]
    assert end == (
        f"The process at {hosts[0]} has the index of worker 1, but this is the address "
        "of worker 0. Give each process the index of its own address in TF_CONFIG."
    )


def test_clusters_that_differ_end_all():
    hosts = free_hosts(3)
    ends = meet(member(hosts[:2], 0), member(hosts[:2][::-1], 0), seconds=10.0)
    for end in ends:
        assert end.startswith("The workers have different clusters in their TF_CONFIG:")


def test_a_taken_port_is_reported_to_the_others(monkeypatch):
    # Long enough for a second try: the other worker may start later.
    monkeypatch.setattr(cluster, "_REPORT_S", 3.0)
    hosts = free_hosts(2)
    with socket.create_server(("", int(hosts[1].split(":")[1]))):
        ends = meet(member(hosts, 0), member(hosts, 1), seconds=60.0)
    for end in ends:
        assert end.startswith(f"worker 1 ({hosts[1]}) cannot listen on its port (")


def test_strangers_are_no_workers():
    """Port scanners do no harm; another program is not a worker."""
    hosts = free_hosts(2)
    name, port = hosts[0].split(":")
    done = threading.Event()

    def knock():
        while not done.wait(0.05):
            for noise in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b'{"from": 1}\n', b""):
                try:
                    with socket.create_connection((name, int(port)), 1) as stranger:
                        stranger.sendall(noise)
                except OSError:
                    pass

    thread = threading.Thread(target=knock)
    thread.start()
    try:
        assert meet(member(hosts, 0), member(hosts, 1)) == [None, None]
    finally:
        done.set()
        thread.join()
    with socket.create_server(("", int(hosts[1].split(":")[1]))) as other:

        def answer():
            connection, _ = other.accept()
            with connection:
                connection.sendall(json.dumps({"cluster": hosts}).encode() + b"\n")

        thread = threading.Thread(target=answer)
        thread.start()
        (end,) = meet(member(hosts, 0), seconds=0.0)
        thread.join()
    assert f"worker 1 ({hosts[1]}): something else answers there" in end
