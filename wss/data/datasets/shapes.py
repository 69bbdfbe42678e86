"""Synthetic shapes, drawn by `python -m data_prep.shapes`: 4 classes and background."""

from wss.data.datasets.spec import DatasetSpec

SPEC = DatasetSpec(
    name="shapes",
    class_names=("background", "disk", "square", "triangle", "star"),
)
