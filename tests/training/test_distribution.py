"""The choice of devices."""

import pytest

from wss.errors import UserError
from wss.training import distribution


def test_one_device_unless_told():
    assert distribution.get_strategy().num_replicas_in_sync == 1


def test_two_replicas_on_the_cpu(two_cpus):
    assert two_cpus.num_replicas_in_sync == 2


def test_more_replicas_than_tensorflow_started_with_is_a_user_error():
    with pytest.raises(UserError, match="logical_cpus"):
        distribution.get_strategy(logical_cpus=64)


def test_a_missing_tpu_is_a_user_error():
    with pytest.raises(UserError, match="TPU 'nowhere'"):
        distribution.get_strategy(tpu="nowhere")
