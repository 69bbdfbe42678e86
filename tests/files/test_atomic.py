"""Small files: whole, on the disk, and one writer at a time."""

import errno
import os
import threading

import pytest

from wss.errors import UserError
from wss.files import atomic


def test_many_writers_leave_one_whole_text(tmp_path):
    path = str(tmp_path / "a.json")
    texts = [str(number) * 100_000 for number in range(8)]
    writers = [
        threading.Thread(target=atomic.write_text, args=(path, t)) for t in texts
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert (tmp_path / "a.json").read_text() in texts
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_name_as_long_as_a_name_can_be(tmp_path):
    name = "n" * 255
    atomic.write_text(str(tmp_path / name), "text")
    assert os.listdir(tmp_path) == [name]


def test_what_is_written_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    kept = []

    def keep(path):
        kept.append((os.path.dirname(path), sorted(os.listdir(tmp_path))))

    monkeypatch.setattr(atomic, "keep", keep)
    atomic.write_text(str(tmp_path / "a"), "text")
    (folder, before), (above, after) = kept
    assert folder == str(tmp_path) and before[0].endswith(".tmp")
    assert above == str(tmp_path.parent) and after == ["a"]


def test_a_disk_that_does_not_keep_a_file(tmp_path, monkeypatch):
    (tmp_path / "a").write_text("old")

    def fsync(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match=rf"No space left on device: '{tmp_path}"):
        atomic.write_text(str(tmp_path / "a"), "new")
    assert (tmp_path / "a").read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_a_lock_keeps_the_others_waiting(tmp_path):
    path, order = str(tmp_path / "lock"), []

    def other():
        with atomic.locked(path):
            order.append("other")

    with atomic.locked(path):
        waiting = threading.Thread(target=other)
        waiting.start()
        waiting.join(0.2)
        order.append("first")
    waiting.join()
    assert order == ["first", "other"]
    with atomic.locked(str(tmp_path / "no folder" / "lock")):
        pass  # Nobody waits if locks are impossible.


def test_what_is_no_file_is_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe.txt")
    with pytest.raises(
        UserError, match="list .*pipe.txt cannot be read: it is not a reg"
    ):
        atomic.refuse_special(str(tmp_path / "pipe.txt"), "list")
    atomic.refuse_special(str(tmp_path / "missing"))
    atomic.refuse_special(__file__)


def test_a_lock_that_does_not_wait(tmp_path):
    def opened(path):
        return os.open(path, os.O_RDONLY)

    first, second = opened(tmp_path), opened(tmp_path)
    assert atomic.try_lock(first) is True
    assert atomic.try_lock(second) is False
    os.close(first)
    assert atomic.try_lock(second) is True
    os.close(second)


@pytest.mark.parametrize("has_fcntl", [True, False])
def test_a_file_system_without_locks(tmp_path, monkeypatch, has_fcntl):
    def flock(descriptor, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    if has_fcntl:
        monkeypatch.setattr(atomic.fcntl, "flock", flock)
    else:
        monkeypatch.setattr(atomic, "fcntl", None)
    descriptor = os.open(tmp_path, os.O_RDONLY)
    assert atomic.try_lock(descriptor) is None
    os.close(descriptor)
