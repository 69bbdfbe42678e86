"""Predictions for images of any size, against the same in plain numpy."""

from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from tests.models.networks import small_model
from wss.errors import UserError
from wss.evaluation import tiling
from wss.evaluation.predictor import Predictor
from wss.ops.resize import resize_bilinear

CROP, GRAY, CLASSES = (33, 41), (127.5, 120.0, 110.0), 4


class Toy(tf.Module):
    """One convolution with stride 4; logits of about 1."""

    def __init__(self):
        super().__init__()
        kernel = 0.1 * np.random.RandomState(3).normal(size=[7, 7, 3, CLASSES])
        self.kernel = tf.constant(kernel, tf.float32)
        self.sizes = []

    def __call__(self, images, training):
        assert training is False
        self.sizes.append(tuple(images.shape[1:3]))
        return tf.nn.conv2d(images / 64 - 2, self.kernel, 4, "SAME")

    def logits_size(self, size):
        return tuple((side - 1) // 4 + 1 for side in size)

    def scaled_size(self, size, scale):
        return tuple(int((side - 1) * scale + 1) for side in size)


def make_image(height, width, seed=0):
    return np.random.RandomState(seed).randint(0, 256, [height, width, 3], np.uint8)


def reference_resize(values, size):
    """Bilinear, corners aligned, [h, w, channels]."""
    for axis, length in enumerate(size):
        places = np.linspace(0, values.shape[axis] - 1, length)
        below = np.minimum(places.astype(int) + 1, values.shape[axis] - 1)
        shape = [1, 1, 1]
        shape[axis] = length
        share = (places - places.astype(int)).reshape(shape)
        first = np.take(values, places.astype(int), axis)
        values = first * (1 - share) + np.take(values, below, axis) * share
    return values


def reference_softmax(logits):
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)


def reference_crop(network, image, scales=(1.0,), flip=False, of=reference_softmax):
    """The mean of what `of` makes of the logits of an image that fits."""
    padded = np.full([*CROP, 3], GRAY, np.float64)
    padded[: image.shape[0], : image.shape[1]] = image
    views = []
    for scale in scales:
        size = [int((side - 1) * scale + 1) for side in CROP]
        for step in (1, -1) if flip else (1,):
            scaled = reference_resize(padded[:, ::step], size)
            logits = network(scaled[np.newaxis].astype(np.float32), training=False)
            logits = logits.numpy()[0, :, ::step].astype(np.float64)
            if scale < 1:
                logits = reference_resize(logits, network.logits_size(CROP))
            views.append(of(reference_resize(logits, CROP)))
    return np.mean(views, 0)[: image.shape[0], : image.shape[1]]


def assert_best(labels, probabilities):
    """The labels are the best classes, up to the rounding of a tie."""
    chosen = np.take_along_axis(probabilities, labels.numpy()[..., np.newaxis], -1)
    assert (chosen[..., 0] >= probabilities.max(-1) - 4e-6).all()


def test_the_default_is_the_originals_evaluation_to_the_bit():
    model = small_model()
    image = make_image(29, 40)
    padded = np.full([1, *CROP, 3], GRAY, np.float32)
    padded[0, :29, :40] = image

    @tf.function(autograph=False)
    def original(images):
        logits = resize_bilinear(model(images, training=False), CROP)
        return logits, tf.argmax(logits, -1, tf.int32)

    logits, expected = original(tf.constant(padded))
    predictor = Predictor(model, CROP, GRAY)
    np.testing.assert_array_equal(predictor.labels(image), expected[0, :29, :40])
    probabilities = predictor.probabilities(image.astype(np.float32))
    np.testing.assert_array_equal(probabilities, tf.nn.softmax(logits[:, :29, :40])[0])
    labels, confidence = predictor.labels_and_confidence(image)
    np.testing.assert_array_equal(labels, expected[0, :29, :40])
    np.testing.assert_array_equal(confidence, tf.reduce_max(probabilities, -1))


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)])
@pytest.mark.parametrize("size", [CROP, (17, 23), (1, 1)])
def test_scales_and_mirrored_images(scales, flip, size):
    network, image = Toy(), make_image(*size)
    predictor = Predictor(network, CROP, GRAY, scales=scales, flip=flip)
    expected = reference_crop(network, image, scales, flip)
    actual = predictor.probabilities(image)
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    assert_best(predictor.labels(image), expected)


@pytest.mark.parametrize("size", [CROP, (17, 23), (33, 90), (70, 10)])
@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0)])
def test_a_batch_in_a_graph_has_the_numbers_of_its_images(size, scales):
    predictor = Predictor(Toy(), CROP, GRAY, scales=scales)
    images = np.stack([make_image(*size, seed) for seed in range(3)])
    shape = tf.TensorSpec([None, None, None, 3], tf.uint8)
    labels, probabilities = tf.function(
        predictor.predict_batch, [shape], autograph=False
    )(images)
    for i, image in enumerate(images):
        expected = predictor.probabilities(image)
        np.testing.assert_allclose(probabilities[i], expected, atol=1e-6)
        assert_best(labels[i], expected.numpy())


def test_the_mirrored_image_of_a_symmetric_one():
    # The columns' grid ends with the crop, so that mirroring keeps it.
    half = make_image(33, 20)
    image = np.concatenate([half, make_image(33, 1), half[:, ::-1]], axis=1)
    probabilities = Predictor(Toy(), CROP, GRAY, flip=True).probabilities(image)
    np.testing.assert_allclose(probabilities, probabilities[:, ::-1], atol=1e-6)


def test_a_scale_of_one_is_no_average():
    image = make_image(30, 41)
    plain = Predictor(Toy(), CROP, GRAY)
    scaled = Predictor(Toy(), CROP, GRAY, scales=[1])
    for first, second in zip(
        plain.labels_and_confidence(image), scaled.labels_and_confidence(image)
    ):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("stride", [2 / 3, 1.0])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("size", [(70, 97), (34, 41), (20, 100), (90, 41)])
def test_windows(size, flip, stride):
    network, image = Toy(), make_image(*size)
    predictor = Predictor(
        network, CROP, GRAY, flip=flip, window="sliding", stride=stride
    )
    sums, counts = np.zeros([*size, CLASSES]), np.zeros([*size, 1])

    def starts(length, window):
        found, start = [], 0
        while start + window < length:
            found.append(start)
            start += round(window * stride)
        return [*found, length - window]

    rows, columns = (min(pair) for pair in zip(size, CROP))
    for top in starts(size[0], rows):
        for left in starts(size[1], columns):
            place = np.s_[top : top + rows, left : left + columns]
            sums[place] += reference_crop(network, image[place], flip=flip)
            counts[place] += 1
    actual = predictor.probabilities(image)
    np.testing.assert_allclose(actual, sums / counts, atol=1e-6)
    assert_best(predictor.labels(image), sums / counts)
    assert (counts > 0).all() and set(network.sizes) == {CROP}


@pytest.mark.parametrize("scales", [(1.0,), (0.5, 1.0)])
def test_windows_whose_logits_are_averaged(scales):
    """Like U2PL's evaluation of Cityscapes: the softmax is last, if used at all."""
    network, image = Toy(), make_image(40, 60)
    predictor = Predictor(
        network, CROP, GRAY, scales=scales, window="sliding", average="logits"
    )
    sums, counts = np.zeros([40, 60, CLASSES]), np.zeros([40, 60, 1])
    for top in (0, 7):
        for left in (0, 19):
            place = np.s_[top : top + 33, left : left + 41]
            sums[place] += reference_crop(network, image[place], scales, of=np.asarray)
            counts[place] += 1
    logits = sums / counts
    expected = reference_softmax(logits)
    np.testing.assert_allclose(predictor.probabilities(image), expected, atol=1e-6)
    assert_best(predictor.labels(image), expected)
    _, confidence = predictor.labels_and_confidence(image)
    np.testing.assert_allclose(confidence, expected.max(-1), atol=1e-6)
    # A mean of probabilities is something else.
    mean = Predictor(network, CROP, GRAY, scales=scales, window="sliding")
    assert np.abs(mean.probabilities(image) - expected).max() > 1e-3


def test_scales_whose_logits_are_averaged():
    network, image, scales = Toy(), make_image(*CROP), (0.75, 1.5)
    predictor = Predictor(network, CROP, GRAY, scales=scales, average="logits")
    logits = reference_crop(network, image, scales, of=np.asarray)
    expected = reference_softmax(logits)
    np.testing.assert_allclose(predictor.probabilities(image), expected, atol=4e-6)
    labels, probabilities = predictor.predict_batch(tf.constant(image[np.newaxis]))
    np.testing.assert_allclose(probabilities[0], expected, atol=4e-6)
    assert_best(labels[0], expected)
    crops = predictor.predict_crops(tf.constant(image[np.newaxis], tf.float32))
    np.testing.assert_allclose(crops[0], expected, atol=4e-6)


def test_what_is_averaged_matters_only_where_something_is():
    image = make_image(30, 41)
    plain = Predictor(Toy(), CROP, GRAY)
    logits = Predictor(Toy(), CROP, GRAY, average="logits")
    np.testing.assert_array_equal(
        plain.probabilities(image), logits.probabilities(image)
    )
    assert plain.protocol() == logits.protocol() and not logits.variations


def test_one_window_is_the_whole_image():
    for size in (CROP, (20, 30)):
        image = make_image(*size)
        whole = Predictor(Toy(), CROP, GRAY).labels_and_confidence(image)
        window = Predictor(Toy(), CROP, GRAY, window="sliding")
        for first, second in zip(whole, window.labels_and_confidence(image)):
            np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "size, small", [((66, 41), (33, 20)), ((100, 200), (20, 41)), ((3, 4000), (1, 41))]
)
def test_a_large_image_is_shrunk_and_its_logits_enlarged(size, small):
    network, image = Toy(), make_image(*size)
    predictor = Predictor(network, CROP, GRAY)
    assert predictor.shrinks(image)
    np.testing.assert_array_equal(tiling.fitting_size(size, CROP), small)
    shrunk = tf.image.resize(image, small, antialias=True)
    padded = np.full([1, *CROP, 3], GRAY, np.float32)
    padded[0, : small[0], : small[1]] = shrunk
    logits = resize_bilinear(network(tf.constant(padded), training=False), CROP)
    logits = tf.image.resize(logits[0, : small[0], : small[1]], size)
    expected = tf.nn.softmax(logits)
    np.testing.assert_allclose(predictor.probabilities(image), expected, atol=1e-6)
    # Whatever the height of the stripes.
    with mock.patch.object(tiling, "_STRIPE_NUMBERS", 7 * size[1] * CLASSES):
        np.testing.assert_array_equal(
            predictor.labels(image), Predictor(Toy(), CROP, GRAY).labels(image)
        )


def test_images_of_all_sizes_build_one_graph():
    network = Toy()
    predictor = Predictor(network, CROP, GRAY)
    for size in ((33, 41), (20, 11), (9, 30), (80, 80)):
        assert predictor.labels(make_image(*size)).shape == size
    assert network.sizes == [CROP]


def test_the_protocol_says_what_decides_the_numbers():
    assert Predictor(Toy(), CROP, GRAY).protocol() == {
        "text": "whole images padded to 33 x 41",
        "window": "whole",
        "stride": None,
        "average": None,
        "crop_size": [33, 41],
        "scales": [1.0],
        "flip": False,
    }
    other = Predictor(
        Toy(), CROP, GRAY, scales=(0.5, 1), flip=True, window="sliding", stride=0.5
    )
    assert other.protocol()["text"] == (
        "windows of 33 x 41, stride 0.5, scales 0.5 1, mirrored too"
    )
    assert other.variations == ["sliding", "scales", "flip"]
    assert other.protocol()["average"] == "probabilities"
    u2pl = Predictor(Toy(), CROP, GRAY, window="sliding", average="logits")
    assert u2pl.protocol()["text"] == (
        "windows of 33 x 41, stride 0.6667, logits averaged"
    )
    assert u2pl.protocol()["average"] == "logits"
    assert u2pl.variations == ["sliding", "logits"]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"scales": ()}, "Predictor.scales = .*above 0"),
        ({"scales": (1.0, -1.0)}, "Predictor.scales"),
        ({"scales": 0.5}, "Predictor.scales = 0.5: it has to be a tuple"),
        ({"scales": (1.0, 1000.0)}, "a number above 0, at most 16"),
        ({"window": "tiles"}, "it has to be 'whole', 'unpadded' or 'sliding'."),
        ({"stride": 0}, "Predictor.stride = 0: it has to be a number above 0, at most"),
        ({"average": "votes"}, "= 'votes': it has to be 'probabilities' or 'logits'."),
    ],
)
def test_settings_that_make_no_sense(options, message):
    with pytest.raises(UserError, match=message):
        Predictor(Toy(), CROP, GRAY, **options)


def test_what_is_no_image():
    with pytest.raises(UserError, match=r"\[5, 5\].*Convert it to RGB"):
        Predictor(Toy(), CROP, GRAY).labels(np.zeros([5, 5]))


@pytest.mark.parametrize("size", [(20, 30), (33, 41), (66, 40)], ids=str)
def test_what_a_function_sees_of_a_whole_image(size):
    image, calls = make_image(*size), []

    def function(images, valid):
        calls.append((images.numpy(), valid.numpy()))
        return {"same": images, "half": images[:, ::2, ::2]}

    outputs = Predictor(Toy(), CROP, GRAY).of_whole(image, function)
    ((images, valid),) = calls
    rows, columns = (33, 20) if size[0] > CROP[0] else size
    assert images.shape == (1, *CROP, 3) and valid.shape == (1, *CROP)
    assert valid[0, :rows, :columns].all() and valid.sum() == rows * columns
    np.testing.assert_array_equal(
        images[valid == 0], np.broadcast_to(GRAY, [int((1 - valid).sum()), 3])
    )
    np.testing.assert_array_equal(outputs["same"], images[0, :rows, :columns])
    if (rows, columns) == size:
        np.testing.assert_array_equal(outputs["same"], image)
    expected = reference_resize(images[0, ::2, ::2].astype(np.float64), CROP)
    np.testing.assert_allclose(outputs["half"], expected[:rows, :columns], atol=1e-3)
