"""Every number of the original that we carry, against ours."""

import pathlib

import numpy as np
import pytest

from tests.parity import __main__ as command
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
    assert len(GOLDENS) == 36


@pytest.mark.parametrize(
    "name, write, message",
    [
        ("missing.npz", None, "missing.npz: No such file or directory"),
        ("text.npz", lambda path: path.write_text("numbers"), "text.npz is no golden"),
        ("array.npy", lambda path: np.save(path, np.ones(3)), "array.npy is no golden"),
        ("other.npz", lambda path: np.savez(path, x=1), "other.npz is no golden"),
        ("cut.npz", lambda path: path.write_bytes(b"PK\3\4"), "cut.npz is no golden"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_can_not_be_compared_is_told_first(
    tmp_path, monkeypatch, capsys, name, write, message
):
    path = tmp_path / name
    if write:
        write(path)
    monkeypatch.setattr("sys.argv", ["parity", str(GOLDENS[0]), str(path)])
    with pytest.raises(SystemExit) as stopped:
        command.main()
    assert stopped.value.code == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert "pass" not in printed.out
