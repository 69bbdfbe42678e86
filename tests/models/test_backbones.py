"""Backbones: strides and rates, end points, and how a new one is found."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.networks import random_images
from wss.errors import UserError
from wss.models import backbone, layers
from wss.models.backbone import IMAGENET_MEAN, MID_GRAY, atrous_strides
from wss.models.batch_norm import BatchNorm


def test_atrous_rates_replace_the_strides_beyond_the_output_stride():
    strides = [1, 2, 1, 2, 1]
    assert atrous_strides(strides, 4) == [(1, 1), (2, 1), (1, 1), (2, 1), (1, 1)]
    assert atrous_strides(strides, 2) == [(1, 1), (2, 1), (1, 1), (1, 1), (1, 2)]
    assert atrous_strides(strides, 1) == [(1, 1), (1, 1), (1, 2), (1, 2), (1, 4)]
    with pytest.raises(ValueError, match="do not reach 8"):
        atrous_strides(strides, 8)


@pytest.mark.parametrize(
    "output_stride, size", [(8, (5, 9)), (16, (3, 5)), (32, (2, 3))]
)
def test_resnet_end_points(output_stride, size):
    network = backbone.create_backbone("resnet_v1_18_beta", output_stride=output_stride)
    end_points = network(random_images(1, 33, 65))
    assert network.channels == 512
    last = end_points["resnet_v1_18/block4"]
    assert last.shape == (1, *size, 512)
    name, channels = network.decoder_end_points[4]
    assert end_points[name].shape == (1, 9, 17, channels)
    assert set(network.strides.values()) <= set(end_points)


def test_multi_grid_dilates_the_last_block():
    images = random_images(1)
    networks = [
        backbone.create_backbone(
            "resnet_v1_18_beta", output_stride=16, multi_grid=multi_grid
        )
        for multi_grid in (None, (2, 1))
    ]
    rates = [
        [
            convolution.convolution.dilation_rate[0]
            for module in network.blocks[-1][1]
            for convolution in module.convolutions
        ]
        for network in networks
    ]
    assert rates == [[2, 2, 2, 2], [4, 4, 2, 2]]
    assert networks[1](images)["resnet_v1_18/block4"].shape == (1, 3, 3, 512)
    backbone.check_multi_grid("xception_65", None)
    backbone.check_multi_grid("resnet_v1_50", (1, 2, 4))
    for variant, takes in (("xception_65", 3), ("resnet_v1_18_beta", 2)):
        with pytest.raises(UserError, match=f"has 1 rates; .* takes {takes}"):
            backbone.check_multi_grid(variant, (1,))
    with pytest.raises(UserError, match="takes 2"):
        backbone.create_backbone(
            "resnet_v1_18_beta", output_stride=16, multi_grid=(1, 2, 4)
        )


def test_strided_convolution_pads_both_sides_alike():
    convolution = layers.Convolution(
        "conv",
        1,
        1,
        3,
        stride=2,
        initializer=tf.keras.initializers.Ones(),
        activation=None,
        batch_norm=lambda name: BatchNorm(0.9, 0.0, name=name),
    )
    even = convolution(tf.ones([1, 4, 4, 1]), training=False)
    np.testing.assert_allclose(even[0, :, :, 0], [[4, 6], [6, 9]], rtol=1e-4)


@pytest.mark.parametrize("filters", [2, None])
@pytest.mark.parametrize("size", [8, 9])
def test_padding_as_tensorflows(filters, size):
    """The same as padding both sides alike for odd sizes only; ReLU6 on top."""
    images = 10 * tf.random.stateless_normal([1, size, size, 3], [1, 2])
    outputs = []
    for same_padding in (True, False):
        convolution = layers.Convolution(
            "conv",
            3,
            filters,
            5,
            stride=2,
            activation=tf.nn.relu6,
            same_padding=same_padding,
            initializer=tf.keras.initializers.RandomNormal(seed=3),
            batch_norm=lambda name: BatchNorm(0.9, 0.0, name=name),
        )
        outputs.append(convolution(images, training=False))
    variable = convolution.convolution.trainable_variables[0]
    if filters:
        expected = tf.nn.conv2d(images, variable, 2, "SAME")
    else:
        expected = tf.nn.depthwise_conv2d(images, variable, [1, 2, 2, 1], "SAME")
    expected = np.clip(expected, 0, 6)
    np.testing.assert_allclose(outputs[0], expected, rtol=1e-4, atol=1e-4)
    assert np.allclose(outputs[1], expected, rtol=1e-4, atol=1e-4) == (size == 9)


def test_kernels_of_one_shape_start_with_different_values():
    network = backbone.create_backbone("resnet_v1_18_beta", output_stride=16)
    first, second = network.blocks[0][1]
    kernels = [unit.convolutions[1].convolution.kernel for unit in (first, second)]
    assert np.max(np.abs(kernels[0] - kernels[1])) > 0.01
    np.testing.assert_allclose(np.std(kernels[0]), np.sqrt(2 / (9 * 64)), rtol=0.02)


def test_mean_pixels():
    assert backbone.mean_pixel("xception_65") == MID_GRAY
    assert backbone.mean_pixel("resnet_v1_50_beta") == MID_GRAY
    assert backbone.mean_pixel("resnet_v1_101") == IMAGENET_MEAN


def test_variants_are_found_and_unknown_ones_named():
    assert backbone.variants() == [
        "dinov2_vitb14",
        "dinov2_vitb14_reg",
        "dinov2_vitl14",
        "dinov2_vitl14_reg",
        "dinov2_vits14",
        "dinov2_vits14_reg",
        "efficientnet_lite0",
        "efficientnet_lite1",
        "efficientnet_lite2",
        "resnet_101",
        "resnet_101_deep",
        "resnet_101_keras",
        "resnet_50",
        "resnet_50_deep",
        "resnet_50_keras",
        "resnet_v1_101",
        "resnet_v1_101_beta",
        "resnet_v1_18_beta",
        "resnet_v1_18_quarter_beta",
        "resnet_v1_50",
        "resnet_v1_50_beta",
        "xception_65",
    ]
    with pytest.raises(UserError, match="'xception_66'.*xception_65"):
        backbone.create_backbone("xception_66", output_stride=16)


def test_a_new_backbone_is_a_decorated_builder(monkeypatch):
    monkeypatch.setattr(backbone, "_variants", dict(backbone._variants))

    @backbone.register_backbone("tiny", mean_pixel=(1.0, 2.0, 3.0))
    def tiny(output_stride, multi_grid, batch_norm_decay):
        return output_stride

    assert (
        backbone.create_backbone(
            "tiny", output_stride=8, multi_grid=None, batch_norm_decay=None
        )
        == 8
    )
    assert backbone.mean_pixel("tiny") == (1.0, 2.0, 3.0)
