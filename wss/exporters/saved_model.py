"""TensorFlow's SavedModel: the complete pipeline from an image's bytes to its mask."""

import os
import tempfile
from typing import Optional

import numpy as np
import tensorflow as tf

from wss.evaluation.segmenter import Segmenter
from wss.exporters.base import Format, Reader, keep_variables
from wss.image_io import bit_depth

ENCODED = "serving_encoded"

_PNG = b"\x89PNG\r\n\x1a\n"
_DEPTH_AT = 24  # Offset of the bit depth in the PNG header.


class SavedModel(Format):
    """A folder for TensorFlow or TensorFlow Serving; loading it does not need wss.

    Signatures, which predict the same as `Predictor`:

      serving_default: `images`, uint8 [batch, height, width, 3], any size -> `masks`,
        uint8 [batch, height, width], and `probabilities`, float32 [batch, height,
        width, classes].
      serving_encoded: `encoded`, a scalar string, the bytes of one JPEG or PNG -> the
        same for one image, without the batch axis. A PNG is read as by
        `image_io.reading`: 16 bits by the rule of the data set, transparent pixels on
        white. EXIF orientation is ignored.

    The assets contain the classes, as classes.json.
    """

    file_name = "saved_model"

    def write(self, model: Segmenter, path: str, step: int) -> None:
        module = keep_variables(model)

        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")],
            autograph=False,
        )
        def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
            labels, probabilities = model.predictor.predict_batch(images)
            return {"masks": tf.cast(labels, tf.uint8), "probabilities": probabilities}

        @tf.function(
            input_signature=[tf.TensorSpec([], tf.string, "encoded")], autograph=False
        )
        def predict_encoded(encoded: tf.Tensor) -> dict[str, tf.Tensor]:
            image = _decode(encoded, model.spec.image_bits)
            return {name: x[0] for name, x in predict(image[tf.newaxis]).items()}

        signatures = {"serving_default": predict, ENCODED: predict_encoded}
        with tempfile.TemporaryDirectory() as folder:
            classes = os.path.join(folder, "classes.json")
            model.spec.write(classes)
            module.classes = tf.saved_model.Asset(classes)
            tf.saved_model.save(module, path, signatures)

    def read(self, path: str, model: Segmenter) -> Reader:
        loaded = tf.saved_model.load(path)

        def predict(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            images = tf.constant(image[np.newaxis])
            outputs = loaded.signatures["serving_default"](images=images)
            return outputs["masks"][0].numpy(), outputs["probabilities"][0].numpy()

        return predict


def _decode(encoded: tf.Tensor, image_bits: Optional[int]) -> tf.Tensor:
    """Decodes a JPEG or PNG, scalar string: [height, width, 3], uint8."""
    image = tf.cond(
        tf.strings.substr(encoded, 0, len(_PNG)) == _PNG,
        lambda: _decode_png(encoded, image_bits),
        lambda: tf.io.decode_image(encoded, 3, expand_animations=False),
    )
    return tf.ensure_shape(image, [None, None, 3])


def _decode_png(encoded: tf.Tensor, image_bits: Optional[int]) -> tf.Tensor:
    """Decodes like `bit_depth.to_8_bits` and Pillow's `alpha_composite` on white."""
    stored_bits = tf.io.decode_raw(tf.strings.substr(encoded, _DEPTH_AT, 1), tf.uint8)
    stored_bits = tf.cast(stored_bits[0], tf.int32)
    is_deep = stored_bits > 8
    # TensorFlow multiplies 8-bit values by 257.
    numbers = tf.cast(tf.io.decode_png(encoded, 4, tf.uint16), tf.int32)
    colors, alpha = numbers[..., :3], numbers[..., 3:] // 2**8
    # For opaque images with less than 8 bits, TensorFlow's alpha is at most this value.
    opaque = 2 ** tf.minimum(stored_bits, 8) - 1
    alpha = tf.where(tf.reduce_all(alpha == opaque), 255, alpha)
    highest = tf.reduce_max(colors)
    bits = image_bits or bit_depth.MAX_BITS
    fits = [
        tf.debugging.Assert(
            tf.logical_not(is_deep) | (highest < 2**bits),
            [f"The PNG holds numbers above {2**bits - 1}, the maximum of {bits} bits."],
        )
    ]
    if image_bits is None:
        fits.append(
            tf.debugging.Assert(
                tf.logical_not(is_deep) | (highest >= 2 ** (bit_depth.MAX_BITS - 1)),
                ["The PNG has 16 bits, but is dark. Convert it to 8 bits."],
            )
        )
    with tf.control_dependencies(fits):
        colors //= tf.where(is_deep, 2 ** (bits - 8), 2**8)
    # Pillow's integer arithmetic for an opaque background.
    blended = 128 * (colors * alpha + 255 * (255 - alpha) + 128)
    return tf.cast((blended + blended // 2**8) // 2**15, tf.uint8)
