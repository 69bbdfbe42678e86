"""ResNets of other publishers: where they stride; Keras's own network beside ours."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.networks import random_images
from wss.models import backbone, pretrained
from wss.models.backbone import create_backbone


@pytest.mark.parametrize(
    "variant, convolution", [("resnet_50", 1), ("resnet_50_deep", 1)]
)
def test_the_first_unit_of_a_block_strides(variant, convolution):
    network = create_backbone(variant, output_stride=16)
    units = [modules for _, modules in network.blocks]
    strides = [
        [unit.convolutions[convolution].convolution.strides[0] for unit in block]
        for block in units
    ]
    assert strides == [[1] * 3, [2, 1, 1, 1], [2, 1, 1, 1, 1, 1], [1] * 3]
    rates = [u.convolutions[1].convolution.dilation_rate[0] for u in units[3]]
    assert rates == [1, 2, 2]
    end_points = network(random_images(1, 33, 65))
    sizes = {4: (9, 17), 8: (5, 9), 15: (3, 5), 16: (3, 5)}
    for stride, name in network.strides.items():
        assert end_points[name].shape[1:3] == sizes[stride]
    for stride, channels in ((4, 256), (8, 512)):
        name, depth = network.decoder_end_points[stride]
        assert end_points[name].shape == (1, *sizes[stride], depth)
        assert depth == channels
        assert network.unit_end_points[stride][0] in name


def test_preprocessing_is_the_publishers():
    pixels = np.float32([[255.0, 127.5, 0.0]])
    standardized = (pixels / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    caffe = tf.keras.applications.resnet.preprocess_input(pixels.copy())
    for variant, expected in (
        ("resnet_50", standardized),
        ("resnet_50_deep", standardized),
        ("resnet_50_keras", caffe),
    ):
        preprocess = create_backbone(variant, output_stride=32)._edition.preprocess
        np.testing.assert_allclose(preprocess(pixels), expected, rtol=1e-5)
        mean = np.float32([backbone.mean_pixel(variant)])
        np.testing.assert_allclose(preprocess(mean), [[0, 0, 0]], atol=1e-5)


def test_kerass_own_network_gives_the_same(tmp_path):
    """With biases, which its convolutions have and ours do not."""
    tf.keras.utils.set_random_seed(0)
    reference = tf.keras.applications.ResNet50(weights=None, input_shape=(65, 97, 3))
    for layer in reference.layers:
        for variable in layer.variables:
            if variable.shape.rank == 1:
                spread = tf.random.uniform(variable.shape, -0.2, 0.2)
                variable.assign(variable * (1.0 + spread) + spread)
    path = str(tmp_path / "resnet50.h5")
    reference.save_weights(path)
    network = create_backbone("resnet_50_keras", output_stride=32)
    report = pretrained.restore(path, "resnet_50_keras", network)
    assert not report.missing and not report.skipped
    images = random_images(1, 65, 97)
    end_points = network(images)
    names = {4: "conv2_block3_out", 15: "conv4_block6_out", 16: "conv5_block3_out"}
    outputs = [reference.get_layer(name).output for name in names.values()]
    theirs = tf.keras.Model(reference.input, outputs)(
        tf.keras.applications.resnet.preprocess_input(images.numpy())
    )
    for stride, expected in zip(names, theirs):
        scale = np.max(np.abs(expected))
        ours = end_points[network.strides[stride]]
        np.testing.assert_allclose(ours / scale, expected / scale, atol=1e-4)
