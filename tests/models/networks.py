"""The small network of the tests."""

import numpy as np
import tensorflow as tf

from wss.models.deeplab import DeepLabV3Plus


def small_model(**kwargs) -> DeepLabV3Plus:
    """A narrow resnet_v1_18 with a narrow head; always the same weights."""
    tf.keras.utils.set_random_seed(0)
    options = dict(num_classes=5, aspp_channels=8, decoder_channels=8)
    return DeepLabV3Plus(variant="resnet_v1_18_quarter_beta", **{**options, **kwargs})


def random_images(batch: int = 2, height: int = 33, width: int = 33) -> tf.Tensor:
    random = np.random.RandomState(0)
    return tf.constant(random.uniform(0, 255, [batch, height, width, 3]), tf.float32)
