"""Values that hold within a `with` block."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Scoped(threading.local, Generic[T]):
    """A value that a `with` block replaces.

    Each thread has its own, because each replica is traced in a thread.

    >>> width = Scoped(1)
    >>> with width.set_to(2):
    ...     print(width.value)
    2
    >>> print(width.value)
    1
    """

    def __init__(self, value: T):
        self.value = value

    @contextlib.contextmanager
    def set_to(self, value: T) -> Iterator[T]:
        """Context in which this thread has the value."""
        outer, self.value = self.value, value
        try:
            yield value
        finally:
            self.value = outer
