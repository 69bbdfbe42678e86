"""Shared measuring code: each case runs in its own process, and cases take turns.

Cases that are compared run one repeat each in turn, so that a slowdown of the machine
affects all of them; the median of the repeats is reported. Separate processes give each
case its own peak memory and startup time. The limits of the machine are measured too: a
large matrix product and a memory copy.
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
    """Measures the time and memory of function calls.

    Args:
      make: called in a new process with the arguments of a case; returns the function
        to time. It must be a module-level function, so that it can be pickled. The
        returned function may have an attribute `facts`, a dict that is added to the
        result.
      cases: arguments of `make` by the name of the case.
      repeats: timed calls of each case.
      warm_up: number of calls before; the time of the first is reported.
      together: keep all cases in memory and let them take turns; otherwise run one
        after the other, to save memory.

    Returns:
      By case: "seconds", the median; "cpu_seconds" of all threads; "all", the repeats;
      "gigabytes", the peak memory; "start_seconds" from launch to the end of the first
      call, and "first_call_seconds" of that call.

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
    """The main function of a case's process."""
    timed = make(**case)
    first = _seconds(timed)[0]
    rest = sum(_seconds(timed)[0] for _ in range(warm_up - 1))
    found = {"first_call_seconds": first, "warm_up": rest}
    pipe.send({**found, **getattr(timed, "facts", {})})
    while pipe.recv() == "run":
        pipe.send(_seconds(timed))
    pipe.send(_peak_gigabytes())


def _peak_gigabytes() -> float:
    """The peak memory of this process."""
    try:
        # `getrusage` would include the peak of the parent process.
        with open("/proc/self/status", encoding="ascii") as file:
            (line,) = (line for line in file if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 2**20
    except OSError:
        unit = 2**30 if sys.platform == "darwin" else 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _seconds(timed: Callable[[], Any]) -> tuple[float, float]:
    """Wall-clock time of one call, and CPU time of all threads."""
    clock, cpu = time.perf_counter(), time.process_time()
    timed()
    return time.perf_counter() - clock, time.process_time() - cpu


def matrix_product() -> Callable[[], Any]:
    """The arithmetic limit of the machine; for `measure`."""
    import tensorflow as tf

    side = _MATRIX_SIDE
    first, second = (tf.random.stateless_uniform([side, side], [0, i]) for i in (0, 1))

    def run():
        return tf.linalg.matmul(first, second).numpy()

    run.facts = {"gigaflops": 2 * side**3 / 1e9}
    return run


def memory_copy() -> Callable[[], Any]:
    """The memory bandwidth of the machine; for `measure`."""
    import numpy as np

    source = np.ones(_COPIED_BYTES, np.uint8)
    target = np.empty_like(source)

    def run():
        np.copyto(target, source)

    # Read once, written once.
    run.facts = {"gigabytes_moved": 2 * _COPIED_BYTES / 1e9}
    return run


def ceilings(repeats: int = 5) -> dict[str, float]:
    """GFLOP/s of a float32 matrix product, and GB/s of a memory copy."""
    product = measure(matrix_product, {"product": {}}, repeats)["product"]
    copy = measure(memory_copy, {"copy": {}}, repeats)["copy"]
    return {
        "gigaflops_per_second": product["gigaflops"] / product["seconds"],
        "gigabytes_per_second": copy["gigabytes_moved"] / copy["seconds"],
    }


def add_shares(
    found: Mapping[str, dict[str, Any]], ceilings: Mapping[str, float]
) -> None:
    """Adds "share" to each case: its time at the machine's limit, by its measured time.

    Args:
      found: results of `measure`.
      ceilings: result of the function of that name; the limit is printed.
    """
    limit = ceilings["gigaflops_per_second"]
    for one in found.values():
        one["share"] = one["gigaflops"] / limit / one["seconds"]
    print(f"limit: {limit:.0f} GFLOP/s in a matrix product")


def machine() -> dict[str, Any]:
    """Machine and versions, which the numbers depend on."""
    from wss.training import versions

    return {
        "cores": os.cpu_count(),
        "processor": platform.processor() or platform.machine(),
        "threads": os.environ.get("TF_NUM_INTRAOP_THREADS", "all"),
        "load": os.getloadavg()[0],
        "versions": versions.versions(),
    }


def print_table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints a Markdown table; floats have three significant digits."""
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
    """Prints a table with a row for each case, and writes a JSON file.

    Args:
      found: results of `measure`.
      columns: keys of the results, by the header of their column.
      path: path of the JSON file.
      what: header of the column with the names of the cases.
      **more: additional entries of the file.
    """
    rows = [
        [name, *(one[key] for key in columns.values())] for name, one in found.items()
    ]
    print_table([what, *columns], rows)
    write_json(path, {**more, "cases": found})


def _format(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def write_json(path: str, content: Mapping[str, Any]) -> None:
    """Writes a result, together with the description of the machine."""
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": machine(), **content}, file, indent=2)
