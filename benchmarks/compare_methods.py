"""Compares the methods with the same labels, steps, network and images.

    python -m data_prep.shapes --output_dir=data/shapes
    python -m benchmarks.compare_methods --data_set=shapes
    python -m benchmarks.compare_methods --data_set=shapes --ablation

trains every method with several seeds and the same number of steps, each with its own
gin file, and writes a table and a chart into docs/. With --ablation it trains variants
of PseudoSeg. Finished runs are not repeated: after an interruption, the same command
continues.

gin_configs/base/camvid.gin describes how to prepare CamVid; prepare a split `test` in
the same way. docs/datasets.md describes MSRC-21 and the pets. The best checkpoint is
selected on `val`, and the table shows `test`. The shapes, MSRC-21 and the pets only
have `val`, so their best score is slightly optimistic, as it is with --test_split=val.
"""

import argparse
import concurrent.futures
import dataclasses
import functools
import json
import math
import os
import re
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Optional

# The folder of a method's gin files.
METHODS = {
    "supervised": "supervised/",
    "FixMatch": "fixmatch/",
    "PseudoSeg": "",
    "U2PL": "u2pl/",
    "UniMatch": "unimatch/",
    "UniMatch V2": "unimatch_v2/",
}
_PAPER = ("fuse.decoder_weight = 0.5", "fuse.normalize_over = 'batch'")
_EQUAL = ("fuse.decoder_weight = 0.5", "fuse.normalize_over = 'none'")
ABLATION = {
    "PseudoSeg": (),  # As in its gin file; trained by the comparison too.
    "decoder only": ("PseudoSeg.use_attention = False",),
    "CAM only": ("fuse.source = 'attention'",),
    "average without normalization": _EQUAL,
    "average, normalized (the paper's)": _PAPER,
    "the paper's, without sharpening": (*_PAPER, "fuse.temperature = 1.0"),
}
_EVALUATIONS = 8  # During a run.


@dataclasses.dataclass(frozen=True)
class Study:
    """A data set for the comparison.

    Attributes:
      gin_file: name of the gin files.
      test_split: what the table shows.
      steps: of each run.
    """

    gin_file: str
    test_split: str
    steps: int


STUDIES = {
    "shapes": Study("shapes", "val", 1500),
    "camvid": Study("camvid_1-8", "test", 1500),
    "msrc": Study("msrc_40", "val", 600),
    "pets": Study("pets_40", "val", 300),
}


@dataclasses.dataclass(frozen=True)
class Training:
    """One row of the table with one seed."""

    row: str
    seed: int
    gin_file: str
    bindings: Sequence[str]
    model_dir: str


def plan(flags: argparse.Namespace) -> list[Training]:
    """All runs, ordered by seed."""
    study = STUDIES[flags.data_set]
    rows = {name: (folder, ()) for name, folder in METHODS.items()}
    if flags.ablation:
        rows = {name: ("", bindings) for name, bindings in ABLATION.items()}
    rows = {name: row for name, row in rows.items() if name in (flags.rows or rows)}
    shared = [
        f"DATA_DIR = {os.path.abspath(flags.data_dir)!r}",
        f"TRAIN_STEPS = {flags.steps}",
        f"EVAL_INTERVAL = {math.ceil(flags.steps / _EVALUATIONS)}",
        f"CHECKPOINT_INTERVAL = {max(1, flags.steps // 4)}",
        "run_training.keep_checkpoints = 1",
        *flags.gin_bindings,
    ]
    return [
        Training(
            name,
            seed,
            f"gin_configs/{folder}{study.gin_file}.gin",
            [*shared, f"SEED = {seed}", *bindings],
            os.path.join(flags.output_dir, flags.data_set, _slug(name), str(seed)),
        )
        for seed in flags.seeds
        for name, (folder, bindings) in rows.items()
    ]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def train(training: Training, test_split: str, threads: Optional[int]) -> None:
    """Trains, and evaluates the last and the best checkpoint on the test split.

    Raises:
      RuntimeError: the run failed.
    """
    model_dir = f"--model_dir={training.model_dir}"
    bindings = [f"--gin_bindings={binding}" for binding in training.bindings]
    gin_file = f"--gin_file={training.gin_file}"
    _run(training, threads, "wss.train", gin_file, model_dir, *bindings)
    split = f"--gin_bindings=EVAL_SPLIT = {test_split!r}"
    for checkpoint in ("best", "latest"):
        if _evaluation(training.model_dir, test_split, checkpoint) is None:
            flag = f"--checkpoint={checkpoint}"
            _run(training, threads, "wss.eval", model_dir, flag, split)
    print(f"{training.row}, seed {training.seed}: {training.model_dir}", flush=True)


def _run(training: Training, threads: Optional[int], *command: str) -> None:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if threads:
        for pool in ("INTRAOP", "INTEROP"):
            environment[f"TF_NUM_{pool}_THREADS"] = str(threads)
    os.makedirs(training.model_dir, exist_ok=True)
    path = os.path.join(training.model_dir, "log.txt")
    with open(path, "a", encoding="utf-8") as log:
        process = subprocess.run(
            [sys.executable, "-m", *command],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            check=False,
        )
    if process.returncode:
        with open(path, encoding="utf-8") as log:
            said = log.read().splitlines()[-1:]
        raise RuntimeError("\n".join([f"{command[0]} failed; see {path}", *said]))


def _read(model_dir: str, name: str) -> Any:
    with open(os.path.join(model_dir, name), encoding="utf-8") as file:
        return json.load(file)


def _evaluation(
    model_dir: str, test_split: str, checkpoint: str
) -> Optional[Mapping[str, Any]]:
    """The evaluation of the "latest" or "best" checkpoint on the test split."""
    record = _read(model_dir, "run.json")
    step = record["steps"] if checkpoint == "latest" else record["best"]["step"]
    for one in _read(model_dir, "evaluations.json"):
        if (one["step"], one["split"]) == (step, test_split):
            return one
    return None


def seconds_per_step(model_dir: str) -> float:
    """The median over the run."""
    from wss.run_folder import event_files

    folder = os.path.join(model_dir, "train")
    points = event_files.read_curves(folder, event_files.PERFORMANCE)
    return statistics.median(value for _, value in points["seconds_per_step"])


def collect(trainings: Sequence[Training], test_split: str) -> list[dict[str, Any]]:
    """The rows of the table: name, scores in percent, curves and times by seed."""
    rows: dict[str, dict[str, Any]] = {}
    for training in trainings:
        last, best = (
            _evaluation(training.model_dir, test_split, checkpoint)
            for checkpoint in ("latest", "best")
        )
        networks = {training.row: "mean_iou"}
        if "student" in last:
            networks[f"{training.row}, student"] = "student"
        evaluations = _read(training.model_dir, "evaluations.json")
        seconds = seconds_per_step(training.model_dir)
        for name, key in networks.items():
            row = rows.setdefault(
                name, dict(name=name, last=[], best=[], seconds=[], curves=[])
            )
            row["last"].append(100 * last[key])
            row["best"].append(100 * best[key])
            row["seconds"].append(seconds)
            # The curve shows the split that was evaluated during training.
            split = evaluations[0]["split"]
            row["curves"].append(
                [(e["step"], 100 * e[key]) for e in evaluations if e["split"] == split]
            )
    return list(rows.values())


def table(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """A Markdown table of mean and standard deviation over the seeds."""
    lines = [f"| {title} | last | best | s/step |", "| --- | --- | --- | --- |"]
    for row in rows:
        last, best = _mean_and_deviation(row["last"]), _mean_and_deviation(row["best"])
        seconds = statistics.median(row["seconds"])
        lines.append(f"| {row['name']} | {last} | {best} | {seconds:.2f} |")
    return "\n".join(lines)


def _mean_and_deviation(values: Sequence[float]) -> str:
    if len(values) == 1:
        return f"{values[0]:.1f}"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def mean_curve(curves: Sequence[Sequence[tuple[int, float]]]) -> list:
    """The mean over the seeds at each step."""
    points: dict[int, list[float]] = {}
    for step, value in (point for curve in curves for point in curve):
        points.setdefault(step, []).append(value)
    return [(step, statistics.mean(values)) for step, values in sorted(points.items())]


def insert(document: str, name: str, text: str) -> str:
    """Replaces the text between the two markers of a name, or appends it."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    block = f"{begin}\n{text}\n{end}"
    pattern = re.compile(f"{re.escape(begin)}.*?{re.escape(end)}", re.DOTALL)
    if pattern.search(document):
        return pattern.sub(lambda _: block, document)
    return f"{document.rstrip()}\n\n{block}\n".lstrip()


def report(rows: Sequence[Mapping[str, Any]], flags: argparse.Namespace) -> None:
    """Prints the table; writes it as JSON, and with a chart into the docs."""
    kind = "ablation" if flags.ablation else "methods"
    name = f"{flags.data_set}_{kind}"
    text = table(rows, "pseudo labels" if flags.ablation else "method")
    seeds = ", ".join(map(str, flags.seeds))
    caption = f"mIoU (%) on `{flags.test_split}`, {flags.steps} steps, seeds {seeds}."
    text = f"{caption}\n\n{text}"
    print(text)
    with open(os.path.join(flags.output_dir, f"{name}.json"), "w") as file:
        json.dump(list(rows), file, indent=2)
    if flags.docs:
        from wss.visualization import figures

        chart = os.path.join("pictures", f"{name}.svg")
        os.makedirs(os.path.join(flags.docs, "pictures"), exist_ok=True)
        curves = {row["name"]: mean_curve(row["curves"]) for row in rows}
        figure = figures.curves(curves, "step", "mIoU (%)")
        with open(os.path.join(flags.docs, chart), "w", encoding="utf-8") as file:
            file.write(figures.svg(figure, name, background="white"))
        path = os.path.join(flags.docs, "results.md")
        document = ""
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                document = file.read()
        with open(path, "w", encoding="utf-8") as file:
            file.write(insert(document, name, f"{text}\n\n![mIoU by step]({chart})"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data_set", choices=STUDIES, default="shapes")
    parser.add_argument("--data_dir", help="(default: data/<data set>)")
    parser.add_argument(
        "--test_split", help="split of the table (default: val; camvid: test)"
    )
    parser.add_argument(
        "--ablation", action="store_true", help="compare variants of PseudoSeg"
    )
    parser.add_argument(
        "--rows", nargs="+", choices={**METHODS, **ABLATION}, help="(default: all)"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--steps", type=int, help="(default: as in docs/results.md)")
    parser.add_argument(
        "--jobs",
        type=int,
        default=1,
        help="number of parallel runs; they share the cores",
    )
    parser.add_argument("--gin_bindings", action="append", default=[], metavar="X = y")
    parser.add_argument("--output_dir", default="runs/compare_methods")
    parser.add_argument(
        "--docs", default="docs", help="folder of the docs; empty: do not change them"
    )
    flags = parser.parse_args()
    study = STUDIES[flags.data_set]
    flags.data_dir = flags.data_dir or f"data/{flags.data_set}"
    flags.steps = flags.steps or study.steps
    flags.test_split = flags.test_split or study.test_split
    trainings = plan(flags)
    threads = max(1, (os.cpu_count() or 1) // flags.jobs) if flags.jobs > 1 else None
    run = functools.partial(train, test_split=flags.test_split, threads=threads)
    with concurrent.futures.ThreadPoolExecutor(flags.jobs) as pool:
        running = [pool.submit(run, training) for training in trainings]
        try:
            for future in concurrent.futures.as_completed(running):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    report(collect(trainings, flags.test_split), flags)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
