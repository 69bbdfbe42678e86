"""Measures how long an export takes, how large it is, and how fast it predicts.

    python -m benchmarks.export
    python -m benchmarks.export --variant resnet_v1_18_beta --crop 257 --formats tflite

writes each format, loads it as another program would, and predicts labels and
probabilities of one synthetic image of the crop's size. "wss" is the same network in
Python. `keras` and `tf1` are loaded into the same classes, which run one forward pass
for the labels and one for the probabilities. The formats take turns, each in its own
process.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import measuring
from wss import exporters

OURS = "wss"


def make_exported(
    folder: str, name: str, variant: str, crop: int, classes: int
) -> Callable[[], Any]:
    """A function that predicts with an export; for `measuring.measure`."""
    from wss.data.datasets.spec import DatasetSpec
    from wss.evaluation.predictor import Predictor
    from wss.evaluation.segmenter import Segmenter
    from wss.exporters import base
    from wss.models import networks
    from wss.models.backbone import mean_pixel

    network = networks.create(classes, variant, 16)
    predictor = Predictor(network, (crop, crop), mean_pixel(variant))
    spec = DatasetSpec("made_up", tuple(f"class_{i}" for i in range(classes)))
    model = Segmenter(predictor, spec)
    image = np.random.default_rng(0).integers(0, 256, [crop, crop, 3], np.uint8)
    facts = {"write_seconds": 0.0, "megabytes": 0.0}
    if name == OURS:
        predict = base.from_segmenter(model)
    else:
        kind = exporters.create(name)
        path = os.path.join(folder, kind.file_name)
        start = time.perf_counter()
        kind.write(model, path, step=0)
        facts["write_seconds"] = time.perf_counter() - start
        facts["megabytes"] = size(path) / 1e6
        predict = kind.read(path, model)
        image = kind.seen(model, image)

    def run():
        return predict(image)

    run.facts = facts
    return run


def size(path: str) -> int:
    """The size of a file or a folder in bytes."""
    if os.path.isfile(path):
        return os.path.getsize(path)
    return sum(size(entry.path) for entry in os.scandir(path))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="resnet_v1_18_beta")
    parser.add_argument("--crop", type=int, default=257, help="EVAL_CROP_SIZE")
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument(
        "--formats",
        nargs="+",
        choices=exporters.NAMES,
        default=list(exporters.NAMES),
        metavar="FORMAT",
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", default="runs/export.json")
    flags = parser.parse_args()
    case = {name: getattr(flags, name) for name in ("variant", "crop", "classes")}
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            name: dict(case, folder=folder, name=name)
            for name in (OURS, *flags.formats)
        }
        found = measuring.measure(make_exported, cases, flags.repeats)
    columns = {
        "s to write": "write_seconds",
        "MB": "megabytes",
        "s/image": "seconds",
        "CPU s/image": "cpu_seconds",
        "peak GB": "gigabytes",
    }
    measuring.report(found, columns, flags.output, "format")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
