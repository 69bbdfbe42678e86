"""Export formats for trained networks, one module for each kind of file."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wss.exporters.base import Format

# Modules are imported when they are used, so the names are available at no cost.
_PLACES = {
    "savedmodel": ("saved_model", "SavedModel"),
    "tflite": ("tflite", "TFLite"),
    "tflite_float16": ("tflite", "TFLiteFloat16"),
    "keras": ("keras_model", "KerasModel"),
    "tf1": ("tf1", "TF1Checkpoint"),
}
NAMES = tuple(_PLACES)


def create(name: str) -> "Format":
    """Creates a format by its name, one of `NAMES`."""
    module, format_class = _PLACES[name]
    return getattr(importlib.import_module(f"{__name__}.{module}"), format_class)()
