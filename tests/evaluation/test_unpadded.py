"""Images that the network sees unpadded, against UniMatch V2's evaluation in numpy."""

import types
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from tests.evaluation.test_predictor import (
    CLASSES,
    GRAY,
    Toy,
    assert_best,
    make_image,
    reference_resize,
    reference_softmax,
)
from tests.models.networks import small_model
from tests.models.transformers import VARIANT, registered
from wss.errors import UserError
from wss.evaluation import tiling
from wss.evaluation.evaluator import build_predictor
from wss.evaluation.predictor import Predictor
from wss.evaluation.view_scores import Views
from wss.models.dpt import DPT

CROP = (42, 56)


class Patches(Toy):
    """Like a transformer, takes multiples of 14; logits of 3 x 3 for each patch."""

    def __init__(self):
        super().__init__()
        self.seen = set()  # Heights and widths, also in graphs.

    def __call__(self, images, training):
        size = tf.shape(images)[1:3]
        tf.numpy_function(lambda size: self.seen.add(tuple(size)), [size], [])
        tf.debugging.assert_equal(size % 14, 0)
        rows, columns = tf.unstack(3 * size // 14)
        return super().__call__(images, training)[:, :rows, :columns]

    def scaled_size(self, size, scale):
        return tuple(14 * max(1, int(side * scale / 14 + 0.5)) for side in size)


def predictor_of(network, **options):
    return Predictor(network, CROP, GRAY, window="unpadded", **options)


def reference(network, image, scale=1.0, step=1):
    """Logits of a view, as published: `evaluate` with mode 'original'."""
    size = image.shape[:2]
    sides = [max(14, int(side * scale / 14 + 0.5) * 14) for side in size]
    scaled = reference_resize(image[:, ::step].astype(np.float64), sides)
    logits = network(scaled[np.newaxis].astype(np.float32), training=False)
    logits = logits.numpy()[0, :, ::step].astype(np.float64)
    return reference_resize(reference_resize(logits, sides), size)


@pytest.mark.parametrize(
    "size, seen",
    [
        ((31, 45), (28, 42)),
        ((35, 49), (42, 56)),  # Halves are rounded up.
        ((28, 42), (28, 42)),
        ((20, 100), (14, 98)),  # No more pixels than the crop.
        ((1, 5), (14, 14)),
    ],
)
def test_images_are_scaled_to_the_nearest_multiple(size, seen):
    network, image = Patches(), make_image(*size)
    predictor = predictor_of(network)
    logits = reference(network, image)
    probabilities = predictor.probabilities(image)
    np.testing.assert_allclose(probabilities, reference_softmax(logits), atol=4e-6)
    assert_best(predictor.labels(image), reference_softmax(logits))
    assert network.seen == {seen} and not predictor.shrinks(image)


@pytest.mark.parametrize("average", ["probabilities", "logits"])
def test_scales_and_mirrored_images(average):
    network, image, scales = Patches(), make_image(31, 45), (0.5, 1.0, 1.75)
    predictor = predictor_of(network, scales=scales, flip=True, average=average)
    views = [reference(network, image, s, step) for s in scales for step in (1, -1)]
    if average == "logits":
        expected = reference_softmax(np.mean(views, 0))
    else:
        expected = np.mean([reference_softmax(view) for view in views], 0)
    np.testing.assert_allclose(predictor.probabilities(image), expected, atol=4e-6)
    assert network.seen == {(14, 28), (28, 42), (56, 84)}
    assert network.sizes[-1] == (None, None)  # One graph.


def test_an_image_with_more_pixels_than_the_crop_is_shrunk():
    network, image = Patches(), make_image(61, 90)
    small = tiling.affordable_size((61, 90), CROP)
    assert small == (39, 58)
    predictor = predictor_of(network)
    assert predictor.shrinks(image)
    logits = reference(network, tf.image.resize(image, small, antialias=True).numpy())
    logits = tf.image.resize(logits.astype(np.float32), (61, 90))
    expected = tf.nn.softmax(logits)
    np.testing.assert_allclose(predictor.probabilities(image), expected, atol=4e-6)
    assert predictor.labels(image).shape == (61, 90)


@pytest.mark.parametrize("make", [Toy, small_model])
def test_a_convolutional_network_sees_the_image_itself(make):
    network, image = make(), make_image(20, 31)
    logits = network(image[np.newaxis].astype(np.float32), training=False)
    logits = reference_resize(logits.numpy()[0].astype(np.float64), (20, 31))
    probabilities = predictor_of(network).probabilities(image)
    np.testing.assert_allclose(probabilities, reference_softmax(logits), atol=4e-6)


@pytest.fixture(scope="module")
def transformer():
    with registered():
        tf.keras.utils.set_random_seed(0)
        network = DPT(CLASSES, VARIANT)
    return network


def test_padding_changes_the_numbers_of_a_transformer(transformer):
    """Only an image of the crop's size has the same ones."""
    unpadded, padded = predictor_of(transformer), Predictor(transformer, CROP, GRAY)

    def difference(size):
        image = make_image(*size)
        one, other = (p.probabilities(image) for p in (unpadded, padded))
        return np.abs(one - other).max()

    assert difference(CROP) < 1e-5
    assert difference((28, 42)) > 1e-3  # A multiple of 14, but padded.
    assert difference((31, 45)) > 1e-3


@pytest.mark.parametrize("size", [(31, 45), (28, 42)])
def test_a_graph_has_the_same_numbers(transformer, size):
    image = make_image(*size)[np.newaxis].astype(np.float32)

    def logits(images):
        return Views(transformer, transformer, rounds=True).logits(images)

    traced = tf.function(logits, autograph=False)(tf.constant(image))
    np.testing.assert_allclose(logits(image), traced, atol=1e-4)
    expected = reference(transformer, image[0])
    np.testing.assert_allclose(traced[0], expected, atol=1e-4)
    labels = predictor_of(transformer).labels(image[0])
    assert_best(labels, reference_softmax(expected))


def test_images_of_all_sizes_build_one_graph():
    network = Patches()
    predictor = predictor_of(network)
    for size in ((42, 56), (20, 11), (9, 30), (80, 80)):
        assert predictor.labels(make_image(*size)).shape == size
    assert network.sizes == [(None, None)] and len(network.seen) == 4


def test_the_image_classifier_sees_what_the_logits_see(transformer):
    image = make_image(31, 45)
    scaled = reference_resize(image.astype(np.float64), (28, 42)).astype(np.float32)
    expected = transformer.classify(transformer.backbone(scaled[np.newaxis]))[0]
    actual = predictor_of(transformer).image_logits(image)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_panels_of_methods_and_batches_are_padded():
    network, image = Patches(), make_image(31, 45)
    predictor, padded = predictor_of(network), Predictor(network, CROP, GRAY)
    outputs = predictor.of_whole(image, lambda images, valid: {"same": images})
    np.testing.assert_array_equal(outputs["same"], image)
    _, probabilities = predictor.predict_batch(tf.constant(image[np.newaxis]))
    expected = padded.probabilities(image)
    np.testing.assert_allclose(probabilities[0], expected, atol=4e-6)


def test_the_protocol():
    predictor = predictor_of(Patches(), flip=True)
    text = "whole images unpadded, up to 42 x 56 pixels, mirrored too"
    assert predictor.protocol()["text"] == text
    assert predictor.variations == ["unpadded", "flip"]


@pytest.mark.parametrize("window", ["whole", "unpadded"])
def test_a_tpu_needs_one_size(window):
    strategy = mock.Mock(spec=tf.distribute.TPUStrategy)
    experiment = types.SimpleNamespace(
        model_variant="dinov2_vits14", eval_crop_size=CROP, strategy=strategy
    )
    if window == "whole":
        assert build_predictor(experiment, None, window=window).window == window
        return
    with pytest.raises(UserError, match="a TPU needs one. Set .*--mode=train"):
        build_predictor(experiment, None, window=window)
