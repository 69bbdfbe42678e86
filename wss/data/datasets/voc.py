"""PASCAL VOC 2012 semantic segmentation: 20 classes and background."""

from wss.data.datasets.spec import DatasetSpec

SPEC = DatasetSpec(
    name="voc",
    class_names=(
        "background",
        "aeroplane",
        "bicycle",
        "bird",
        "boat",
        "bottle",
        "bus",
        "car",
        "cat",
        "chair",
        "cow",
        "diningtable",
        "dog",
        "horse",
        "motorbike",
        "person",
        "pottedplant",
        "sheep",
        "sofa",
        "train",
        "tvmonitor",
    ),
    split_sizes={
        "train": 1464,
        "train_aug": 10582,
        "val": 1449,
        "1-2": 732,
        "1-4": 366,
        "1-8": 183,
        "1-16": 92,
    },
)
