"""The choice of devices."""

import json

import pytest

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
        ("{", "is no JSON"),
        ("[" * 100000, "is no JSON"),
        ("[]", "no JSON object"),
        ("3", "no JSON object"),
        ({"cluster": ["a:1"]}, '"cluster" is no JSON object'),
        ({"cluster": {"worker": "a:1"}}, '"worker" is no list of addresses'),
        ({"cluster": {"worker": []}}, '"worker" is no list of addresses'),
        ({"cluster": {"worker": ["a:1", 2]}}, "2 is no address such as"),
        ({"cluster": {"worker": ["a:1", "b"]}}, "'b' is no address such as"),
        ({"cluster": {"worker": ["a:1", "b:"]}}, "'b:' is no address such as"),
        ({"cluster": {"worker": ["a:1", ":2"]}}, "':2' is no address such as"),
        ({"cluster": {"worker": ["a:1", "b:70000"]}}, "'b:70000' is no address"),
        ({"cluster": {"worker": ["a:1", "a:1"]}}, "the address a:1 is there twice"),
        ({"cluster": {"worker": ["a:1"], "ps": ["b:1"]}}, "has the job 'ps'"),
        ({"cluster": {"chief": ["a:1", "b:1"]}}, "has several chiefs"),
        ({"task": None}, '"task" has to give "type" and "index"'),
        ({"task": {"type": "worker"}}, '"task" has to give "type" and "index"'),
        ({"task": {"type": "worker", "index": 2}}, "this process is worker 2, but its"),
        ({"task": {"type": "worker", "index": -1}}, "this process is worker -1, but"),
        ({"task": {"type": "worker", "index": 0.5}}, "this process is worker 0.5, but"),
        ({"task": {"type": "chief", "index": 0}}, "has worker 0, worker 1. Give each"),
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
    assert workers.describe(workers.place) == "worker 1 (b:2)"


def test_a_missing_tpu_is_a_user_error():
    with pytest.raises(UserError, match="TPU 'nowhere'"):
        distribution.get_strategy(tpu="nowhere")
