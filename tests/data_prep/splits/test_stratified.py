"""Held-out images: each class keeps its share."""

import numpy as np
import pytest

from data_prep.splits import stratified


@pytest.mark.parametrize("seed", range(3))
def test_each_class_keeps_its_share(seed):
    rng = np.random.default_rng(seed)
    shown = rng.random((200, 6)) < [1, 0.7, 0.5, 0.2, 0.1, 0.05]
    drawn = stratified.hold_out(shown, 40, seed)
    assert len(set(drawn)) == 40 and drawn == sorted(drawn)
    found, ideal = shown[drawn].sum(axis=0), shown.sum(axis=0) / 5
    np.testing.assert_allclose(found, ideal, atol=1)


def test_rare_classes_are_on_both_sides():
    shown = np.zeros((100, 4), bool)
    shown[:, 0] = True
    shown[[3, 50], 1] = shown[[7, 8, 9], 2] = True
    shown[42, 3] = True
    for seed in range(20):
        drawn = stratified.hold_out(shown, 20, seed)
        assert shown[drawn].sum(axis=0).tolist() == [20, 1, 1, 0]


def test_two_images_are_one_of_each():
    assert len(stratified.hold_out(np.ones((2, 1), bool), 1)) == 1


def test_images_without_a_class():
    shown = np.zeros((10, 2), bool)
    shown[:4, 0] = True
    drawn = stratified.hold_out(shown, 5)
    assert len(drawn) == 5
    assert shown[drawn, 0].sum() == 2


def test_the_seed_determines_the_draw():
    shown = np.ones((50, 1), bool)
    draws = [tuple(stratified.hold_out(shown, 10, seed)) for seed in (0, 0, 1)]
    assert draws[0] == draws[1] != draws[2]


def test_more_rare_classes_than_images_to_draw():
    shown = np.eye(20, dtype=bool).repeat(2, axis=0)
    drawn = stratified.hold_out(shown, 8)
    assert len(drawn) == 8
    assert shown[drawn].sum(axis=0).max() == 1
