"""Data sets as their publishers ship them -> TFRecord shards."""

import os

# TensorFlow only writes files here, and its messages while loading would hide the one
# line about a user's mistake.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# wss prepares the environment before TensorFlow is imported.
from wss import interrupts  # noqa: E402, F401
