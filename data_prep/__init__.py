"""Converts published data sets and your own images to TFRecord shards."""

import os

# TensorFlow only writes files here, and its startup messages would hide the one line
# about a user's mistake.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# wss prepares the environment before TensorFlow is imported.
from wss import interrupts  # noqa: E402, F401
