"""Measures startup: the time from launch to the end of the first training step.

    python -m benchmarks.start
    python -m benchmarks.start --methods Supervised PseudoSeg U2PL --classes 81

starts a new process for each repeat, which imports TensorFlow, builds network and
method, traces and optimizes the graph of the step, and runs the first step. The methods
take turns; medians are reported, in seconds.
"""

import argparse
import os
import statistics

from benchmarks import measuring, training_step

PHASES = {
    "import": "import_seconds",
    "build": "build_seconds",
    "trace, optimize": "trace_seconds",
    "first step": "first_call_seconds",
    "all": "start_seconds",
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--methods",
        nargs="+",
        choices=training_step.METHODS,
        default=["PseudoSeg"],
        metavar="METHOD",
    )
    parser.add_argument("--variant", default="xception_65")
    parser.add_argument("--crop", type=int, default=129)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument(
        "--batch", type=int, default=2, help="labeled images; as many unlabeled ones"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", default="runs/start.json")
    flags = parser.parse_args()
    case = dict(precision="float32", jit_compile=False)
    for name in ("variant", "crop", "classes", "batch"):
        case[name] = getattr(flags, name)
    cases = {method: {"method": method, **case} for method in flags.methods}
    repeats = [
        measuring.measure(
            training_step.make_step, cases, repeats=1, warm_up=1, together=False
        )
        for _ in range(flags.repeats)
    ]
    found = {
        method: {
            phase: statistics.median(one[method][phase] for one in repeats)
            for phase in PHASES.values()
        }
        for method in cases
    }
    measuring.report(found, PHASES, flags.output, "method")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
