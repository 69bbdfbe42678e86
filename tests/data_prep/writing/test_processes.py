"""Making things in other processes: order, bounds, ends; and what breaks on the way."""

import functools
import os
import subprocess
import sys
import time

import pytest

from data_prep.writing import processes
from tests.data_prep import readers
from wss.errors import UserError

READERS = "voc coco folder shapes cityscapes ade20k camvid"


@pytest.fixture
def at_once(monkeypatch):
    """Processes start without a trial."""
    monkeypatch.setattr(processes, "_TRIAL_SECONDS", 0.0)
    monkeypatch.setattr(processes, "_WORTH_SECONDS", 0.0)


def test_results_come_in_order_from_other_processes(at_once):
    made = list(processes.in_order(readers.process_id, range(50), workers=2))
    assert [number for number, _ in made] == list(range(50))
    used = {process for _, process in made}
    assert os.getpid() not in used
    assert len(used) <= 2


@pytest.mark.parametrize("count, workers", [(50, 1), (3, 2)])
def test_little_work_starts_no_process(count, workers):
    made = list(processes.in_order(readers.process_id, range(count), workers))
    assert made == [(number, os.getpid()) for number in range(count)]


def test_slow_work_starts_processes_after_the_first_items(monkeypatch):
    monkeypatch.setattr(processes, "_TRIAL_SECONDS", 0.02)
    monkeypatch.setattr(processes, "_WORTH_SECONDS", 0.1)
    numbers, used = zip(
        *(
            (time.sleep(0.011), made)[1]
            for made in processes.in_order(readers.process_id, range(30), 2)
        )
    )
    assert list(numbers) == list(range(30))
    here = [process == os.getpid() for process in used]
    assert 1 <= sum(here) < 30
    assert here == sorted(here, reverse=True)


def test_only_few_results_wait(at_once, tmp_path):
    made = processes.in_order(
        functools.partial(readers.touch, folder=str(tmp_path)), range(1000), workers=2
    )
    for number in range(20):
        assert next(made) == number
    time.sleep(0.3)
    ahead = len(list(tmp_path.iterdir())) - 20
    made.close()
    assert 0 < ahead <= 2 * processes._CHUNKS_IN_FLIGHT * processes._CHUNK


def test_a_dead_process_is_told(at_once):
    with pytest.raises(UserError, match="worker process died.*--workers=1"):
        list(processes.in_order(readers.die, range(20), workers=2))


def test_broken_items_are_results(tmp_path):
    item = readers.Item("a", str(tmp_path / "a.txt"))
    missing = processes.attempt(item, readers.read_file)
    assert missing.problem.startswith("'a' cannot be read: FileNotFoundError: ")
    assert missing.problem.endswith(
        f"(readers.py, line {readers.read_file.__code__.co_firstlineno + 2})."
    )
    (tmp_path / "a.txt").write_text("x!")
    broken = processes.attempt(item, readers.read_file)
    assert broken.problem == f"The file {item.path} is broken."
    (tmp_path / "a.txt").write_text("xyz")
    whole = processes.attempt(item, readers.read_file)
    assert (whole.name, whole.has_mask, whole.problem) == ("a", True, "")
    assert len({missing.sources, broken.sources, whole.sources}) == 3
    assert whole.sources == processes.attempt(item, readers.read_file).sources


def test_a_problem_names_its_item_in_one_line():
    def refuse(item):
        raise UserError("two\nlines")

    assert processes.attempt("b", refuse).problem == "'b': two lines"


def test_readers_do_not_load_tensorflow():
    lines = ["import importlib, sys"]
    lines += [
        f"importlib.import_module('data_prep.{name}')" for name in READERS.split()
    ]
    lines += ["assert 'tensorflow' not in sys.modules"]
    subprocess.run([sys.executable, "-c", "\n".join(lines)], check=True)
