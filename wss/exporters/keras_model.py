"""Keras' file format: the `Segmenter` with its weights."""

import tensorflow as tf

from wss.evaluation.segmenter import Segmenter
from wss.exporters.base import Format, Reader, from_segmenter


class KerasModel(Format):
    """One file for `tf.keras.models.load_model`; loading it needs wss."""

    file_name = "model.keras"

    def write(self, model: Segmenter, path: str, step: int) -> None:
        model.save(path)

    def read(self, path: str, model: Segmenter) -> Reader:
        return from_segmenter(tf.keras.models.load_model(path))
