"""Kills trainings at random moments and compares them with those left alone.

    python -m tests.killed --times=20
    python -m tests.killed --times=20 --gin_bindings="get_strategy.logical_cpus = 2"
    python -m tests.killed --times=20 --gin_file=u2pl/shapes.gin \\
        --gin_bindings="U2PL.warm_up_steps = 10"

trains the synthetic shapes twice, once with so many interruptions, and compares
all variables, curves and evaluations to the bit.
"""

import argparse
import glob
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf
from tensorboard.backend.event_processing import plugin_event_accumulator

from wss.run_folder import checkpoints

# Curves of time and memory are not results.
_MEASURED = ("performance/", "monitors/images_per_second")


class Kills(NamedTuple):
    """How often a run was killed, and how often that damaged a checkpoint."""

    times: int
    torn: int


def run_killed(
    command: Sequence[str], folder: str, times: int, seconds: float, seed: int
) -> Kills:
    """Runs a command to its end and kills it on the way.

    Args:
      command: a run that regularly prints a line such as "step 3/80 ...".
      folder: folder of its checkpoints.
      times: how often to kill it; every fourth time while it writes a checkpoint.
      seconds: maximum delay after the first such line or, later, the next checkpoint.
      seed: determines the moments.
    """
    moments = random.Random(seed)
    killed = torn = 0
    while True:
        left = _unfinished(folder)  # From an earlier kill.
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with process:
            line = "start"
            while line and not re.match(r"step +\d+/", line):
                line = process.stdout.readline()
            if killed < times:
                time.sleep(moments.uniform(0.0, seconds))
                while killed % 4 == 3 and process.poll() is None:
                    if _unfinished(folder) - left:
                        break
                process.send_signal(signal.SIGKILL)
            process.stdout.read()
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0, process.returncode
            return Kills(killed, torn)
        killed += 1
        torn += bool(_unfinished(folder) - left)


def _unfinished(folder: str) -> set[str]:
    """TensorFlow's files of incomplete checkpoints."""
    return set(glob.glob(os.path.join(folder, "ckpt-*_temp")))


def differences(first: str, second: str) -> list[str]:
    """Differences between the results of two runs.

    Args:
      first: folder of an uninterrupted run.
      second: folder of a run that was killed. Its curves may have more points, for the
        first step of each start, but none twice.
    """
    found = []
    for find in (checkpoints.find_latest, checkpoints.find_best):
        one, other = (_variables(find(folder)) for folder in (first, second))
        found += [name for name in {*one, *other} if one.get(name) != other.get(name)]
    for part in ("train", "eval"):
        one, other = (_curves(os.path.join(d, part)) for d in (first, second))
        for tag in {*one, *other}:
            points, others = dict(one.get(tag, [])), dict(other.get(tag, []))
            shared = {step: others[step] for step in points if step in others}
            if shared != points or len(others) < len(other.get(tag, [])):
                found.append(f"{part}/{tag}")
    for name in ("metrics.json", "evaluations.json"):
        texts = [_read(os.path.join(folder, name)) for folder in (first, second)]
        found += [name] if texts[0] != texts[1] else []
    return sorted(found)


def _variables(checkpoint: str) -> dict[str, bytes]:
    if checkpoint is None:
        return {}
    reader = tf.train.load_checkpoint(checkpoint)
    return {
        name: reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE")
    }


def _curves(folder: str) -> dict[str, list]:
    """Steps and values of a run's results, by tag."""
    if not os.path.isdir(folder):
        return {}
    events = plugin_event_accumulator.EventAccumulator(folder, {"tensors": 0})
    events.Reload()
    return {
        tag: [(p.step, p.tensor_proto.SerializeToString()) for p in events.Tensors(tag)]
        for tag in events.Tags()["tensors"]
        if "/" in tag and not tag.startswith(_MEASURED)
    }


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ""
    with open(path, encoding="utf-8") as file:
        return file.read()


def main() -> int:
    parser = argparse.ArgumentParser("tests.killed", description=__doc__)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gin_file", default="shapes.gin")
    parser.add_argument("--gin_bindings", action="append", default=[])
    options = parser.parse_args()
    folder = tempfile.mkdtemp()
    module = [sys.executable, "-m"]
    data_dir = os.path.join(folder, "data")
    make = [*module, "data_prep.shapes", f"--output_dir={data_dir}"]
    subprocess.run([*make, "--num_images=64", "--num_val=8"], check=True)
    bindings = [
        f"DATA_DIR = '{data_dir}'",
        "TRAIN_STEPS = 100",
        "CHECKPOINT_INTERVAL = 2",
        "EVAL_INTERVAL = 10",
        "run_training.log_interval = 5",
        "run_training.image_interval = 10",
        *options.gin_bindings,
    ]
    train = [*module, "wss.train", f"--gin_file={options.gin_file}"]
    train += [f"--gin_bindings={binding}" for binding in bindings]
    alone, killed = (os.path.join(folder, name) for name in ("alone", "killed"))
    start = time.monotonic()
    run_killed([*train, f"--model_dir={alone}"], alone, 0, 0.0, 0)
    # So that the last kill is before the last step, however fast the run is.
    seconds = 0.5 * (time.monotonic() - start) / max(options.times, 1)
    kills = run_killed(
        [*train, f"--model_dir={killed}"], killed, options.times, seconds, options.seed
    )
    found = differences(alone, killed)
    print(
        f"{kills.times} times killed, {kills.torn} of them in a checkpoint's writing: "
        f"{len(found)} differences {found[:10]} in {folder}"
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
