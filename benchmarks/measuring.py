"""How the benchmarks measure: each case in a process of its own, taking turns.

Cases that are compared run one repeat each in turn, so that a machine that slows down
slows down all of them; the median of the repeats counts. A process of its own has its
own peak of memory and its own start. Beside the cases runs what the machine can do at
most: a large matrix product and a copy of memory.
"""

import json
import multiprocessing
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_MATRIX_SIDE = 4096
_COPIED_BYTES = 2**29


def measure(
    make: Callable[..., Callable[[], Any]],
    cases: Mapping[str, Mapping[str, Any]],
    repeats: int,
    warm_up: int = 2,
    together: bool = True,
) -> dict[str, dict[str, Any]]:
    """Measures calls.

    Args:
      make: called in a new process with a case's arguments; gives what is timed. It is
        a function of a module, so that the new process finds it. What it gives may
        have an attribute `facts`, a dict that is reported beside the times.
      cases: arguments of `make` by the case's name.
      repeats: timed calls of each case.
      warm_up: calls before; how long the first took is reported.
      together: all cases are in memory at the same time and take turns; otherwise one
        after the other, for what would not fit.

    Returns:
      By name: "seconds", the median; "cpu_seconds" of all threads; "all", the repeats;
      "gigabytes", the peak; "start_seconds" from nothing to the end of the first call,
      and "first_call_seconds" of it.

    Raises:
      RuntimeError: a case failed; its own message was printed.
    """
    if not together:
        return {
            name: measure(make, {name: case}, repeats, warm_up)[name]
            for name, case in cases.items()
        }
    context = multiprocessing.get_context("spawn")
    children = {}
    for name, case in cases.items():
        ours, theirs = context.Pipe()
        child = context.Process(target=_serve, args=(theirs, make, dict(case), warm_up))
        start = time.perf_counter()
        child.start()
        theirs.close()
        found = _receive(ours, name)
        found["start_seconds"] = time.perf_counter() - start - found.pop("warm_up")
        children[name] = (ours, child, found)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, (pipe, _, _) in children.items():
            pipe.send("run")
            times[name].append(_receive(pipe, name))
    for name, (pipe, child, found) in children.items():
        pipe.send("end")
        found["gigabytes"] = _receive(pipe, name)
        child.join()
        found["all"] = [clock for clock, _ in times[name]]
        found["seconds"] = statistics.median(found["all"])
        found["cpu_seconds"] = statistics.median(cpu for _, cpu in times[name])
    return {name: found for name, (_, _, found) in children.items()}


def _receive(pipe: Any, name: str) -> Any:
    try:
        return pipe.recv()
    except EOFError:
        raise RuntimeError(f"The case '{name}' failed.") from None


def _serve(
    pipe: Any, make: Callable[..., Callable[[], Any]], case: dict, warm_up: int
) -> None:
    """What a case's process does."""
    timed = make(**case)
    first = _seconds(timed)[0]
    rest = sum(_seconds(timed)[0] for _ in range(warm_up - 1))
    found = {"first_call_seconds": first, "warm_up": rest}
    pipe.send({**found, **getattr(timed, "facts", {})})
    while pipe.recv() == "run":
        pipe.send(_seconds(timed))
    pipe.send(_peak_gigabytes())


def _peak_gigabytes() -> float:
    """The most memory that this process has had."""
    try:
        # `getrusage` begins with what the process that started this one had.
        with open("/proc/self/status", encoding="ascii") as file:
            (line,) = (line for line in file if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**20
    except OSError:
        unit = 2**30 if sys.platform == "darwin" else 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _seconds(timed: Callable[[], Any]) -> tuple[float, float]:
    """Of one call: by the clock, and of all threads."""
    clock, cpu = time.perf_counter(), time.process_time()
    timed()
    return time.perf_counter() - clock, time.process_time() - cpu


def matrix_product() -> Callable[[], Any]:
    """The machine's ceiling of arithmetic: for `measure`."""
    import tensorflow as tf

    side = _MATRIX_SIDE
    first, second = (tf.random.stateless_uniform([side, side], [0, i]) for i in (0, 1))

    def run():
        return tf.linalg.matmul(first, second).numpy()

    run.facts = {"gigaflops": 2 * side**3 / 1e9}
    return run


def memory_copy() -> Callable[[], Any]:
    """The machine's ceiling of moving numbers: for `measure`."""
    import numpy as np

    source = np.ones(_COPIED_BYTES, np.uint8)
    target = np.empty_like(source)

    def run():
        np.copyto(target, source)

    # Read once, written once.
    run.facts = {"gigabytes_moved": 2 * _COPIED_BYTES / 1e9}
    return run


def ceilings(repeats: int = 5) -> dict[str, float]:
    """GFLOP/s of a float32 matrix product, and GB/s of a copy in memory."""
    product = measure(matrix_product, {"product": {}}, repeats)["product"]
    copy = measure(memory_copy, {"copy": {}}, repeats)["copy"]
    return {
        "gigaflops_per_second": product["gigaflops"] / product["seconds"],
        "gigabytes_per_second": copy["gigabytes_moved"] / copy["seconds"],
    }


def add_shares(
    found: Mapping[str, dict[str, Any]], ceilings: Mapping[str, float]
) -> None:
    """Adds to each case "share": the time that the limit would allow, by its own.

    Args:
      found: cases, as of `measure`.
      ceilings: as of the function of that name; the limit is printed.
    """
    limit = ceilings["gigaflops_per_second"]
    for one in found.values():
        one["share"] = one["gigaflops"] / limit / one["seconds"]
    print(f"limit: {limit:.0f} GFLOP/s in a matrix product")


def machine() -> dict[str, Any]:
    """What the numbers depend on beside the code."""
    from wss.training import versions

    return {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "all"),
        "load": os.getloadavg()[0],
        "versions": versions.versions(),
    }


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints a table in Markdown; floats with three significant digits."""
    print(f"| {' | '.join(header)} |")
    print(f"|{' --- |' * len(header)}")
    for row in rows:
        print(f"| {' | '.join(_format(value) for value in row)} |")


def report(
    found: Mapping[str, Mapping[str, Any]],
    columns: Mapping[str, str],
    path: str,
    what: str = "",
    **more: Any,
) -> None:
    """Prints a row for each case, and writes all of them.

    Args:
      found: cases, as of `measure`.
      columns: what stands in a column, by its head.
      path: of the JSON file.
      what: head of the cases' names.
      **more: for the file.
    """
    rows = [
        [name, *(one[key] for key in columns.values())] for name, one in found.items()
    ]
    print_table([what, *columns], rows)
    write_json(path, {**more, "cases": found})


def _format(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write_json(path: str, content: Mapping[str, Any]) -> None:
    """Writes a result with the machine that gave it."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), **content}, file, indent=2)
