"""Crops that fit the photos of a data set."""

import pytest

from wss.data import crops


@pytest.mark.parametrize(
    "sizes, crop, evaluated",
    [
        ([(480, 640)] * 5 + [(640, 640)], 321, 641),
        ([(375, 500)] * 5 + [(500, 480)], 321, 513),
        ([(96, 96)], 97, 97),
        ([(256, 256)], 257, 257),
        ([(1024, 2048)], 513, 2049),
        ([(3000, 4000)], 513, 2049),
        ([(700, 1000)], 513, 1009),
    ],
)
def test_sizes_of_crops(sizes, crop, evaluated):
    counts = {size: sizes.count(size) for size in sizes}
    assert crops.training_crop(counts) == crop
    assert crops.evaluation_crop(counts) == evaluated
