"""Images predicted by parts, against the prediction of the whole."""

import numpy as np
import pytest

from tests.evaluation.test_predictor import CLASSES, CROP, GRAY, Toy, make_image
from wss.evaluation import large_images, tiling
from wss.evaluation.predictor import Predictor


class Sliced:
    """An image that is read by parts."""

    def __init__(self, pixels):
        self._pixels = pixels
        self.shape = pixels.shape
        self.largest = 0

    def __getitem__(self, window):
        part = self._pixels[window]
        self.largest = max(self.largest, part.size)
        return part


@pytest.mark.parametrize("size", [(20, 30), (100, 150), (33, 400), (90, 41)])
@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_parts_have_the_numbers_of_the_whole(size, average, monkeypatch):
    options = {"window": "sliding", "average": average, "flip": True}
    predictor = Predictor(Toy(), CROP, GRAY, **options)
    image = make_image(*size)
    expected = predictor.labels(image), predictor.probabilities(image)
    monkeypatch.setattr(tiling, "_SUMS_NUMBERS", CROP[0] * 70 * CLASSES)
    monkeypatch.setattr(tiling, "_STRIPE_NUMBERS", 2000)
    labels = np.full(size, 255)
    probabilities = np.zeros([*size, CLASSES], np.float32)
    source = Sliced(image)
    for block in large_images.predict_blocks(predictor, source, CLASSES):
        assert (labels[block.rows, block.columns] == 255).all()  # Only once.
        labels[block.rows, block.columns] = block.labels
        probabilities[block.rows, block.columns] = block.probabilities
    np.testing.assert_array_equal(labels, expected[0])
    np.testing.assert_array_equal(probabilities, expected[1])
    assert source.largest < max(image.size, CROP[0] * (CROP[1] + 1) * 3)
