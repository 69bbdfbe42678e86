"""Two workers: who writes, what they start with, and what happens if one is lost."""

import os
import re
import types

import pytest
import tensorflow as tf

from tests.training.pair import run_pair
from wss.training import workers


def test_the_chief_writes_and_all_start_from_its_state(tmp_path):
    chief, other = run_pair(["tests.training.pair", str(tmp_path)])
    assert chief.returncode == 0, chief.stderr
    assert other.returncode == 0, other.stderr
    assert (chief.stdout, other.stdout) == ("chief\n", "")
    for worker in (chief, other):
        assert "[7.5, [3, 4]] True 5 " in worker.stderr
        assert "['ä', 'ää']" in worker.stderr
        devices = r"\['localhost:\d+ CPU:0', 'localhost:\d+ CPU:0'\]"
        assert re.search(devices, worker.stderr)
    assert os.listdir(tmp_path) == ["file-0"]
    folder = other.stderr.split()[-1]
    assert os.path.isabs(folder) and not os.path.exists(folder)


def test_a_lost_worker_is_named_and_ends_the_others(tmp_path):
    chief, lost = run_pair(["tests.training.pair", str(tmp_path), "1"])
    assert lost.returncode == 9
    assert chief.returncode == 2
    assert "error: Worker 1 (localhost:" in chief.stderr
    assert "Start the same command on all of them again" in chief.stderr


def test_without_others_nothing_changes(tmp_path):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with workers.together(strategy, str(tmp_path)) as folder:
        assert folder == str(tmp_path)
    variable = tf.Variable(2.0)
    workers.share(strategy, [variable])
    assert variable.numpy() == 2.0
    assert workers.any_of(strategy, True) and not workers.any_of(strategy, False)
    assert workers.mean_of(strategy, 7) == 7
    assert workers.gather(strategy, "text") == ["text"]


@pytest.mark.parametrize(
    "count, message, name",
    [
        (3, "Task /job:worker/replica:0/task:2 heartbeat timeout", "Worker 2 (c:3)"),
        (3, "Socket closed", "Another worker"),
        (2, "Socket closed", "Worker 1 (b:2)"),  # There is no other.
    ],
)
def test_the_name_of_a_lost_worker(count, message, name):
    cluster = tf.train.ClusterSpec({"worker": ["a:1", "b:2", "c:3"][:count]})
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        cluster, task_type="worker", task_id=0
    )
    strategy = types.SimpleNamespace(cluster_resolver=resolver)
    assert workers._name_lost(strategy, message) == name
