"""Measures training steps on a GPU, beside what the card can do.

    python -m benchmarks.gpu
    python -m benchmarks.gpu --rows unimatch pseudoseg_bfloat16 --seconds 180
    python -m benchmarks.gpu --check

Each row of the table is a process of its own. Networks are traced and compiled side by
side and timed one at a time, each after 3 steps to warm up; the table has the median of
15 steps, and the peak of the device's memory in them. `second_start` starts the first
row again, alone, with what its first start kept on disk. `shapes` trains shapes.gin
from start to end, twice. `--check` compares the GPU with the CPU instead: the golden
steps with TF32 off, and the losses of 200 steps on the shapes.
"""

import argparse
import multiprocessing
import multiprocessing.connection
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any, Optional

from benchmarks import measuring

_UNIMATCH = dict(method="UniMatch", variant="resnet_v1_101_beta", crop=321, batch=8)
_PSEUDOSEG = dict(method="PseudoSeg", variant="xception_65", crop=513, batch=4)
_U2PL = dict(
    method="U2PL", variant="resnet_v1_101_beta", crop=513, batch=4, output_stride=8
)
_UNIMATCH_V2 = dict(
    method="UniMatchV2",
    variant="dinov2_vits14",
    crop=518,
    batch=4,
    optimizer="AdamW",
)
_HALF = dict(precision="mixed_bfloat16")
STEPS: dict[str, dict[str, Any]] = {
    "unimatch": _UNIMATCH,
    "unimatch_bfloat16": {**_UNIMATCH, **_HALF},
    "pseudoseg": _PSEUDOSEG,
    "pseudoseg_bfloat16": {**_PSEUDOSEG, **_HALF},
    "u2pl": _U2PL,
    "unimatch_v2": _UNIMATCH_V2,
    "unimatch_v2_bfloat16": {**_UNIMATCH_V2, **_HALF},
}
ROWS = ("ceilings", *STEPS, "second_start", "shapes")
_REPEATS = 15
_MATRIX_SIDE = 8192
_COPIED_FLOATS = 2**30
_CHECKED_STEPS = 200


def measure_step(pipe: Any, case: dict[str, Any]) -> None:
    """Traces a step, then compiles and times it when it is told to."""
    import tensorflow as tf

    from benchmarks.training_step import make_step

    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    defaults = {"classes": 21, "precision": "float32", "jit_compile": "auto"}
    run = make_step(**{**defaults, **case})
    pipe.send("traced")
    pipe.recv()
    start = time.perf_counter()
    run()
    pipe.send(time.perf_counter() - start)
    pipe.recv()
    # Choosing among kernels takes memory that the steps do not need.
    tf.config.experimental.reset_memory_stats("GPU:0")
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
    """Rates of matrix products and of a copy, without a transfer to the host."""
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

    def seconds(function: Callable[..., tf.Tensor], *arguments: tf.Tensor) -> float:
        function(*arguments).numpy()
        start = time.perf_counter()
        function(*arguments).numpy()
        return (time.perf_counter() - start) / 10

    rates = {}
    for name, dtype in (("TF32", tf.float32), ("bfloat16", tf.bfloat16)):
        matrix = tf.cast(tf.random.normal([_MATRIX_SIDE] * 2), dtype)
        operations = 2 * _MATRIX_SIDE**3
        rates[name] = operations / seconds(products, matrix, matrix) / 1e12
    source = tf.random.normal([_COPIED_FLOATS])
    rates["copy"] = 2 * 4 * _COPIED_FLOATS / seconds(copies, source) / 1e12
    pipe.send(rates)


class _Child:
    """A process, and the messages between it and this one."""

    def __init__(self, target: Callable[..., None], case: dict[str, Any]):
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=target, args=(theirs, case), daemon=True)
        self.start = time.perf_counter()
        self._process.start()
        theirs.close()

    def go(self) -> None:
        self.pipe.send("go")

    def answer(self, end: float) -> Optional[Any]:
        """The next message; None if there is none before `end`, or if it failed."""
        try:
            if self.pipe.poll(max(0.0, end - time.perf_counter())):
                return self.pipe.recv()
        except EOFError:
            pass
        return None


def compile_all(children: dict[str, _Child], end: float) -> dict[str, float]:
    """Lets each child compile once it has traced; returns the seconds that it took."""
    compiled: dict[str, float] = {}
    waiting = {child.pipe: name for name, child in children.items()}
    while waiting and time.perf_counter() < end:
        limit = max(0.0, end - time.perf_counter())
        for pipe in multiprocessing.connection.wait(list(waiting), limit):
            name = waiting[pipe]
            answer = children[name].answer(end)
            if answer == "traced":
                children[name].go()
                continue
            del waiting[pipe]
            if answer is not None:
                compiled[name] = answer
    return compiled


def measure_steps(names: Sequence[str], end: float) -> None:
    """Prints a row for each of these steps that is known before `end`."""
    children = {name: _Child(measure_step, STEPS[name]) for name in names}
    compiled = compile_all(children, end)
    for name, child in children.items():
        row = ["not in time, or failed", "", "", "", ""]
        if name in compiled:
            child.go()
            result = child.answer(end)
            if result is not None:
                seconds, peak, gigaflops = result
                rate = gigaflops / seconds / 1e3
                row = [1e3 * seconds, peak / 1e9, gigaflops, rate, compiled[name]]
        _print_row(name, *row)


def second_start(name: str, end: float) -> None:
    """Prints the seconds from launch to the end of the first step, and of that step."""
    child = _Child(measure_step, STEPS[name])
    if child.answer(end) is not None:
        child.go()
        first_step = child.answer(end)
        if first_step is not None:
            whole = time.perf_counter() - child.start
            print(f"\nsecond start of {name}: {whole:.0f} s", end="")
            print(f", of these {first_step:.0f} s for the first step", flush=True)
            return
    print(f"\nsecond start of {name}: not in time", flush=True)


def train_shapes(folder: str, *bindings: str, **environment: str) -> list[str]:
    """Trains shapes.gin, returns the progress lines and the time as the last line.

    Raises:
      RuntimeError: the run failed, with its last words.
    """
    data = f"{folder}/data"
    if not os.path.exists(data):
        command = [sys.executable, "-m", "data_prep.shapes", f"--output_dir={data}"]
        subprocess.run(command, check=True, capture_output=True)
    run_folder = tempfile.mkdtemp(dir=folder)
    command = [sys.executable, "-m", "wss.train", "--gin_file=gin_configs/shapes.gin"]
    command += [f"--model_dir={run_folder}", f"--gin_bindings=DATA_DIR = '{data}'"]
    command += [f"--gin_bindings={binding}" for binding in bindings]
    start = time.perf_counter()
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    lines = [line for line in done.stdout.splitlines() if line.startswith("step ")]
    return [*lines, f"{seconds:.0f} s from start to end"]


def check() -> bool:
    """Compares the GPU with the CPU; True if they agree."""
    goldens = [f"tests/golden/{name}" for name in sorted(os.listdir("tests/golden"))]
    steps = [path for path in goldens if os.path.basename(path).startswith("step_")]
    command = [sys.executable, "-m", "tests.parity", *steps]
    agrees = subprocess.run(command).returncode == 0
    bindings = [
        f"TRAIN_STEPS = {_CHECKED_STEPS}",
        "run_training.log_interval = 50",
        "Experiment.tensor_float_32 = False",
    ]
    with tempfile.TemporaryDirectory() as folder:
        on_gpu = train_shapes(folder, *bindings)
        on_cpu = train_shapes(folder, *bindings, CUDA_VISIBLE_DEVICES="-1")
    for ours, theirs in zip(on_gpu[:-1], on_cpu[:-1]):
        losses = [float(re.search(r"loss ([\d.]+)", x)[1]) for x in (ours, theirs)]
        difference = abs(losses[0] - losses[1]) / losses[1]
        agrees = agrees and difference <= 0.01
        print(f"{ours.split('loss')[0]} GPU {losses[0]}, CPU {losses[1]}", end="")
        print(f", difference {difference:.2%}", flush=True)
    print("GPU and CPU agree." if agrees else "GPU and CPU differ.")
    return agrees


def tf_sees_a_gpu() -> bool:
    """Asks another process, so that this one takes no memory of the GPU."""
    code = (
        "import tensorflow as tf, sys; "
        "sys.exit(not tf.config.list_physical_devices('GPU'))"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True).returncode == 0


def _print_row(*values: Any) -> None:
    cells = [f"{value:.4g}" if isinstance(value, float) else value for value in values]
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--seconds", type=float, default=360.0, help="time limit")
    parser.add_argument("--check", action="store_true", help="compare GPU and CPU")
    flags = parser.parse_args()
    if not tf_sees_a_gpu():
        parser.error("TensorFlow finds no GPU here; see docs/installation.md#gpu")
    end = time.perf_counter() + flags.seconds
    if flags.check:
        return 0 if check() else 1
    print(measuring.machine()["versions"], flush=True)
    if "ceilings" in flags.rows:
        rates = _Child(measure_ceilings, {}).answer(end) or {}
        words = {"TF32": "TFLOP/s", "bfloat16": "TFLOP/s", "copy": "TB/s"}
        print(", ".join(f"{k} {v:.3g} {words[k]}" for k, v in rates.items()), "\n")
    steps = [name for name in flags.rows if name in STEPS]
    if steps:
        _print_row("Step", "ms", "peak GB", "GFLOP", "TFLOP/s", "first step, s")
        _print_row(*["---"] * 6)
        measure_steps(steps, end)
    if "second_start" in flags.rows and steps:
        second_start(steps[0], end)
    if "shapes" in flags.rows:
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(2):
                print("shapes:", *train_shapes(folder)[-2:], sep="\n  ", flush=True)
    return 0


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
