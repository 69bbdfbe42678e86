"""A device that is out of memory."""

import pytest
import tensorflow as tf

from wss.errors import UserError
from wss.ops.memory import explained_memory


def test_out_of_memory_gives_advice():
    with pytest.raises(UserError) as error, explained_memory(lambda: "Buy more."):
        tf.zeros([1 << 46])  # 256 TiB.
    assert str(error.value) == "The device is out of memory. Buy more."


def test_a_full_disk_is_not_out_of_memory():
    full = tf.errors.ResourceExhaustedError(None, None, "No space left on device")
    with pytest.raises(tf.errors.ResourceExhaustedError), explained_memory(str):
        raise full
