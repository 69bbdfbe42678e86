"""Pictures of panels against colours by hand."""

import numpy as np
import pytest
import tensorflow as tf

from wss import panels
from wss.methods.base import ImageSummary

PALETTE = np.array([[0, 0, 0], [255, 0, 0]], np.uint8)


@pytest.mark.parametrize("run", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_render(run):
    @run
    def render():
        return panels.render(
            {
                "label": ImageSummary("label", tf.constant([[[0, 1, 255, 7]]])),
                "mask": ImageSummary("mask", tf.constant([[[0.0, 1.0]]])),
                "image": ImageSummary("rgb", tf.constant([[[[-3.0, 99.6, 300.0]]]])),
            },
            PALETTE,
        )

    images = render()
    light = list(panels.IGNORED_COLOUR)
    assert images["label"].numpy().tolist() == [
        [[[0, 0, 0], [255, 0, 0], light, light]]
    ]
    assert images["mask"].numpy().tolist() == [[[[0, 0, 0], [255, 255, 255]]]]
    assert images["image"].numpy().tolist() == [[[[0, 100, 255]]]]
    assert {image.dtype for image in images.values()} == {tf.uint8}


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="'sound'"):
        panels.render({"a": ImageSummary("sound", tf.zeros([1, 2, 2]))}, PALETTE)
