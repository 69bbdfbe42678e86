"""TensorFlow's SavedModel: everything between an image's bytes and its mask."""

import os
import tempfile
from typing import Dict, Tuple

import numpy as np
import tensorflow as tf

from wss.evaluation.segmenter import Segmenter
from wss.exporters.base import Format, Reader, keep_variables

ENCODED = "serving_encoded"


class SavedModel(Format):
    """A folder that needs TensorFlow, or TensorFlow Serving, alone.

    Signatures, both with the numbers of `Predictor`:

      serving_default: `images`, uint8 [batch, height, width, 3], any size -> `masks`,
        uint8 [batch, height, width], and `probabilities`, float32 [batch, height,
        width, classes].
      serving_encoded: `encoded`, a scalar string, the bytes of one JPEG or PNG -> the
        same of one image, without the batch.

    The classes lie in its assets, as classes.json.
    """

    file_name = "saved_model"

    def write(self, model: Segmenter, path: str, step: int) -> None:
        module = keep_variables(model)

        @tf.function(
            input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, "images")]
        )
        def predict(images: tf.Tensor) -> Dict[str, tf.Tensor]:
            labels, probabilities = model.predictor.predict_batch(images)
            return {"masks": tf.cast(labels, tf.uint8), "probabilities": probabilities}

        @tf.function(input_signature=[tf.TensorSpec([], tf.string, "encoded")])
        def predict_encoded(encoded: tf.Tensor) -> Dict[str, tf.Tensor]:
            image = tf.io.decode_image(encoded, 3, expand_animations=False)
            image = tf.ensure_shape(image, [None, None, 3])
            return {name: x[0] for name, x in predict(image[tf.newaxis]).items()}

        signatures = {"serving_default": predict, ENCODED: predict_encoded}
        with tempfile.TemporaryDirectory() as folder:
            classes = os.path.join(folder, "classes.json")
            model.spec.write(classes)
            module.classes = tf.saved_model.Asset(classes)
            tf.saved_model.save(module, path, signatures)

    def read(self, path: str, model: Segmenter) -> Reader:
        loaded = tf.saved_model.load(path)

        def predict(image: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
            images = tf.constant(image[np.newaxis])
            outputs = loaded.signatures["serving_default"](images=images)
            return outputs["masks"][0].numpy(), outputs["probabilities"][0].numpy()

        return predict
