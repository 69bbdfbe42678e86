"""The choice of devices, two workers, the order of sums."""

import json
import os
import re

import pytest
import tensorflow as tf
from tensorflow.python.eager import context

from tests.training.pair import run_pair
from wss.errors import UserError
from wss.training import cluster, distribution


def test_one_device_unless_told():
    assert distribution.get_strategy().num_replicas_in_sync == 1


def test_two_replicas_on_the_cpu(two_cpus):
    assert two_cpus.num_replicas_in_sync == 2


def test_more_replicas_than_tensorflow_started_with_is_a_user_error():
    with pytest.raises(UserError, match="logical_cpus"):
        distribution.get_strategy(logical_cpus=64)


GOOD = {
    "cluster": {"worker": ["localhost:1", "localhost:2"]},
    "task": {"type": "worker", "index": 0},
}


@pytest.mark.parametrize(
    "wrong, sentence",
    [
        ("{", "is not JSON"),
        ("[" * 100000, "is not JSON"),
        ("[]", "is not a JSON object"),
        ("3", "is not a JSON object"),
        ({"cluster": ["a:1"]}, '"cluster" is not a JSON object'),
        ({"cluster": {"worker": "a:1"}}, '"worker" is not a list of addresses'),
        ({"cluster": {"worker": []}}, '"worker" is not a list of addresses'),
        ({"cluster": {"worker": ["a:1", 2]}}, "2 is not an address such as"),
        ({"cluster": {"worker": ["a:1", "b"]}}, "'b' is not an address such as"),
        ({"cluster": {"worker": ["a:1", "b:"]}}, "'b:' is not an address such as"),
        ({"cluster": {"worker": ["a:1", ":2"]}}, "':2' is not an address such as"),
        ({"cluster": {"worker": ["a:1", "b:70000"]}}, "'b:70000' is not an address"),
        ({"cluster": {"worker": ["a:1", "a:1"]}}, "it has the address a:1 twice"),
        ({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}, "has the job 'ps'"),
        ({"cluster": {"chief": ["a:1", "b:1"]}}, "has several chiefs"),
        ({"task": None}, '"task" must have "type" and "index"'),
        ({"task": {"type": "worker"}}, '"task" must have "type" and "index"'),
        ({"task": {"type": "worker", "index": 2}}, "this process is worker 2, but its"),
        ({"task": {"type": "worker", "index": -1}}, "this process is worker -1, but"),
        ({"task": {"type": "worker", "index": 0.5}}, "this process is worker 0.5, but"),
        ({"task": {"type": "chief", "index": 0}}, "has worker 0, worker 1. Number the"),
        ({"task": {"type": ["worker"], "index": 0}}, "this process is ['worker'] 0"),
    ],
)
def test_what_tf_config_can_have_wrong(wrong, sentence, monkeypatch):
    text = wrong if isinstance(wrong, str) else json.dumps({**GOOD, **wrong})
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UserError) as error:
        distribution.get_strategy()
    message = str(error.value).split("\n  In call to")[0]  # gin's.
    assert message.startswith("TF_CONFIG ") and sentence in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        '{"cluster": {}}',
        '{"cluster": {"chief": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
    ],
)
def test_one_process_alone_waits_for_nobody(text, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    assert distribution.get_strategy().num_replicas_in_sync == 1


def test_the_chief_comes_first(monkeypatch):
    config = {
        "cluster": {"worker": ["[::1]:1", "b:2"], "chief": ["c:3"]},
        "task": {"type": "worker", "index": "1"},
    }
    monkeypatch.setenv("TF_CONFIG", json.dumps(config))
    workers = cluster.read()
    assert workers.hosts == ["c:3", "[::1]:1", "b:2"]
    assert workers.names == ["chief 0", "worker 0", "worker 1"]
    assert workers.describe(workers.own_index) == "worker 1 (b:2)"


def test_a_missing_tpu_is_a_user_error():
    with pytest.raises(UserError, match="TPU 'nowhere'"):
        distribution.get_strategy(tpu="nowhere")


def test_the_chief_writes_and_all_start_from_its_state(tmp_path):
    chief, other = run_pair(["tests.training.pair", str(tmp_path)])
    assert chief.returncode == 0, chief.stderr
    assert other.returncode == 0, other.stderr
    assert (chief.stdout, other.stdout) == ("chief\n", "")
    for worker in (chief, other):
        assert "[7.5, [3, 4]] True " in worker.stderr
        assert "['ä', 'ää']" in worker.stderr
        devices = r"\['localhost:\d+ CPU:0', 'localhost:\d+ CPU:0'\]"
        assert re.search(devices, worker.stderr)
    assert os.listdir(tmp_path) == ["file-0"]
    # gRPC may log something after it.
    folder = re.search(r"^\[7\.5.* True (.*)$", other.stderr, re.M)[1]
    assert os.path.isabs(folder) and not os.path.exists(folder)


def test_a_lost_worker_ends_the_others(tmp_path):
    chief, lost = run_pair(["tests.training.pair", str(tmp_path), "1"])
    assert lost.returncode == 9
    assert chief.returncode == 2
    assert "error: Another worker is gone or cannot be reached (" in chief.stderr
    assert "Start the same command on all of them again" in chief.stderr


def test_without_others_nothing_changes(tmp_path):
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with distribution.together(strategy, str(tmp_path)) as folder:
        assert folder == str(tmp_path)
    variable = tf.Variable(2.0)
    distribution.share(strategy, [variable])
    assert variable.numpy() == 2.0
    assert distribution.any_of(strategy, True) and not distribution.any_of(
        strategy, False
    )
    assert distribution.gather(strategy, "text") == ["text"]


@pytest.fixture
def chosen(monkeypatch):
    """Records calls that choose deterministic kernels, which would affect all tests."""
    calls = []
    monkeypatch.setattr(
        tf.config.experimental, "enable_op_determinism", lambda: calls.append(True)
    )
    return calls


def test_functions_are_called_without_the_passes_that_change_the_order(chosen):
    distribution.configure_determinism()
    options = tf.compat.v1.ConfigProto.FromString(
        context.context().function_call_options.config_proto_serialized
    )
    rewriting = options.graph_options.rewrite_options
    assert rewriting.memory_optimization == rewriting.NO_MEM_OPT
    assert rewriting.dependency_optimization == rewriting.OFF
    assert not chosen
    assert tf.function(lambda x: x + 1.0)(tf.constant(1.0)).numpy() == 2.0


def test_deterministic_kernels_on_demand(chosen):
    distribution.configure_determinism(deterministic=True)
    assert chosen == [True]


def test_what_is_read_before_it_is_written_is_the_old_value():
    distribution.configure_determinism()
    weights = [tf.Variable(0.0), tf.Variable(0.0)]
    matrix = tf.ones([500, 500])

    @tf.function
    def step():
        # As late as in a network's last layer.
        with tf.control_dependencies([tf.linalg.matmul(matrix, matrix)]):
            last = weights[1].read_value()
        changes = tf.identity_n([2.0 * last, tf.reduce_mean(matrix)])
        for weight, change in zip(weights, changes):
            weight.assign_sub(change)
        return last

    # With the default optimizer passes, one of two or three calls gives -1.
    for _ in range(20):
        weights[1].assign(0.0)
        assert float(step()) == 0.0
