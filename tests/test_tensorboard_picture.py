"""The page of the documentation's picture of TensorBoard."""

import urllib.request

import pytest

from docs import make_tensorboard_picture


def test_tensorboard_is_shown_as_long_as_it_is_needed(tmp_path):
    with make_tensorboard_picture.tensorboard(str(tmp_path)) as address:
        with urllib.request.urlopen(address, timeout=30) as page:
            assert b"TensorBoard" in page.read()
    with pytest.raises(OSError):
        urllib.request.urlopen(address, timeout=5)
