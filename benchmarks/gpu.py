"""Measures training steps on a GPU, beside what the card can do.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --rows unimatch pseudoseg_bfloat16 --seconds 180
    python -m benchmarks.gpu --check

Networks are built and compiled side by side, each in its own process, and timed one at
a time. Each row of the table is printed as soon as it is known. "Start" is the time from
launch to the end of the first step, beside the other processes; the row `second_start`
starts the first row again, alone, with what the first kept on disk. `--check` compares
the GPU with the CPU: the golden steps with TF32 off, and 200 steps on the shapes.
"""

import argparse
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, Optional

from benchmarks import measuring

_UNIMATCH = dict(method="UniMatch", variant="resnet_v1_101_beta", crop=321, batch=8)
_PSEUDOSEG = dict(method="PseudoSeg", variant="xception_65", crop=513, batch=4)
_U2PL = dict(
    method="U2PL", variant="resnet_v1_101_beta", crop=513, batch=4, output_stride=8
)
_HALF = dict(precision="mixed_bfloat16")
ROWS: dict[str, dict[str, Any]] = {
    "unimatch": _UNIMATCH,
    "unimatch_bfloat16": {**_UNIMATCH, **_HALF},
    "pseudoseg": _PSEUDOSEG,
    "pseudoseg_bfloat16": {**_PSEUDOSEG, **_HALF},
    "u2pl": _U2PL,
}
_OTHER_ROWS = ("second_start", "shapes", "ceilings")
_REPEATS = 15
_MATRIX_SIDE = 8192
_COPIED_FLOATS = 2**30


def measure_step(pipe: Any, case: dict[str, Any]) -> None:
    """Builds a step, then compiles and times it when the parent says so."""
    import tensorflow as tf

    from benchmarks.training_step import make_step

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    case = {"classes": 21, "precision": "float32", "jit_compile": "auto", **case}
    run = make_step(**case)
    pipe.send("traced")
    pipe.recv()
    start = time.perf_counter()
    run()
    compiled = time.perf_counter() - start
    tf.config.experimental.reset_memory_stats("GPU:0")
    pipe.send(compiled)
    pipe.recv()
    for _ in range(3):
        run()
    times = []
    for _ in range(_REPEATS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    pipe.send((statistics.median(times), peak, run.facts["gigaflops"]))


def measure_ceilings(pipe: Any, case: dict[str, Any]) -> None:
    """Rates of matrix products and of a copy on the device; nothing goes to the host."""
    import tensorflow as tf

    @tf.function
    def products(first: tf.Tensor, second: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(10):
            second = tf.linalg.matmul(first, second) * tf.cast(0.01, second.dtype)
        return second[0, 0]

    @tf.function
    def copies(source: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(10):
            source = -source
        return source[0]

    def seconds(function: Any, *arguments: tf.Tensor) -> float:
        function(*arguments).numpy()
        start = time.perf_counter()
        function(*arguments).numpy()
        return (time.perf_counter() - start) / 10

    operations = 2 * _MATRIX_SIDE**3
    found = {}
    for name, dtype in (("TF32", tf.float32), ("bfloat16", tf.bfloat16)):
        matrix = tf.cast(tf.random.normal([_MATRIX_SIDE, _MATRIX_SIDE]), dtype)
        found[name] = operations / seconds(products, matrix, matrix) / 1e12
    source = tf.random.normal([_COPIED_FLOATS])
    found["copy"] = 2 * 4 * _COPIED_FLOATS / seconds(copies, source) / 1e12
    pipe.send(found)


class _Child:
    """A process of this benchmark, and the messages between it and the parent."""

    def __init__(self, target: Any, case: dict[str, Any]):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(theirs, case), daemon=True)
        self.start = time.perf_counter()
        self._process.start()
        theirs.close()

    def go(self) -> None:
        self._pipe.send("go")

    def answer(self, end: float) -> Optional[Any]:
        """The next message; None if it does not come before `end`."""
        try:
            if self._pipe.poll(max(0.0, end - time.perf_counter())):
                return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            pass
        return None


def _measure_steps(names: list[str], end: float) -> None:
    """Prints a row for each of `ROWS` that ends in time."""
    children = {name: _Child(measure_step, ROWS[name]) for name in names}
    for name, child in children.items():
        if child.answer(end):
            child.go()
    compiled = {}
    for name, child in children.items():
        compiled[name] = child.answer(end)
        if compiled[name] is not None:
            print(f"{name}: compiled in {compiled[name]:.0f} s.", flush=True)
    for name, child in children.items():
        if compiled[name] is None:
            print(f"{name}: not compiled in time.", flush=True)
            continue
        child.go()
        result = child.answer(end)
        if result is None:
            print(f"{name}: failed.", flush=True)
            continue
        seconds, peak, gigaflops = result
        print(
            f"{name}: {1000 * seconds:.1f} ms, {peak / 1e9:.1f} GB, "
            f"{gigaflops:.0f} GFLOP, {gigaflops / seconds / 1e3:.1f} TFLOP/s, "
            f"compiled in {compiled[name]:.0f} s",
            flush=True,
        )


def _second_start(name: str, end: float) -> None:
    """Prints the time of a start with what an earlier start kept on disk."""
    child = _Child(measure_step, ROWS[name])
    if child.answer(end) is not None:
        traced = time.perf_counter() - child.start
        child.go()
        compiled = child.answer(end)
        if compiled is not None:
            print(
                f"second_start: {name}, {traced + compiled:.0f} s, of these "
                f"{compiled:.0f} s for the first step",
                flush=True,
            )
            return
    print("second_start: not in time.", flush=True)


def _train_shapes(steps: Optional[int], environment: dict[str, str]) -> list[str]:
    """Makes the shapes and trains on them; returns the progress lines."""
    bindings = [f"TRAIN_STEPS = {steps}", "run_training.log_interval = 50"]
    with tempfile.TemporaryDirectory() as folder:
        data = [sys.executable, "-m", "data_prep.shapes", f"--output_dir={folder}/data"]
        subprocess.run(data, check=True, capture_output=True)
        command = [
            sys.executable,
            "-m",
            "wss.train",
            "--gin_file=gin_configs/shapes.gin",
            f"--model_dir={folder}/run",
            f"--gin_bindings=DATA_DIR = '{folder}/data'",
        ]
        if steps is not None:
            command += [f"--gin_bindings={binding}" for binding in bindings]
        start = time.perf_counter()
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )
        seconds = time.perf_counter() - start
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
    lines = [line for line in done.stdout.splitlines() if line.startswith("step")]
    return [*lines, f"{seconds:.0f} s from start to end"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    choices = [*ROWS, *_OTHER_ROWS]
    parser.add_argument("--rows", nargs="+", choices=choices, default=choices)
    parser.add_argument("--seconds", type=float, default=360.0, help="time limit")
    parser.add_argument("--check", action="store_true", help="compare GPU and CPU")
    flags = parser.parse_args()
    end = time.perf_counter() + flags.seconds
    print(measuring.machine()["versions"], flush=True)
    if "ceilings" in flags.rows:
        print("ceilings:", _Child(measure_ceilings, {}).answer(end), flush=True)
    steps = [name for name in flags.rows if name in ROWS]
    if steps:
        _measure_steps(steps, end)
    if "second_start" in flags.rows and steps:
        _second_start(steps[0], end)
    if "shapes" in flags.rows:
        for _ in range(2):
            print("shapes:", *_train_shapes(None, {})[-2:], sep="\n  ", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
