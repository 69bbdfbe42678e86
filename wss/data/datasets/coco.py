"""COCO 2017 instances as semantic classes: 80 classes and background."""

from wss.data.datasets.spec import DatasetSpec

# In the order of the annotation file's category ids, which have gaps (1..90).
_OBJECTS = (
    "person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, "
    "traffic light, fire hydrant, stop sign, parking meter, bench, bird, cat, dog, "
    "horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag, "
    "tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, "
    "baseball glove, skateboard, surfboard, tennis racket, bottle, wine glass, cup, "
    "fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, "
    "hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, "
    "toilet, tv, laptop, mouse, remote, keyboard, cell phone, microwave, oven, "
    "toaster, sink, refrigerator, book, clock, vase, scissors, teddy bear, "
    "hair drier, toothbrush"
)

SPEC = DatasetSpec(
    name="coco",
    class_names=("background", *_OBJECTS.split(", ")),
    split_sizes={
        "train": 118287,
        "val": 5000,
        "unlabeled": 123403,
        "1-32": 3697,
        "1-64": 1849,
        "1-128": 925,
        "1-256": 463,
        "1-512": 232,
    },
)
