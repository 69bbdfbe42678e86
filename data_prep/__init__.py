"""Data sets as their publishers ship them -> TFRecord shards."""

import os

# TensorFlow only writes files here; what it says while loading would hide the one line
# that tells a user what is wrong.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import wss  # noqa: F401  (prepares the environment before TensorFlow is imported)
