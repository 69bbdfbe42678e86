"""Windows over large images, as published."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from wss.evaluation import tiling


@pytest.mark.parametrize(
    "length, window, starts",
    [
        # UniMatch: int(801 * 2 / 3) = 534 from one to the next.
        (1024, 801, [0, 223]),
        (2048, 801, [0, 534, 1068, 1247]),
        # U2PL: ceil(769 * 2 / 3) = 513.
        (1024, 769, [0, 255]),
        (2048, 769, [0, 513, 1026, 1279]),
    ],
)
def test_the_published_windows_of_cityscapes(length, window, starts):
    assert tiling.window_starts(length, window, 2 / 3) == starts


def test_blocks_of_columns_have_the_numbers_of_the_whole(monkeypatch):
    image = np.random.RandomState(0).rand(40, 95, 3).astype(np.float32)
    kernel = np.random.RandomState(1).rand(3, 2).astype(np.float32)

    def score(window):
        # What a window scores depends on where it begins.
        return tf.constant((window - window[0, 0]) @ kernel)

    windows = functools.partial(tiling.averaged_windows, image, (17, 19), 0.6, score)
    whole = np.concatenate(list(windows()))
    assert whole.shape == (40, 95, 2)
    monkeypatch.setattr(tiling, "_SUMS_NUMBERS", 17 * 30 * 2)
    monkeypatch.setattr(tiling, "_STRIPE_NUMBERS", 300)
    blocks = tiling.column_blocks(95, (17, 19), classes=2)
    assert len(blocks) == 4 and blocks[0][0] == 0 and blocks[-1][1] == 95
    stripes = [list(windows(block)) for block in blocks]
    assert max(stripe.shape[0] for stripe in stripes[0]) < 17
    parts = [np.concatenate(one) for one in stripes]
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)
