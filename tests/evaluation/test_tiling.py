"""Windows over large images, as published."""

import pytest

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
