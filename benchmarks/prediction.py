"""Measures the prediction of a photo, from file to file, and of the network alone.

    python -m benchmarks.prediction
    python -m benchmarks.prediction --sizes 375x500 3000x4000 --sliding_window

reads a synthetic photo (JPEG), predicts it, and writes its mask (PNG) and overlay
(JPEG) like `python -m wss.predict`; for comparison it measures prediction alone. All
cases take turns, each in its own process with its own peak memory.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import measuring


def make_prediction(
    folder: str,
    size: Sequence[int],
    variant: str,
    crop: int,
    classes: int,
    window: str,
    whole_way: bool,
) -> Callable[[], Any]:
    """A function that predicts a photo; for `measuring.measure`."""
    from wss.data.datasets.spec import pascal_palette
    from wss.evaluation.predictor import Predictor
    from wss.evaluation.segmenter import read_image
    from wss.image_io import writing
    from wss.models import networks
    from wss.models.backbone import mean_pixel

    model = networks.create(classes, variant, 16)
    predictor = Predictor(model, (crop, crop), mean_pixel(variant), window=window)
    palette = pascal_palette(classes)
    path = os.path.join(folder, f"{os.getpid()}")
    write_photo(f"{path}.jpg", size)
    image = read_image(f"{path}.jpg")

    def predict():
        return predictor.labels(image).numpy()

    def run():
        photo = read_image(f"{path}.jpg")
        labels = predictor.labels(photo).numpy().astype(np.uint8)
        for ending, content in (
            ("mask.png", writing.mask(labels, palette)),
            ("overlay.jpg", writing.overlay(photo, labels, palette)),
        ):
            with open(f"{path}_{ending}", "wb") as file:
                file.write(content)
        return labels

    return run if whole_way else predict


def write_photo(path: str, size: Sequence[int]) -> None:
    """Writes a synthetic photo of the given height and width: blobs of color."""
    coarse = np.random.default_rng(0).integers(0, 256, [9, 13, 3], np.uint8)
    Image.fromarray(coarse).resize(size[::-1], Image.BICUBIC).save(path, quality=90)


def parse_size(text: str) -> tuple[int, int]:
    """ "375x500" -> (375, 500)."""
    try:
        height, width = map(int, text.split("x"))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HEIGHTxWIDTH, such as 375x500"
        ) from None
    return height, width


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--variant", default="xception_65")
    parser.add_argument("--crop", type=int, default=513, help="EVAL_CROP_SIZE")
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument(
        "--sizes",
        nargs="+",
        type=parse_size,
        default=[(375, 500), (3000, 4000)],
        metavar="HEIGHTxWIDTH",
    )
    parser.add_argument(
        "--sliding_window",
        action="store_true",
        help="predict in windows of the crop's size",
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", default="runs/prediction.json")
    flags = parser.parse_args()
    case = {name: getattr(flags, name) for name in ("variant", "crop", "classes")}
    case["window"] = "sliding" if flags.sliding_window else "whole"
    with tempfile.TemporaryDirectory() as folder:
        cases = {
            f"{height} x {width}, {what}": dict(
                case, folder=folder, size=(height, width), whole_way=whole_way
            )
            for height, width in flags.sizes
            for what, whole_way in (("prediction", False), ("file to files", True))
        }
        found = measuring.measure(make_prediction, cases, flags.repeats)
    columns = {"s": "seconds", "CPU s": "cpu_seconds", "peak GB": "gigabytes"}
    measuring.report(found, columns, flags.output, "photo")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
