"""TensorFlow Lite: one file for phones and small devices."""

import contextlib
import os
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from wss.errors import UserError
from wss.evaluation.segmenter import Segmenter
from wss.exporters.base import Format, Reader, keep_variables


class TFLite(Format):
    """The network alone, for one image of the crop's size.

    Its signature takes `images`, float32 [1, *crop_size, 3] in 0..255, and returns
    `probabilities`, float32 [1, *crop_size, classes]. It does not decode, shrink or pad
    images.
    """

    file_name = "model.tflite"

    def write(self, model: Segmenter, path: str, step: int) -> None:
        self._check(model)
        predictor = model.predictor
        shape = [1, *predictor.crop_size, 3]

        @tf.function(
            input_signature=[tf.TensorSpec(shape, tf.float32, "images")],
            autograph=False,
        )
        def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"probabilities": predictor.predict_crops(images)}

        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [predict.get_concrete_function()], keep_variables(model)
        )
        self._configure(converter)
        try:
            with _quiet():
                content = converter.convert()
        except Exception as error:  # Of any type; the first line has the information.
            raise UserError(
                f"TensorFlow Lite cannot convert {model.network.variant} "
                f"({(str(error).strip() or type(error).__name__).splitlines()[0]}). "
                "Leave tflite out of --formats."
            ) from error
        with open(path, "wb") as file:
            file.write(content)

    def read(self, path: str, model: Segmenter) -> Reader:
        with _quiet():
            interpreter = tf.lite.Interpreter(model_path=path)
            run = interpreter.get_signature_runner()

        def predict(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            padded = model.predictor.padded(tf.constant(image[np.newaxis]))
            height, width = image.shape[:2]
            with _quiet():
                outputs = run(images=padded.numpy())
            probabilities = outputs["probabilities"][0, :height, :width]
            return np.argmax(probabilities, -1), probabilities

        return predict

    def seen(self, model: Segmenter, image: np.ndarray) -> np.ndarray:
        return model.predictor.fitted(image).numpy()

    def note(self, model: Segmenter) -> str:
        height, width = model.predictor.crop_size
        color = ", ".join(f"{value:g}" for value in model.predictor.padding_value)
        return (
            f"takes one image of {height} x {width}, float32 in 0..255, padded at the "
            f"bottom and on the right with ({color}); rotate photos upright and "
            "shrink larger ones first"
        )

    def _check(self, model: Segmenter) -> None:
        if not hasattr(tf, "lite"):
            raise UserError(
                f"TensorFlow {tf.__version__} no longer has tf.lite. Export a "
                "SavedModel and convert it."
            )
        if model.network.compute_dtype != "float32":
            raise UserError(
                "TensorFlow Lite computes in float32, but the network was trained with "
                f"{model.network.dtype_policy.name}. Export it with "
                "--gin_bindings=\"PRECISION = 'float32'\"."
            )

    def _configure(self, converter: tf.lite.TFLiteConverter) -> None:
        """Sets converter options; here none: weights stay float32."""


class TFLiteFloat16(TFLite):
    """The same, with weights rounded to float16."""

    file_name = "model_float16.tflite"
    tolerance = 0.05

    def _configure(self, converter: tf.lite.TFLiteConverter) -> None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses what the converter's C++ code writes to standard error, regardless of
    TensorFlow's log level."""
    stderr = os.dup(2)
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
