"""Measures whether `wss.predict --rank` finds photos that are better to label.

    python -m benchmarks.label_next
    python -m benchmarks.label_next --gin_file=u2pl/shapes.gin --seeds 0 1 2

For each seed it draws labels at random on the synthetic shapes, trains, and ranks the
other training images with the command. It then trains again with as many more labels,
once the most uncertain images and once random ones, and compares the mean IoU on `val`.
Finished steps are not repeated: after an interruption, the same command continues.
"""

import argparse
import csv
import functools
import os
import statistics
import sys
from collections.abc import Sequence

import numpy as np

from benchmarks import compare_methods
from data_prep import shapes
from data_prep.writer import Writer
from wss import predict

_DRAWN = {"seed": 0, "difficulty": shapes.Difficulty()}
_READ = functools.partial(shapes.read, **_DRAWN)


def main() -> None:
    flags = _parser().parse_args()
    data_dir = os.path.join(flags.output_dir, "data")
    writer = Writer(data_dir)
    shapes.write(writer, flags.num_images, flags.num_val, **_DRAWN)
    rows = [measure(seed, writer, flags) for seed in flags.seeds]
    print(report(rows, flags.labels))


def measure(
    seed: int, writer: Writer, flags: argparse.Namespace
) -> tuple[float, float, float]:
    """Mean IoU in percent of a seed: before, with chosen and with random labels."""
    generator = np.random.default_rng(seed)
    first, others = drawn(range(flags.num_images), flags.labels, generator)
    random, _ = drawn(others, flags.labels, generator)
    names = {part: f"{part}_{seed}" for part in ("first", "chosen", "random")}
    _write(writer, names["first"], first)
    before = _train([names["first"]], seed, flags, writer.output_dir)
    ranking = rank(before, others, os.path.join(flags.output_dir, names["first"]))
    _write(writer, names["chosen"], ranking[: flags.labels])
    _write(writer, names["random"], random)
    after = [
        _train([names["first"], names[part]], seed, flags, writer.output_dir)
        for part in ("chosen", "random")
    ]
    return tuple(100 * _mean_iou(model_dir) for model_dir in (before, *after))


def drawn(
    images: Sequence[int], count: int, generator: np.random.Generator
) -> tuple[list[int], list[int]]:
    """Draws `count` images at random; returns them and the others, both sorted."""
    order = generator.permutation(images).tolist()
    return sorted(order[:count]), sorted(order[count:])


def rank(model_dir: str, images: Sequence[int], folder: str) -> list[int]:
    """The images in the order of `wss.predict --rank`.

    Args:
      model_dir: folder of the run.
      images: numbers of the images.
      folder: for the photos and the results.
    """
    photos, output_dir = (os.path.join(folder, n) for n in ("photos", "ranked"))
    os.makedirs(photos, exist_ok=True)
    for image in images:
        example = _READ(image)
        with open(os.path.join(photos, f"{image:07d}.jpg"), "wb") as file:
            file.write(example.image)
    status = predict.main(
        [
            f"--model_dir={model_dir}",
            f"--images={photos}",
            f"--output_dir={output_dir}",
            "--no_overlays",
            "--rank",
        ]
    )
    if status:
        raise RuntimeError(f"wss.predict ended with status {status}")
    with open(os.path.join(output_dir, "ranking.csv"), encoding="utf-8") as file:
        paths = [row["photo"] for row in csv.DictReader(file)]
    return [int(os.path.splitext(os.path.basename(path))[0]) for path in paths]


def report(rows: Sequence[tuple[float, float, float]], labels: int) -> str:
    """A table with a row for each seed, and the conclusion."""
    names = (f"{labels} labels", f"+ {labels} chosen", f"+ {labels} random")
    lines = [f"| {' | '.join(names)} |", "| --- | --- | --- |"]
    lines += [f"| {' | '.join(f'{value:.1f}' for value in row)} |" for row in rows]
    chosen, random = (statistics.mean(row[i] for row in rows) for i in (1, 2))
    beats = "beat" if chosen > random else "did not beat"
    lines.append(
        f"{labels} chosen labels {beats} {labels} random ones in the mean of "
        f"{len(rows)} seeds: mIoU {chosen:.1f} and {random:.1f}."
    )
    return "\n".join(lines)


def _write(writer: Writer, split: str, images: Sequence[int]) -> None:
    options = {"images": list(images), "seed": _DRAWN["seed"]}
    writer.write_split(split, shapes.SPEC, sorted(images), _READ, options=options)


def _train(
    splits: Sequence[str], seed: int, flags: argparse.Namespace, data_dir: str
) -> str:
    """Trains with the labels of some splits; returns the folder of the run."""
    model_dir = os.path.join(flags.output_dir, "runs", "+".join(splits))
    bindings = [
        f"DATA_DIR = {os.path.abspath(data_dir)!r}",
        f"LABELED_SPLIT = {'+'.join(splits)!r}",
        f"TRAIN_STEPS = {flags.steps}",
        f"SEED = {seed}",
    ]
    training = compare_methods.Training(
        splits[-1], seed, flags.gin_file, bindings, model_dir
    )
    compare_methods.train(training, "val", threads=None)
    return model_dir


def _mean_iou(model_dir: str) -> float:
    """Mean IoU of the last evaluation."""
    from wss.run_folder import results  # Late, so that --help is quick.

    return results.read_evaluations(model_dir)[-1]["mean_iou"]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("benchmarks.label_next", description=__doc__)
    parser.add_argument("--gin_file", default="supervised/shapes.gin")
    parser.add_argument("--output_dir", default="runs/label_next")
    parser.add_argument("--labels", type=int, default=32, help="drawn, then added")
    parser.add_argument("--num_images", type=int, default=2048, help="for training")
    parser.add_argument("--num_val", type=int, default=256, help="for evaluation")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    return parser


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
