"""Signals that end a run after its state has been saved."""

import contextlib
import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any, Optional

from wss.errors import Stopped

# Sent before a machine is preempted, by Ctrl-C, and when a terminal is closed.
_NAMES = ("SIGTERM", "SIGINT", "SIGHUP")
_SIGNALS = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


class StopSignals:
    """Records the first signal; a second one ends the process at once.

    Attributes:
      received: number of the first signal; None until there is one.
    """

    def __init__(self) -> None:
        self.received: Optional[int] = None
        self._raises = False

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Context in which signals are recorded; afterwards they act as before."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Only the main thread may handle signals.
            return
        # Ignored signals stay ignored, for example under nohup.
        watched = [s for s in _SIGNALS if signal.getsignal(s) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._handle) for number in watched}
        # Python calls its handlers only after TensorFlow returns, which may take
        # minutes. Therefore a thread reads the signals too.
        reader, writer = socket.socketpair()
        writer.setblocking(False)
        wakeup = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        threading.Thread(target=self._listen, args=(reader,), daemon=True).start()
        out, err = _Lasting(sys.stdout), _Lasting(sys.stderr)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)
            writer.close()  # The thread ends.

    @contextlib.contextmanager
    def raising(self) -> Iterator[None]:
        """Context in which a signal raises `Stopped`, for work that is repeated."""
        self._raises = True
        try:
            if self.received is not None:
                self.stop()
            yield
        finally:
            self._raises = False

    def stop(self) -> None:
        """Raises `Stopped`, with SIGTERM if only another worker received a signal."""
        raise Stopped(self.received or signal.SIGTERM)

    def _handle(self, number: int, frame: Any) -> None:
        self.received = self.received or number
        if self._raises:
            self.stop()

    def _listen(self, reader: socket.socket) -> None:
        """Reads the numbers of the signals as they arrive."""
        count = 0
        with reader:
            for number in iter(lambda: reader.recv(1), b""):
                if number[0] not in _SIGNALS:
                    continue
                count += 1
                if count > 1:
                    os._exit(128 + number[0])
                self.received = self.received or number[0]
                print(
                    f"\n{signal.Signals(number[0]).name}: saving the state once the "
                    "running steps are done. A second signal ends the run at once.",
                    file=sys.stderr,
                    flush=True,
                )


class _Lasting:
    """A stream that survives the end of its terminal, or of the program that reads it.

    What is written afterwards is discarded: an error would end the run before its state
    is saved.
    """

    def __init__(self, stream: Any):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._without_reader():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._without_reader():
            self._stream.flush()

    @contextlib.contextmanager
    def _without_reader(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EPIPE):
                raise
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
