"""Signals that end a training."""

import os
import signal
import time

import pytest

from wss.errors import Stopped
from wss.training import preemption


@pytest.fixture
def ended(monkeypatch):
    """Statuses with which the process would have exited at once."""
    statuses = []
    monkeypatch.setattr(preemption.os, "_exit", statuses.append)
    return statuses


@pytest.fixture(autouse=True)
def hang_ups_count():
    """Also if the tests run under nohup, which ignores the signals."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def send(number):
    os.kill(os.getpid(), number)
    time.sleep(0.2)  # The thread that listens takes its turn.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_the_first_is_noted_and_the_second_ends(ended, capsys, number):
    before = signal.getsignal(number)
    signals = preemption.StopSignals()
    with signals.watch():
        assert signals.received is None
        send(number)
        assert signals.received == number and not ended
        with pytest.raises(Stopped) as raised:
            signals.stop()
        send(number)
        assert ended == [128 + number]
    assert raised.value.signal == number
    assert signal.getsignal(number) is before
    name = signal.Signals(number).name
    assert f"{name}: saving the state" in capsys.readouterr().err


def test_what_is_done_again_anyway_is_broken_off(ended):
    signals = preemption.StopSignals()
    with signals.watch():
        with pytest.raises(Stopped), signals.raising():
            send(signal.SIGTERM)
            pytest.fail("The signal did not break it off.")
        with pytest.raises(Stopped), signals.raising():
            pytest.fail("It came before.")
    assert not ended


def test_what_is_ignored_stays_ignored(ended):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        signals = preemption.StopSignals()
        with signals.watch():
            send(signal.SIGINT)
            assert signals.received is None
    finally:
        signal.signal(signal.SIGINT, before)
    assert not ended


def test_what_nobody_reads_any_more_does_not_fail():
    reader, writer = os.pipe()
    stream = preemption._Lasting(open(writer, "w"))
    print("read", file=stream, flush=True)
    assert os.read(reader, 99) == b"read\n"
    os.close(reader)
    for _ in range(2):
        print("not read", file=stream, flush=True)
    stream.close()
    full = preemption._Lasting(open("/dev/full", "w"))
    with pytest.raises(OSError, match="No space"):
        print("lost", file=full, flush=True)
