"""EfficientNet-Lite: sizes, strides, end points; its numbers: parity."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.networks import random_images
from wss.errors import UserError
from wss.models import backbone, efficientnet_lite
from wss.models.backbone import create_backbone
from wss.models.deeplab import DeepLabV3Plus
from wss.models.tf1_checkpoint import named_variables


@pytest.mark.parametrize(
    "variant, parameters",
    [
        ("efficientnet_lite0", 4_652_008),
        ("efficientnet_lite1", 5_416_680),
        ("efficientnet_lite2", 6_092_072),
    ],
)
def test_published_numbers_of_parameters(variant, parameters):
    """With the classifier of 1000 classes; timm counts the same."""
    network = create_backbone(variant, output_stride=32)
    assert network.channels == 1280
    trained = sum(np.prod(variable.shape) for variable in network.trainable_variables)
    assert trained + 1280 * 1000 + 1000 == parameters
    assert backbone.mean_pixel(variant) == (127.0, 127.0, 127.0)
    named = named_variables(network)
    assert all(name.startswith(f"{variant}/") for name in named)
    assert named[f"{variant}/stage2/unit_1/expand/weights"].shape == (1, 1, 16, 96)


def test_filters_round_to_multiples_of_8_but_not_below_90_percent():
    assert efficientnet_lite._rounded(1.1 * 24) == 24
    assert efficientnet_lite._rounded(1.1 * 40) == 48
    assert efficientnet_lite._rounded(4) == 8
    assert efficientnet_lite._rounded(11.5) == 16  # 8 were less than 90 %.


@pytest.mark.parametrize(
    "output_stride, sizes",
    [
        (8, [(9, 17), (5, 9), (5, 9), (5, 9)]),
        (16, [(9, 17), (5, 9), (3, 5), (3, 5)]),
        (32, [(9, 17), (5, 9), (3, 5), (2, 3)]),
    ],
)
def test_end_points(output_stride, sizes):
    network = create_backbone("efficientnet_lite0", output_stride=output_stride)
    end_points = network(random_images(1, 33, 65))
    at = {key: end_points[name].shape for key, name in network.strides.items()}
    for keys, size in zip([(4,), (8,), (13, 14), (15, 16)], sizes):
        assert all(at[key][1:3] == size for key in keys)
    assert [at[key][3] for key in sorted(at)] == [24, 40, 80, 112, 192, 1280]
    for of_units, channels in ((False, [144, 240]), (True, [24, 40])):
        found = network.unit_end_points if of_units else network.decoder_end_points
        assert [found[4][1], found[8][1]] == channels
        for stride, (name, depth) in found.items():
            size = sizes[0] if stride == 4 else sizes[1]
            assert end_points[name].shape == (1, *size, depth)
    # ReLU6, but for the ends of the units, which are linear.
    assert np.min(end_points[network.decoder_end_points[4][0]]) == 0.0
    assert np.max(end_points[network.strides[16]]) <= 6.0
    assert np.min(end_points[network.strides[8]]) < 0.0


def test_the_pyramid_sees_the_stages_before_the_last_end_point(model):
    end_points = model.backbone(random_images(1, 33, 65))
    found = model.backbone.pyramid_end_points
    assert [depth for _, depth in found] == [80, 112, 192]
    for name, depth in found:
        assert end_points[name].shape == (1, 3, 5, depth)
    kernel = named_variables(model)["aspp0/weights"]
    assert kernel.shape == (1, 1, 80 + 112 + 192, 8)
    seen = model._pyramid_features(end_points)
    np.testing.assert_array_equal(seen[..., 80:192], end_points[found[1][0]])


def test_strides_become_rates_of_depthwise_convolutions():
    def rates(output_stride):
        network = create_backbone("efficientnet_lite0", output_stride=output_stride)
        return [
            {unit.depthwise.convolution.dilation_rate[0] for unit in units}
            for _, units in network.stages
        ]

    assert rates(32) == [{1}] * 7
    assert rates(16) == [{1}] * 5 + [{1, 2}, {2}]
    assert rates(8) == [{1}] * 3 + [{1, 2}, {2}, {2, 4}, {4}]


def test_grids_align_on_odd_sizes():
    """The last end point of an image and of its mirror image are mirrored."""
    network = create_backbone("efficientnet_lite0", output_stride=16)
    for name, variable in named_variables(network).items():
        if name.endswith("weights"):
            variable.assign((variable + variable[:, ::-1]) / 2)
    images = random_images(1, 49, 65)
    straight, mirrored = (
        network(given)[network.strides[16]] for given in (images, images[:, :, ::-1])
    )
    assert np.max(np.abs(straight)) > 1e-3
    np.testing.assert_allclose(mirrored, straight[:, :, ::-1], atol=1e-5)


def test_no_multi_grid():
    with pytest.raises(UserError, match="'efficientnet_lite1' has no multi_grid"):
        create_backbone("efficientnet_lite1", output_stride=16, multi_grid=(1,))


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(0)
    return DeepLabV3Plus(
        5, "efficientnet_lite0", aspp_channels=8, decoder_channels=8, recompute=True
    )


def test_in_the_whole_network(model):
    assert model(random_images(1, 33, 65)).shape == (1, 9, 17, 5)
    images = random_images()
    with tf.GradientTape() as tape:
        end_points = model.backbone(images, training=True)
        seeds = tf.constant([[1, 2], [3, 4]])
        logits = model.classify(end_points, model.dropout_mask(seeds))
        loss = tf.reduce_mean(logits**2)
        loss += tf.reduce_mean(model.segment(end_points, True, seeds) ** 2)
    variables = model.trainable_variables
    gradients = tape.gradient(loss, variables)
    assert all(gradient is not None for gradient in gradients)
    assert logits.shape == (2, 4)
    assert 0.6 < np.mean(model.dropout_mask(seeds) > 0) < 0.95  # 0.8 are kept.


def test_heads_of_other_networks_and_an_auxiliary_one(model):
    assert model.create_auxiliary_head("auxiliary", 15).convolution is not None
    other = DeepLabV3Plus(
        5,
        "efficientnet_lite0",
        heads="unimatch",
        decoder_output_stride=8,
        aspp_channels=8,
        decoder_channels=8,
    )
    assert other.low_level_end_point == "efficientnet_lite0/stage3/unit_2"
    assert other(random_images(1)).shape == (1, 5, 5, 5)


def test_tflite_needs_its_built_in_operations_only():
    network = create_backbone("efficientnet_lite0", output_stride=16)
    function = tf.function(
        lambda images: network(images)[network.strides[16]], autograph=False
    )
    concrete = function.get_concrete_function(tf.TensorSpec([1, 33, 33, 3]))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete], network)
    interpreter = tf.lite.Interpreter(model_content=converter.convert())
    interpreter.allocate_tensors()
    images = random_images(1)
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], images)
    interpreter.invoke()
    features = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(features, function(images), atol=1e-4)
