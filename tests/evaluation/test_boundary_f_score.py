"""The F-score of boundaries against every pair of pixels."""

import numpy as np
import pytest

from wss.evaluation.boundary_f_score import BoundaryScore, boundary, near

IGNORED, CLASSES = 255, 4


def blobs(random, height, width):
    """Regions of some pixels, of the classes 0 to 2."""
    coarse = random.randint(0, 3, [height // 6 + 1, width // 6 + 1])
    return np.kron(coarse, np.ones([6, 6], int))[:height, :width]


def reference_boundary(mask):
    """[pixels, 2]"""
    height, width = mask.shape
    found = []
    for y, x in np.argwhere(mask):
        around = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
        if any(
            0 <= i < height and 0 <= j < width and not mask[i, j] for i, j in around
        ):
            found.append((y, x))
    return np.array(found, float).reshape(-1, 2)


def reference_score(label, prediction, number):
    """F-score of one class in one image; None without boundaries."""
    truth = reference_boundary(label == number)
    predicted = reference_boundary(prediction == number)
    distances = np.linalg.norm(truth[:, np.newaxis] - predicted, axis=-1)
    matches = distances <= 0.0075 * np.hypot(*label.shape)
    right, recalled = matches.any(0), matches.any(1)
    rows, columns = predicted.astype(int).T
    counted = right | (label[rows, columns] != IGNORED)
    if not len(truth) and not counted.any():
        return None
    if not right.any():
        return 0.0
    precision, recall = right.sum() / counted.sum(), recalled.mean()
    return 2 * precision * recall / (precision + recall)


# The tolerance is below one pixel in the first, 1.1 and 2.3 in the others.
@pytest.mark.parametrize("size", [(31, 45), (85, 121), (7, 301)])
def test_scores_of_random_images(size):
    random = np.random.RandomState(0)
    score = BoundaryScore(CLASSES, IGNORED)
    expected = {number: [] for number in range(CLASSES)}
    for _ in range(3):
        label, prediction = blobs(random, *size), blobs(random, *size)
        prediction[:, ::3] = label[:, ::3]
        label[random.uniform(size=size) < 0.05] = IGNORED
        label[:3] = IGNORED
        score.update(label, prediction)
        for number in range(CLASSES):
            if (label == number).any():
                value = reference_score(label, prediction, number)
                expected[number] += [] if value is None else [value]
    result = score.result()
    for number in range(3):
        assert 0.1 < np.mean(expected[number]) < 1
        assert result[number] == pytest.approx(np.mean(expected[number]), abs=1e-9)
    assert np.isnan(result[3])  # The class never occurs.


def test_a_boundary_that_is_moved():
    def score(shift):
        label, prediction = np.zeros([300, 400], int), np.zeros([300, 400], int)
        label[:, 200:], prediction[:, 200 + shift :] = 1, 1  # Tolerance: 3.75 pixels.
        scores = BoundaryScore(2, IGNORED)
        scores.update(label, prediction)
        return scores.result()

    np.testing.assert_array_equal(score(0), [1, 1])
    np.testing.assert_array_equal(score(3), [1, 1])
    np.testing.assert_array_equal(score(4), [0, 0])


def test_an_image_of_one_class_has_no_boundary():
    scores = BoundaryScore(2, IGNORED)
    scores.update(np.zeros([9, 9], int), np.zeros([9, 9], int))
    assert np.isnan(scores.result()).all()
    other = np.zeros([9, 9], int)
    other[4:] = 1
    scores.update(np.zeros([9, 9], int), other)  # A boundary that should not exist.
    assert scores.result()[0] == 0 and np.isnan(scores.result()[1])


def test_distances_are_euclidean():
    targets, points = np.zeros([9, 9], bool), np.ones([9, 9], bool)
    targets[4, 4] = True
    rows, columns = np.indices([9, 9])
    for tolerance in (0.0, 1.0, 2.3, 4.2):
        expected = np.hypot(rows - 4, columns - 4) <= tolerance
        actual = near(targets, points, tolerance).reshape(9, 9)
        np.testing.assert_array_equal(actual, expected)
    assert not near(np.zeros([9, 9], bool), points, 3.0).any()


def test_the_border_of_the_image_is_no_boundary():
    assert not boundary(np.ones([5, 5], bool)).any()
