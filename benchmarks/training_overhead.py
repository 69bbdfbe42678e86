"""Measures the overhead of checkpoints and summaries, as a share of the step time.

    python -m benchmarks.training_overhead --gin_file=gin_configs/shapes.gin

runs the first training steps in a temporary folder. Every --interval steps it writes
curves, images and a checkpoint, and measures each. The cost is then divided by the
interval in the gin file. The script prints a table of medians and writes it as JSON.
The time that the step itself spends on summaries counts as step time.
"""

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional
from unittest import mock

Seconds = dict[str, list[float]]

# What the loop does besides the steps.
_PARTS = ("curves", "histograms, pictures", "checkpoint")


@contextlib.contextmanager
def measured(interval: int) -> Iterator[tuple[Seconds, dict[str, int]]]:
    """Within this context, a run does everything every `interval` steps, timed.

    Yields:
      Seconds by part, including "step"; the configured intervals by part, once it has
      run.
    """
    from wss.run_folder import checkpoints
    from wss.training import loop, summaries

    seconds: Seconds = {name: [] for name in ("step", *_PARTS)}
    intervals: dict[str, int] = {}
    schedule_class = loop.Schedule

    def timed(owner: Any, attribute: str, part: str, divisor: int = 1) -> Any:
        original = getattr(owner, attribute)

        def call(*arguments: Any) -> Any:
            start = time.perf_counter()
            result = original(*arguments)
            seconds[part].append((time.perf_counter() - start) / divisor)
            return result

        return mock.patch.object(owner, attribute, call)

    def often(total_steps: int, **settings: int) -> Any:
        configured = (settings["log"], settings["images"], settings["checkpoint"])
        intervals.update(zip(_PARTS, configured))
        for name in ("log", "images", "checkpoint"):
            settings[name] = interval
        return schedule_class(total_steps, **{**settings, "steps_per_loop": interval})

    with contextlib.ExitStack() as stack:
        for patch in (
            mock.patch.object(loop, "Schedule", often),
            timed(loop, "_take_steps", "step", interval),
            timed(summaries.Progress, "log", "curves"),
            timed(summaries.Progress, "draw", "histograms, pictures"),
            timed(checkpoints.Checkpoints, "save", "checkpoint"),
        ):
            stack.enter_context(patch)
        yield seconds, intervals


def shares(
    seconds: Mapping[str, Sequence[float]], intervals: Mapping[str, int]
) -> dict[str, dict[str, float]]:
    """By part: median in seconds, interval in steps, and share of the step time.

    Args:
      seconds: measured times of each part and of a "step".
      intervals: interval in steps, by part.
    """
    step = statistics.median(seconds["step"])
    lines = {}
    for part, interval in intervals.items():
        median = statistics.median(seconds[part])
        lines[part] = {
            "seconds": median,
            "interval": interval,
            "share": median / (interval * step),
        }
    return lines


def main(arguments: Optional[Sequence[str]] = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gin_file", default="gin_configs/shapes.gin")
    parser.add_argument("--gin_bindings", action="append", default=[], metavar="X = y")
    parser.add_argument("--interval", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--output", default="runs/training_overhead.json")
    flags = parser.parse_args(arguments)
    from wss import config, runs
    from wss.training import fitting

    # One more round, because the first one builds graphs.
    steps = flags.interval * (flags.repeats + 1)
    bindings = [*flags.gin_bindings, f"TRAIN_STEPS = {steps}"]
    config.load([flags.gin_file], bindings, fitting.chooser([]))
    with tempfile.TemporaryDirectory() as model_dir, measured(flags.interval) as found:
        runs.run("train", model_dir)
    seconds, intervals = found
    seconds = {part: times[-flags.repeats :] for part, times in seconds.items()}
    lines = shares(seconds, intervals)
    print(f"a step: {statistics.median(seconds['step']):.3f} s")
    print(f"{'':22}{'seconds':>10}{'every':>8}{'share':>8}")
    for part, line in lines.items():
        print(
            f"{part:22}{line['seconds']:10.3f}{line['interval']:8}{line['share']:8.2%}"
        )
    print(f"{'all':40}{sum(line['share'] for line in lines.values()):8.2%}")
    os.makedirs(os.path.dirname(flags.output) or ".", exist_ok=True)
    with open(flags.output, "w", encoding="utf-8") as file:
        json.dump({"parts": lines, "seconds": seconds}, file, indent=2)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
