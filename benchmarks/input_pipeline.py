"""Measures the input pipeline: images per second of wall-clock time and of CPU time.

    python -m benchmarks.input_pipeline
    python -m benchmarks.input_pipeline --data_dir=data/voc --labeled=1-16 \\
        --unlabeled=train_aug --dataset=voc

prepares batches as training does (reading, decoding, scaling, cropping, colors) and
discards them: first of labeled images only, then of labeled images with as many pairs
of weak and strong views. The difference is the cost of the pairs. Without --data_dir
the photos are synthetic: 480 x 360, JPEG.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from typing import Any, Optional

from benchmarks import convert, measuring

_PHOTOS = 64


def make_input(
    data_dir: str,
    labeled: str,
    unlabeled: Optional[str],
    crop: int,
    batch: int,
    batches: int,
    dataset: Optional[str] = None,
) -> Callable[[], Any]:
    """A function that prepares some batches; for `measuring.measure`."""
    from wss.data import datasets, input_pipeline

    spec = datasets.get(dataset, data_dir) if dataset else convert.SPEC
    taken = iter(
        input_pipeline.training_batches(
            input_pipeline.Split(data_dir, labeled),
            input_pipeline.Split(data_dir, unlabeled) if unlabeled else None,
            spec=spec,
            crop_size=(crop, crop),
            batch_size=batch,
        )
    )

    def run():
        for _ in range(batches):
            next(taken)

    return run


def write_photos(where: str) -> None:
    """Writes synthetic photos with masks as the split "train"."""
    os.makedirs(os.path.join(where, "photos"))
    items = convert.make_pictures(os.path.join(where, "photos"), _PHOTOS)
    convert.convert(items, where, workers=1)


def report(found: dict[str, dict[str, Any]], images: int) -> None:
    """Prints the rates, and adds them to `found`.

    Args:
      found: results for "labeled" and "labeled, weak + strong".
      images: number of labeled images in a timed call.
    """
    keys = ("seconds", "cpu_seconds")
    alone, both = ([case[key] for key in keys] for case in found.values())
    rows = [
        ("labeled images", *alone),
        ("weak + strong pairs", *(b - a for a, b in zip(alone, both))),
        ("all together", *both),
    ]
    rates = {
        name: {"per_second": images / clock, "per_cpu_second": images / cpu}
        for name, clock, cpu in rows
    }
    table = [[name, *rate.values()] for name, rate in rates.items()]
    measuring.print_table(["", "images/s", "images/CPU s"], table)
    found["rates"] = rates


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data_dir", help="folder with shards (default: synthetic data)"
    )
    parser.add_argument("--labeled", default="train", help="split")
    parser.add_argument("--unlabeled", default="train", help="split")
    parser.add_argument("--dataset", help="name of the data set, for --data_dir")
    parser.add_argument("--crop", type=int, default=513)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--batches", type=int, default=8, help="number per timed call")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", default="runs/input_pipeline.json")
    flags = parser.parse_args()
    case = {name: getattr(flags, name) for name in ("crop", "batch", "batches")}
    with tempfile.TemporaryDirectory() as made_up:
        if not flags.data_dir:
            write_photos(made_up)
        case["data_dir"] = flags.data_dir or made_up
        case.update(dataset=flags.dataset, labeled=flags.labeled, unlabeled=None)
        cases = {
            "labeled": case,
            "labeled, weak + strong": {**case, "unlabeled": flags.unlabeled},
        }
        # One after the other: prefetching of one case would slow down the others.
        found = measuring.measure(make_input, cases, flags.repeats, together=False)
    report(found, flags.batch * flags.batches)
    measuring.write_json(flags.output, {"cases": found})


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
