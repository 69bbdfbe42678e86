"""Every number of the original that we carry, against ours."""

import pathlib

import pytest

from tests.parity import cases
from tests.parity.common import Golden

GOLDENS = sorted((pathlib.Path(__file__).parents[1] / "golden").glob("*.npz"))


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_golden(path):
    checks = cases.check(Golden(path))
    assert checks
    failed = [check for check in checks if not check.passed]
    assert not failed, "\n".join(map(str, failed))


def test_all_goldens_are_here():
    # Whoever drops a file also drops what it proves.
    assert len(GOLDENS) == 25
