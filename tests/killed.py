"""Kills trainings at random moments and compares them with those left alone.

    python -m tests.killed --times=20
    python -m tests.killed --times=20 --gin_bindings="get_strategy.logical_cpus = 2"

trains the synthetic shapes twice, once with so many interruptions, and compares
all variables, curves and evaluations to the bit.
"""

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from typing import Dict, List, Sequence

import tensorflow as tf
from tensorboard.backend.event_processing import plugin_event_accumulator

from wss.training import checkpoints

# Curves of time and of memory are no results.
_MEASURED = ("performance/", "memory_gb/")


def run_killed(command: Sequence[str], times: int, seconds: float, seed: int) -> int:
    """Runs a command to its end; returns how often it was killed on the way.

    Args:
      command: a training, which prints a line such as "step 3/80 ..." now and then.
      times: how often to kill it.
      seconds: at most so long after the first such line.
      seed: of the moments.
    """
    moments = random.Random(seed)
    killed = 0
    while True:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        with process:
            line = "start"
            while line and not re.match(r"step +\d+/", line):
                line = process.stdout.readline()
            if killed < times:
                time.sleep(moments.uniform(0.0, seconds))
                process.send_signal(signal.SIGKILL)
            process.stdout.read()
        if process.returncode != -signal.SIGKILL:
            assert process.returncode == 0, process.returncode
            return killed
        killed += 1


def differences(first: str, second: str) -> List[str]:
    """What two trainings did not end with alike.

    Args:
      first: folder of a training that was left alone.
      second: folder of one that was killed: its curves may have more points, of the
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


def _variables(checkpoint: str) -> Dict[str, bytes]:
    if checkpoint is None:
        return {}
    reader = tf.train.load_checkpoint(checkpoint)
    return {
        name: reader.get_tensor(name).tobytes()
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE")
    }


def _curves(folder: str) -> Dict[str, list]:
    """Steps and values by tag, of what a run computes."""
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
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gin_bindings", action="append", default=[])
    options = parser.parse_args()
    folder = tempfile.mkdtemp()
    module = [sys.executable, "-m"]
    data_dir = os.path.join(folder, "data")
    make = [*module, "data_prep.shapes", f"--output_dir={data_dir}"]
    subprocess.run([*make, "--num_images=64", "--num_val=8"], check=True)
    bindings = [
        f"DATA_DIR = '{data_dir}'",
        "TRAIN_STEPS = 80",
        "CHECKPOINT_INTERVAL = 2",
        "EVAL_INTERVAL = 10",
        "Trainer.log_interval = 5",
        "Trainer.image_interval = 10",
        *options.gin_bindings,
    ]
    train = [*module, "wss.train", "--gin_file=shapes.gin"]
    train += [f"--gin_bindings={binding}" for binding in bindings]
    alone, killed = (os.path.join(folder, name) for name in ("alone", "killed"))
    run_killed([*train, f"--model_dir={alone}"], 0, 0.0, 0)
    times = run_killed(
        [*train, f"--model_dir={killed}"], options.times, options.seconds, options.seed
    )
    found = differences(alone, killed)
    print(f"{times} times killed, {len(found)} differences {found[:10]} in {folder}")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
