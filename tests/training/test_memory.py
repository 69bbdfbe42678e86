"""Memory of this process."""

import subprocess
import sys

# In a process of its own: in one that has freed much, pieces find room that is counted.
_SCRIPT = """
import numpy as np
from wss.training import memory

before = memory.used()["host"]
# Pieces of a size that the C library keeps, one of them behind all others.
pieces = [np.ones(10_000) for _ in range(3000)]
full = memory.used()["host"]
del pieces[:-1]
memory.give_back()
print(before, full, memory.used()["host"])
"""


def test_what_is_freed_can_be_given_back():
    run = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True
    )
    before, full, after = map(float, run.stdout.split())
    assert 0.05 < before < 2.0
    assert full > before + 0.2
    assert after < full - 0.15
