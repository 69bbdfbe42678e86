"""A trained network as files for other programs: one module for each kind of file."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wss.exporters.base import Format

# Where each format is. Only what is asked for is imported, and the names cost nothing.
_PLACES = {
    "savedmodel": ("saved_model", "SavedModel"),
    "tflite": ("tflite", "TFLite"),
    "tflite_float16": ("tflite", "TFLiteFloat16"),
    "keras": ("keras_model", "KerasModel"),
    "tf1": ("tf1", "TF1Checkpoint"),
}
NAMES = tuple(_PLACES)


def create(name: str) -> "Format":
    """The format of that name, one of `NAMES`."""
    module, format_class = _PLACES[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), format_class)()
