"""Uncertainty against values computed by hand."""

import numpy as np
import pytest
import tensorflow as tf

from wss.evaluation import uncertainty
from wss.evaluation.predictor import Predictor
from wss.evaluation.uncertainty import Uncertainty

IMAGE = np.zeros([2, 4, 3], np.uint8)


class Constant(tf.Module):
    """A network with the same logits for every image: [2, 4, classes]."""

    def __init__(self, probabilities):
        super().__init__()
        self.logits = tf.math.log(tf.constant(probabilities, tf.float32))[tf.newaxis]

    def __call__(self, images, training):
        assert training is False
        return self.logits


def predictor(*shares, **options):
    """Predicts the first class of two for these shares of one row; sure of the rest."""
    row = [[share, 1.0 - share] for share in shares]
    return Predictor(Constant([row, row]), (2, 4), (0.0, 0.0, 0.0), **options)


def test_entropy_is_a_share_of_the_largest():
    of_quarter = -(0.25 * np.log2(0.25) + 0.75 * np.log2(0.75))
    model = predictor(0.5, 0.75, 1.0, 0.0)
    labels, entropy = model.labels_and_entropy(IMAGE)
    expected = [[1.0, of_quarter, 0.0, 0.0]] * 2
    np.testing.assert_allclose(entropy, expected, atol=1e-6)
    np.testing.assert_array_equal(labels, model.labels(IMAGE))
    found = uncertainty.measure(IMAGE, model)[1]
    assert found.entropy == pytest.approx((1.0 + of_quarter) / 4)
    assert found.disagreement is None and found.value == found.entropy


def test_views_and_shrunk_images_are_measured_as_they_are_predicted():
    model = predictor(0.5, 0.75, 1.0, 0.0, flip=True)
    labels, found = uncertainty.measure(np.zeros([5, 9, 3], np.uint8), model)
    assert labels.shape == (5, 9) and labels.dtype == np.uint8
    mirrored = predictor(0.25, 0.875, 0.875, 0.25)  # Means of both directions.
    sure = uncertainty.measure(IMAGE, mirrored)[1].entropy
    assert uncertainty.measure(IMAGE, model)[1].entropy == pytest.approx(sure)
    assert 0 < found.entropy < 1


def test_student_and_teacher_disagree_about_a_share_of_the_pixels():
    teacher, student = predictor(1, 1, 1, 0), predictor(1, 0, 1, 1)
    labels, found = uncertainty.measure(IMAGE, teacher, student)
    np.testing.assert_array_equal(labels, [[0, 0, 0, 1]] * 2)
    assert (found.entropy, found.disagreement, found.value) == (0.0, 0.5, 0.25)


def test_the_most_uncertain_photo_is_first():
    found = {
        "b.jpg": Uncertainty(0.25, 0.25),
        'a, "c".jpg': Uncertainty(0.5, 0.25),
        "a.jpg": Uncertainty(0.5, 0.0),
    }
    ranking = uncertainty.ranked(found)
    assert [name for name, _ in ranking] == ['a, "c".jpg', "a.jpg", "b.jpg"]
    assert uncertainty.to_csv(ranking).decode().splitlines() == [
        "rank,photo,uncertainty,entropy,disagreement",
        '1,"a, ""c"".jpg",0.375000,0.500000,0.250000',
        "2,a.jpg,0.250000,0.500000,0.000000",
        "3,b.jpg,0.250000,0.250000,0.250000",
    ]
    alone = uncertainty.to_csv([("ä.jpg", Uncertainty(0.5))]).decode()
    assert alone == "rank,photo,uncertainty,entropy\n1,ä.jpg,0.500000,0.500000\n"
