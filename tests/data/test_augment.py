import importlib.util

import numpy as np
import pytest
import tensorflow as tf

from tests.data import records
from wss.data import augment, geometry, policies
from wss.data.policies import color_jitter, cutout, rand_augment
from wss.errors import UserError

BOTH_MODES = pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids="eg")
CANVAS = augment.Canvas((33, 33), (10.0, 20.0, 30.0), 255)
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

    def views():
        return augment.weak_and_strong_views(
            image, label, VIEW, CANVAS, lambda pixels: pixels, hidden
        )

    actual = {name: part.numpy() for name, part in wrap(views)().items()}
    labeled = augment.labeled_view(image, label, VIEW, CANVAS)
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
    assert policies.get("color_jitter").kind == "photometric"
    assert policies.get("cutout").kind == "occlusion"
    with pytest.raises(UserError, match="Unknown .* 'blur'. Known: color_jitter, cut"):
        policies.get("blur")


def test_missing_package_is_named():
    policies.photometric(requires="no_such_package")(_made_up_policy)
    with pytest.raises(UserError, match="needs the package no_such_package"):
        policies.get("_made_up_policy")


def _made_up_policy(image, seed):
    return image


@needs_addons
def test_rand_augment_keeps_pixels_in_place():
    """An image of one colour but for one pixel changes at that place only."""
    pixels = np.full((9, 9, 3), (90.0, 120.0, 150.0), np.float32)
    pixels[3, 5] = (200.0, 10.0, 30.0)
    # Sharpening reads the neighbours and leaves the border alone.
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
    np.testing.assert_array_equal(augment.image_labels(label, 4, 255), [0, 1, 0])
    np.testing.assert_array_equal(augment.image_labels(label, 4, 2), [0, 0, 0])
    none = tf.zeros([0], tf.int32)
    np.testing.assert_array_equal(augment.image_labels(none, 3, 255), [0, 0])
