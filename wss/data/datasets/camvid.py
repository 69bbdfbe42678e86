"""CamVid with the 11 classes of the public benchmark, in SegNet's order; no background.

Void pixels have the ignore label.
"""

from wss.data.datasets.spec import DatasetSpec

SPEC = DatasetSpec(
    name="camvid",
    class_names=(
        "sky",
        "building",
        "pole",
        "road",
        "pavement",
        "tree",
        "sign",
        "fence",
        "car",
        "pedestrian",
        "bicyclist",
    ),
    palette=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    split_sizes={"train": 367, "val": 101, "test": 233},
)
