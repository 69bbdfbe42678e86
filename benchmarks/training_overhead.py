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

# Methods of the trainer, by what they write.
_PARTS = {
    "_log": "curves",
    "_draw": "histograms, pictures",
    "_save": "checkpoint",
}
_INTERVALS = {
    "curves": "log_interval",
    "histograms, pictures": "image_interval",
    "checkpoint": "checkpoint_interval",
}


@contextlib.contextmanager
def measured(interval: int) -> Iterator[tuple[Seconds, list[Any]]]:
    """Within this context, a trainer writes everything every `interval` steps, timed.

    Yields:
      Seconds by part, including "step"; a list with the trainer, once it has run.
    """
    from wss.training import loop

    seconds: Seconds = {name: [] for name in ("step", *_PARTS.values())}
    trainers: list[Any] = []
    steps_end: list[float] = []

    def timed(attribute: str, part: str) -> Any:
        original = getattr(loop.Trainer, attribute)

        def call(self: Any, *arguments: Any) -> Any:
            start = time.perf_counter()
            result = original(self, *arguments)
            seconds[part].append(time.perf_counter() - start)
            return result

        return mock.patch.object(loop.Trainer, attribute, call)

    handle = loop.Trainer._handle_events

    def handle_events(self: Any, step: int, *arguments: Any, **options: Any) -> None:
        if steps_end:
            seconds["step"].append((time.perf_counter() - steps_end[-1]) / interval)
        handle(self, step, *arguments, **options)
        # The first call starts threads and builds graphs for writing.
        steps_end.append(time.perf_counter())
        trainers[:] = [self]

    def is_due(self: Any, step: int, _: int) -> bool:
        return step % interval == 0

    def steps_to_next(self: Any, step: int) -> int:
        return interval - step % interval

    replaced = {
        "_handle_events": handle_events,
        "_is_due": is_due,
        "_steps_to_next_event": steps_to_next,
    }
    with contextlib.ExitStack() as stack:
        for attribute, part in _PARTS.items():
            stack.enter_context(timed(attribute, part))
        for attribute, function in replaced.items():
            stack.enter_context(mock.patch.object(loop.Trainer, attribute, function))
        yield seconds, trainers


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

    # One more round, because the first one builds graphs.
    steps = flags.interval * (flags.repeats + 1)
    config.load([flags.gin_file], [*flags.gin_bindings, f"TRAIN_STEPS = {steps}"])
    with tempfile.TemporaryDirectory() as model_dir, measured(flags.interval) as found:
        runs.run("train", model_dir)
    seconds, (trainer,) = found
    seconds = {part: times[-flags.repeats :] for part, times in seconds.items()}
    intervals = {
        part: getattr(trainer, attribute) for part, attribute in _INTERVALS.items()
    }
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
