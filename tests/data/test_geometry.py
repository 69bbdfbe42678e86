import numpy as np
import pytest
import tensorflow as tf

from wss.data import geometry

BOTH_MODES = pytest.mark.parametrize(
    "wrap", [lambda f: f, lambda f: tf.function(f, autograph=False)], ids="eg"
)


def draw(seed, **options):
    size = tf.constant([40, 50])
    return geometry.draw_view(tf.constant([0, seed]), size, (33, 33), **options)


def test_views_cover_their_ranges():
    views = [tf.nest.map_structure(np.asarray, draw(seed)) for seed in range(300)]
    scales = sorted({float(view.scale) for view in views})
    assert scales == [0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
    assert 100 < sum(view.flipped for view in views) < 200
    for view in views:
        surplus = np.maximum(np.floor(np.array([40, 50]) * view.scale) - 33, 0)
        assert (view.offset >= 0).all() and (view.offset <= surplus).all()
    twice = np.array([view.offset for view in views if view.scale == 1.0])
    assert twice[:, 0].max() == 7 and twice[:, 1].max() > 14


@BOTH_MODES
def test_view_is_a_function_of_the_seed(wrap):
    view = wrap(lambda: draw(5))()
    again = draw(5)
    tf.nest.map_structure(np.testing.assert_array_equal, view, again)
    assert any(
        not np.array_equal(a, b) for a, b in zip(view, draw(6)) if a.dtype != tf.bool
    )


def test_fixed_and_continuous_scales():
    assert draw(0, min_scale=1.0, max_scale=1.0).scale == 1.0
    scales = [
        float(draw(seed, min_scale=0.8, max_scale=1.6, scale_step=0).scale)
        for seed in range(50)
    ]
    assert len(set(scales)) == 50 and 0.8 <= min(scales) and max(scales) < 1.6


@BOTH_MODES
def test_scale(wrap):
    image = tf.reshape(tf.range(16.0), [4, 4, 1])
    half = wrap(geometry.scale_image)(image, tf.constant([2, 2]))
    # Antialiased: the weights reach over four pixels, cut off at the border.
    weights = np.array([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7
    expected = weights @ np.arange(16.0).reshape(4, 4) @ weights.T
    np.testing.assert_allclose(half[..., 0], expected, rtol=1e-6)
    label = tf.reshape(tf.range(16), [4, 4])
    scaled = wrap(geometry.scale_label)(label, tf.constant([2, 3]))
    # Corners aligned: the outermost pixels stay, halves are rounded up.
    np.testing.assert_array_equal(scaled, [[0, 2, 3], [12, 14, 15]])


@BOTH_MODES
@pytest.mark.parametrize("scale", [0.5, 0.83, 1.0, 1.25, 2.0])
@pytest.mark.parametrize("crop_size", [(33, 29), (80, 21)])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_scale_and_crop_compute_the_crop_alone(wrap, scale, crop_size, share):
    """The crop's pixels are those of the whole scaled image, to the last bit."""
    draws = np.random.default_rng(0)
    image = tf.constant(draws.integers(0, 256, (40, 57, 3)), tf.uint8)
    label = tf.constant(draws.integers(0, 21, (40, 57)), tf.int32)
    size = geometry.scaled_size(tf.shape(image)[:2], scale)
    surplus = tf.cast(tf.maximum(size - crop_size, 0), tf.float32)
    offset = tf.cast(share * surplus, tf.int32)
    place = slice(offset[0], offset[0] + crop_size[0])
    across = slice(offset[1], offset[1] + crop_size[1])

    crop = wrap(geometry.scale_and_crop)(image, size, offset, crop_size)
    whole = tf.image.resize(image, size, antialias=True).numpy()
    np.testing.assert_array_equal(crop, whole[place, across])

    crop = wrap(geometry.scale_and_crop_label)(label, size, offset, crop_size)
    whole = tf.raw_ops.ResizeNearestNeighbor(
        images=label[tf.newaxis, ..., tf.newaxis], size=size, align_corners=True
    )
    np.testing.assert_array_equal(crop, whole[0, ..., 0].numpy()[place, across])


@BOTH_MODES
def test_crop_pad_and_valid_mask(wrap):
    image = tf.fill([3, 9, 3], 200.0)
    label = tf.ones([3, 9], tf.int32)

    def place():
        offset = tf.constant([0, 3])
        cropped = geometry.crop(image, offset, (5, 6))
        cropped_label = geometry.crop(label, offset, (5, 6))
        return (
            geometry.pad_image(cropped, (5, 6), (1.0, 2.0, 3.0)),
            geometry.pad_label(cropped_label, (5, 6), 255),
            geometry.valid_mask(tf.shape(image), (5, 6)),
        )

    padded, padded_label, valid = wrap(place)()
    assert padded.shape == (5, 6, 3) and padded_label.shape == (5, 6)
    np.testing.assert_array_equal(padded[:3], np.full((3, 6, 3), 200.0))
    np.testing.assert_array_equal(padded[3:], np.tile([1.0, 2.0, 3.0], (2, 6, 1)))
    np.testing.assert_array_equal(padded_label[3:], np.full((2, 6), 255))
    np.testing.assert_array_equal(valid, np.asarray(padded_label) == 1)


@BOTH_MODES
def test_flip(wrap):
    label = tf.constant([[1, 2, 3], [4, 5, 6]])
    flip = wrap(geometry.flip)
    np.testing.assert_array_equal(flip(label, tf.constant(False)), label)
    np.testing.assert_array_equal(
        flip(label, tf.constant(True)), [[3, 2, 1], [6, 5, 4]]
    )


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ((100,), (100, 200)),
        ((100, 150), (75, 150)),
        # The larger side is bounded by 145 = 16 * 9 + 1 first.
        ((100, 150, 16), (81, 145)),
    ],
)
@BOTH_MODES
def test_resize_to_range(wrap, arguments, expected):
    image, label = tf.zeros([50, 100, 3]), tf.ones([50, 100], tf.int32)
    resized = wrap(lambda: geometry.resize_to_range(image, label, *arguments))()
    assert resized[0].shape == (*expected, 3) and resized[1].shape == expected
