"""Balanced draws: every class, nested, repeatable, or a reason why not."""

import numpy as np
import pytest

from data_prep.splits import balanced
from wss.errors import UserError

NAMES = ("sky", "road", "car")


def test_order_is_balanced_from_the_start():
    classes = np.random.default_rng(0).choice([0] * 20 + [1, 2, 3], 200)
    shown = classes[:, np.newaxis] == range(4)
    order = balanced.balanced_order(shown)
    assert sorted(order) == list(range(200))
    assert sorted(classes[order[:4]]) == [0, 1, 2, 3]
    # When the rare classes are used up, the images keep their order.
    rest = [i for i in order if classes[i] == 0]
    assert rest == sorted(rest)


def test_a_class_that_nothing_shows_does_not_spoil_the_balance():
    classes = np.array([0] * 10 + [1] * 10)
    order = balanced.balanced_order(classes[:, np.newaxis] == range(3), count=8)
    assert np.bincount(classes[order]).tolist() == [4, 4]


def test_from_some_number_on_the_order_is_the_given_one():
    classes = np.array([0] * 10 + [1] * 10)
    shown = classes[:, np.newaxis] == range(2)
    order = balanced.balanced_order(shown, count=6, at_least=2)
    assert order == [0, 10, 1, 11, 2, 3]


def test_draws_are_nested_and_hold_each_class():
    rng = np.random.default_rng(1)
    shown = rng.random((400, 3)) < (0.9, 0.3, 0.05)
    for seed in range(10):
        drawn = balanced.draw(shown, [200, 25, 50], NAMES, seed=seed)
        assert {count: len(set(ids)) for count, ids in drawn.items()} == {
            25: 25,
            50: 50,
            200: 200,
        }
        assert set(drawn[25]) < set(drawn[50]) < set(drawn[200])
        assert drawn[25] == sorted(drawn[25])
        assert shown[drawn[25]].any(axis=0).all()
    assert balanced.draw(shown, [25], NAMES, seed=9)[25] == drawn[25]
    assert balanced.draw(shown, [25], NAMES, seed=8)[25] != drawn[25]


def test_a_draw_is_as_random_as_it_can_be():
    """Classes keep their shares; only the missing ones are added."""
    shown = np.random.default_rng(1).random((1000, 2)) < (0.8, 0.1)
    means = np.mean(
        [
            shown[balanced.draw(shown, [100], NAMES, seed=seed)[100]].mean(axis=0)
            for seed in range(30)
        ],
        axis=0,
    )
    np.testing.assert_allclose(means, shown.mean(axis=0), atol=0.02)


def test_a_class_in_one_image_of_many_is_found():
    shown = np.zeros((5000, 3), bool)
    shown[:, 0] = True
    shown[17, 1] = shown[4321, 2] = True
    for seed in (0, 1):
        drawn = balanced.draw(shown, [5, 10], NAMES, seed=seed)
        assert {17, 4321} <= set(drawn[5]) <= set(drawn[10])


def test_more_images_of_each_class_or_all_there_are():
    shown = np.random.default_rng(0).random((300, 3)) < (0.5, 0.1, 0)
    shown[:2, 2] = True
    counts = shown[balanced.draw(shown, [30], NAMES, at_least=5)[30]].sum(axis=0)
    assert counts[0] >= 5 and counts[1] >= 5 and counts[2] == 2


def test_classes_that_no_image_shows_are_left_aside():
    shown = np.array([[True, False, False]] * 4)
    assert len(balanced.draw(shown, [2], NAMES)[2]) == 2


@pytest.mark.parametrize(
    "counts, message",
    [
        ([2, 6], "2 images are too few to show each class 1 times: missing car. Draw"),
        ([0, 3], "0 images cannot be drawn from 6"),
        ([3, 7], "7 images cannot be drawn from 6"),
    ],
)
def test_impossible_draws(counts, message):
    shown = np.repeat(np.eye(3, dtype=bool), 2, axis=0)
    with pytest.raises(UserError, match=message):
        balanced.draw(shown, counts, NAMES)
