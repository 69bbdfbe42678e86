"""The synthetic pictures: classes, occlusion, repeatability, splits."""

import collections

import numpy as np

from data_prep import shapes
from data_prep.writer import Writer
from tests.data_prep import trees
from wss.data import datasets

SMALL = shapes.Difficulty(size=32)


def test_a_picture_is_a_function_of_seed_and_index():
    image, mask = shapes.draw(3, 7, SMALL)
    again, mask_again = shapes.draw(3, 7, SMALL)
    np.testing.assert_array_equal(image, again)
    np.testing.assert_array_equal(mask, mask_again)
    assert (image.shape, image.dtype) == ((32, 32, 3), np.uint8)
    assert (mask.shape, mask.dtype) == ((32, 32), np.uint8)
    for other in (shapes.draw(3, 8, SMALL), shapes.draw(4, 7, SMALL)):
        assert (other[0] != image).mean() > 0.5


def test_classes_are_even():
    pictures = [shapes.draw(0, i, shapes.Difficulty(size=32)) for i in range(1200)]
    shown = collections.Counter(c for _, mask in pictures for c in np.unique(mask))
    background = shown.pop(0)
    assert background == 1200
    assert sorted(shown) == [1, 2, 3, 4]
    assert max(shown.values()) < 1.25 * min(shown.values())


def test_every_picture_has_a_light_of_its_own():
    def red_over_blue(light):
        difficulty = shapes.Difficulty(size=32, light=light, noise=0.0)
        pictures = [shapes.draw(0, i, difficulty)[0] for i in range(100)]
        means = np.mean(pictures, axis=(1, 2))
        return np.std(np.log(means[:, 0] / means[:, 2]))

    # Two channels, each with a standard deviation of 0.4 in the logarithm; white cuts.
    assert red_over_blue(0.4) > red_over_blue(0.0) + 0.1


def test_every_shape_fits_its_frame():
    y, x = np.mgrid[-2:2:200j, -2:2:200j]
    for shape in shapes._SHAPES:
        inside = shape(x, y)
        assert 0.05 < inside.mean() < 0.25
        assert not inside[np.hypot(x, y) > 1.3].any()


def test_splits_are_nested_and_repeat(tmp_path):
    for folder in ("one", "two"):
        shapes.write(Writer(str(tmp_path / folder)), 64, 5, seed=1, difficulty=SMALL)
    assert trees.contents(tmp_path / "one") == trees.contents(tmp_path / "two")
    out = tmp_path / "one"
    names = {s: trees.names(out, s) for s in ("train", "1-4", "1-8", "1-16", "1-32")}
    assert [len(ids) for ids in names.values()] == [64, 16, 8, 4, 2]
    sets = [set(ids) for ids in names.values()]
    assert all(small < large for large, small in zip(sets, sets[1:]))
    val = trees.decode(out, "val")
    assert len(val) == 5
    assert not {example["name"].decode() for example in val} & sets[0]
    assert val[0]["image"].shape == (32, 32, 3)
    np.testing.assert_array_equal(
        val[2]["label"], shapes.draw(1, shapes._FIRST_VAL + 2, SMALL)[1]
    )
    assert datasets.get("shapes", str(out)).num_classes == 5
