"""The feature keys of the records, which readers and the writer of records share.

They are those of the original project (and of the DeepLab code before it). The module
imports nothing, so that a process which only makes records need not load TensorFlow.
"""

ENCODED = "image/encoded"
FILENAME = "image/filename"
FORMAT = "image/format"
HEIGHT = "image/height"
WIDTH = "image/width"
CHANNELS = "image/channels"
LABEL_ENCODED = "image/segmentation/class/encoded"
LABEL_FORMAT = "image/segmentation/class/format"
CLASS_IDS = "image/class/label"
