"""Runs our code on golden files and compares number by number.

    python -m tests.parity tests/golden/*.npz

Prints per quantity the largest error relative to the reference's scale, the tolerance,
and pass or fail. Exit status 1 where anything fails.
"""

import argparse
import os
import sys
import zipfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tensorflow as tf  # noqa: E402

from tests.parity import cases  # noqa: E402
from tests.parity.common import Golden  # noqa: E402


def open_golden(path: str) -> Golden:
    """Opens a golden file; a ValueError says why it cannot be one."""
    try:
        golden = Golden(path)
        cases.name_of(golden)
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror or error}") from error
    except (ValueError, KeyError, IndexError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no golden file") from error
    return golden


def report(golden: Golden) -> bool:
    """Prints the checks of one file; True if all pass."""
    checks = cases.check(golden)
    failed = sum(not check.passed for check in checks)
    width = max(len(check.name) for check in checks)
    print(f"\n{golden.path}  ({cases.name_of(golden)})")
    for check in checks:
        verdict = "pass" if check.passed else "FAIL"
        print(
            f"  {check.name:<{width}}  error {check.error:9.2e}"
            f"  tolerance {check.tolerance:8.1e}  {verdict}"
        )
    print(f"  {len(checks) - failed} passed, {failed} failed")
    return not failed


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("files", nargs="+", metavar="FILE.npz")
    try:
        goldens = [open_golden(path) for path in parser.parse_args().files]
    except ValueError as error:
        parser.error(str(error))
    # A GPU would round the inputs of products to 10 bits.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    passed = [report(golden) for golden in goldens]
    print(f"\n{sum(passed)} of {len(passed)} files pass")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
