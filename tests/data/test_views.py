import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from tests.data import records
from wss.data import augmentations, geometry, parsing, views
from wss.data.augmentations import (
    blend_jitter,
    color_jitter,
    cutout,
    gaussian_blur,
    rand_augment,
)
from wss.errors import UserError

BOTH_MODES = pytest.mark.parametrize(
    "wrap", [lambda f: f, lambda f: tf.function(f, autograph=False)], ids="eg"
)
CANVAS = views.Canvas((33, 33), (10.0, 20.0, 30.0), 255)
VIEW = geometry.View(
    scale=tf.constant(1.25), offset=tf.constant([0, 2]), flipped=tf.constant(True)
)
needs_addons = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_addons") is None,
    reason="tensorflow_addons is not installed",
)


@BOTH_MODES
def test_views_are_aligned(wrap):
    """Where nothing is hidden, a strong view without distortion is the weak one."""
    image = tf.constant(records.image(0))
    label = tf.cast(records.label(0), tf.int32)
    hidden = cutout.hole((33, 33), tf.constant([4, 30]), 5)

    def pair():
        return views.weak_and_strong_views(
            image, label, VIEW, CANVAS, lambda pixels: pixels, hidden
        )

    actual = {name: part.numpy() for name, part in wrap(pair)().items()}
    labeled = views.labeled_view(image, label, VIEW, CANVAS)
    np.testing.assert_array_equal(actual["weak"], labeled["image"])
    hole = np.asarray(hidden)[:, ::-1]
    np.testing.assert_array_equal(actual["strong"][~hole], actual["weak"][~hole])
    np.testing.assert_array_equal(
        actual["strong"][hole], np.tile(CANVAS.padding_value, (hole.sum(), 1))
    )
    np.testing.assert_array_equal(
        actual["label"], np.where(hole, 255, labeled["label"])
    )
    np.testing.assert_array_equal(actual["valid"], np.where(hole, 0, labeled["valid"]))
    # 24 rows become 30; the three below them are padding.
    assert labeled["valid"].numpy().sum() == 30 * 33
    assert (labeled["label"].numpy()[30:] == 255).all()


def test_hole_is_cut_off_at_the_border():
    hidden = cutout.hole((20, 30), tf.constant([2, 29]), 5).numpy()
    rows, columns = np.nonzero(hidden)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (0, 6, 24, 29)
    assert hidden.sum() == 7 * 6


def test_cutout_centers_cover_the_crop():
    holes = [
        cutout.cutout((4, 5), tf.constant([0, seed]), half_size=1).numpy()
        for seed in range(200)
    ]
    assert np.any(holes, axis=0).all()
    assert {hole.sum() for hole in holes} == {1, 2, 4}


@BOTH_MODES
def test_color_jitter(wrap):
    image = tf.cast(records.image(3), tf.float32)
    jitter = wrap(lambda seed: color_jitter.color_jitter(image, seed))
    first, second = jitter(tf.constant([1, 2])), jitter(tf.constant([1, 3]))
    np.testing.assert_array_equal(first, jitter(tf.constant([1, 2])))
    assert np.abs(first - second).mean() > 1.0
    assert np.min(first) >= 0.0 and np.max(first) <= 255.0


def test_color_jitter_of_strength_zero_changes_nothing():
    image = tf.cast(records.image(3), tf.float32)
    same = color_jitter.color_jitter(
        image,
        tf.constant([1, 2]),
        brightness=0.0,
        contrast=0.0,
        saturation=0.0,
        hue=0.0,
    )
    np.testing.assert_allclose(same, image, atol=1e-3)


def test_policies_are_found_by_name():
    assert augmentations.get("color_jitter").kind == "photometric"
    assert augmentations.get("cutout").kind == "occlusion"
    with pytest.raises(UserError, match="'blur'. STRONG_AUGMENTATION takes blend_j"):
        augmentations.get("blur")


def test_missing_package_is_named():
    augmentations.photometric(requires="no_such_package")(_made_up_policy)
    with pytest.raises(UserError, match="needs the package no_such_package"):
        augmentations.get("_made_up_policy")


def _made_up_policy(image, seed):
    return image


def policy_made_of(function):
    """A photometric policy that wraps a function of another package."""

    def apply(image, seed):
        return tf.numpy_function(function, [image], tf.float32)

    return augmentations.Policy("foreign", "photometric", apply, None)


@BOTH_MODES
def test_a_policy_of_another_package_needs_no_shape(wrap):
    image = tf.cast(records.image(3), tf.float32)
    chosen = [policy_made_of(lambda pixels: 255.0 - pixels)]
    distort = wrap(
        lambda image: views.distort_colors(image, chosen, tf.constant([0, 1]))
    )
    distorted = distort(image)
    assert distorted.shape == image.shape
    np.testing.assert_array_equal(distorted, 255.0 - image)


@BOTH_MODES
def test_a_policy_that_changes_the_size_is_named(wrap):
    image = tf.cast(records.image(3), tf.float32)
    chosen = [policy_made_of(lambda pixels: pixels[1:])]
    distort = wrap(
        lambda image: views.distort_colors(image, chosen, tf.constant([0, 1]))
    )
    with pytest.raises(UserError, match="augmentation foreign changes the size of"):
        with parsing.user_errors():
            distort(image)


@needs_addons
def test_rand_augment_keeps_pixels_in_place():
    """An image of one color except for one pixel changes only at that pixel."""
    pixels = np.full((9, 9, 3), (90.0, 120.0, 150.0), np.float32)
    pixels[3, 5] = (200.0, 10.0, 30.0)
    # Sharpening reads the neighbors and leaves the border unchanged.
    background = np.ones((9, 9), bool)
    background[2:5, 4:7] = False
    for index in range(len(rand_augment.OPERATIONS)):
        changed = rand_augment.apply_operation(
            tf.constant(pixels), tf.constant(index), tf.constant(0.8), tf.constant(1.0)
        ).numpy()
        assert changed.shape == (9, 9, 3)
        assert len(np.unique(changed[background], axis=0)) == 1, index
        assert (changed[3, 5] != changed[0, 0]).any()


@needs_addons
@BOTH_MODES
def test_rand_augment(wrap):
    image = tf.cast(records.image(3), tf.float32)
    augmented = wrap(lambda seed: rand_augment.rand_augment(image, seed))
    results = [augmented(tf.constant([0, seed])).numpy() for seed in range(12)]
    np.testing.assert_array_equal(results[5], augmented(tf.constant([0, 5])))
    assert len({result.tobytes() for result in results}) > 6
    assert all(0 <= result.min() and result.max() <= 255 for result in results)


def test_image_labels():
    label = tf.constant([[0, 2, 255], [2, 0, 7]])
    np.testing.assert_array_equal(views.image_labels(label, 4, 255), [0, 1, 0])
    np.testing.assert_array_equal(views.image_labels(label, 4, 2), [0, 0, 0])
    none = tf.zeros([0], tf.int32)
    np.testing.assert_array_equal(views.image_labels(none, 3, 255), [0, 0])


def policy_of(name):
    """The share of changed images among 150, the changed images, and the image."""
    image = tf.cast(records.image(0), tf.float32)
    policy = augmentations.get(name)
    apply = tf.function(lambda seed: policy.function(image, seed), autograph=False)
    results = [apply(tf.constant([7, seed])).numpy() for seed in range(150)]
    changed = [result for result in results if np.abs(result - image).max() > 1e-3]
    return len(changed) / 150, changed, image.numpy()


def test_grayscale():
    share, changed, image = policy_of("grayscale")
    assert 0.1 < share < 0.3
    grey = image @ np.array([0.2989, 0.587, 0.114], np.float32)
    for result in changed:
        np.testing.assert_allclose(result, np.stack([grey] * 3, -1), atol=0.1)


def test_gaussian_blur_keeps_the_mean_and_removes_detail(monkeypatch):
    monkeypatch.setattr(gaussian_blur, "MIN_SIGMA", 1.0)
    share, changed, image = policy_of("gaussian_blur")
    assert 0.35 < share < 0.65
    for result in changed:
        assert result.shape == image.shape
        assert np.diff(result, axis=0).std() < 0.7 * np.diff(image, axis=0).std()
        assert abs(result.mean() - image.mean()) < 5
    impulse = np.zeros([21, 21, 3], np.float32)
    impulse[10, 10] = 1.0
    blurred = gaussian_blur.blur(tf.constant(impulse), tf.constant(1.5), 6).numpy()
    rows, columns = np.mgrid[-10:11, -10:11]
    bell = np.exp(-(rows**2 + columns**2) / (2 * 1.5**2))
    np.testing.assert_allclose(blurred[..., 1], bell / bell.sum(), atol=1e-4)


def test_blend_jitter(monkeypatch):
    share, changed, image = policy_of("blend_jitter")
    assert 0.65 < share < 0.95
    assert all(0 <= result.min() and result.max() <= 255.001 for result in changed)
    monkeypatch.setattr(blend_jitter, "PROBABILITY", 1.0)
    for name in ("BRIGHTNESS", "CONTRAST", "SATURATION", "HUE"):
        monkeypatch.setattr(blend_jitter, name, 0.0)
    assert policy_of("blend_jitter")[0] == 0
    # Brightness multiplies: black stays black.
    monkeypatch.setattr(blend_jitter, "BRIGHTNESS", 0.5)
    _, changed, image = policy_of("blend_jitter")
    factors = [np.median(result[image > 20] / image[image > 20]) for result in changed]
    assert min(factors) < 0.7 and max(factors) > 1.1
    middle = (image > 20) & (image < 120)
    for result, factor in zip(changed, factors):
        if factor < 1:
            np.testing.assert_allclose(
                result[middle], factor * image[middle], rtol=1e-3
            )


def test_further_strong_views_have_colours_of_their_own():
    image, label = tf.constant(records.image(0)), tf.cast(records.label(0), tf.int32)
    hidden = cutout.hole((33, 33), tf.constant([4, 30]), 5)
    pair = views.weak_and_strong_views(
        image, label, VIEW, CANVAS, lambda x: x, hidden, [lambda x: 0.5 * x]
    )
    shown = pair["valid"].numpy() > 0
    np.testing.assert_allclose(
        pair["strong_2"].numpy()[shown],
        0.5 * pair["strong"].numpy()[shown],
        rtol=1e-6,
    )
    hole = np.asarray(hidden)[:, ::-1]
    np.testing.assert_array_equal(
        pair["strong_2"].numpy()[hole], pair["strong"].numpy()[hole]
    )
