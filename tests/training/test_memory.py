"""Memory of this process."""

import numpy as np

from wss.training import memory


def test_what_is_freed_can_be_given_back():
    before = memory.used()["host"]
    assert 0.05 < before < 100.0
    # Pieces of a size that the C library keeps, one of them behind all others.
    pieces = [np.ones(10_000) for _ in range(3000)]
    full = memory.used()["host"]
    assert full > before + 0.2
    del pieces[:-1]
    memory.give_back()
    assert memory.used()["host"] < full - 0.15
