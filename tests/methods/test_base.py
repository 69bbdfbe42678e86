"""Image summaries of a step, as TensorBoard shows them."""

import numpy as np
import pytest
import tensorflow as tf

from wss.methods.base import ImageSummary
from wss.visualization.label_colors import IGNORED_COLOR

PALETTE = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)
LIGHT = list(IGNORED_COLOR)


@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "graph"])
@pytest.mark.parametrize(
    "kind, values, expected",
    [
        ("label", [[[0, 1, 255, 7]]], [[[[0, 0, 0], [255, 0, 0], LIGHT, LIGHT]]]),
        ("mask", [[[0.0, 1.0]]], [[[[0, 0, 0], [255, 255, 255]]]]),
        ("rgb", [[[[-3.0, 99.6, 300.0]]]], [[[[0, 100, 255]]]]),
    ],
)
def test_image_summaries_in_colors(run, kind, values, expected):
    image = run(lambda x: ImageSummary(kind, x).to_rgb(PALETTE))(tf.constant(values))
    assert image.numpy().tolist() == expected and image.dtype == tf.uint8


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="'sound'"):
        ImageSummary("sound", tf.zeros([1, 2, 2])).to_rgb(PALETTE)
