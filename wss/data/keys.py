"""The feature keys of the records.

They are those of the original project (and of DeepLab's code). The module imports
nothing, so that a process that only writes records does not load TensorFlow.
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
