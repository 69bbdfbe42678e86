"""Cityscapes with the 19 classes of its benchmark; no background.

All other pixels have the ignore label.
"""

from wss.data.datasets.spec import DatasetSpec

SPEC = DatasetSpec(
    name="cityscapes",
    # By train id.
    class_names=(
        "road",
        "sidewalk",
        "building",
        "wall",
        "fence",
        "pole",
        "traffic light",
        "traffic sign",
        "vegetation",
        "terrain",
        "sky",
        "person",
        "rider",
        "car",
        "truck",
        "bus",
        "train",
        "motorcycle",
        "bicycle",
    ),
    palette=(
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ),
    split_sizes={
        "train": 2975,
        "val": 500,
        "test": 1525,
        "train_extra": 19998,
        **{
            f"{protocol}_{share}": size
            for protocol in ("cps", "u2pl")
            for share, size in {
                "1-2": 1488,
                "1-4": 744,
                "1-8": 372,
                "1-16": 186,
            }.items()
        },
    },
)
