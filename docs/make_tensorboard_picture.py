"""Makes docs/pictures/tensorboard.png: the page that TensorBoard opens with.

    pip install playwright && playwright install chromium
    python -m wss.train --gin_file=fixmatch/shapes.gin \\
        --gin_bindings="TRAIN_STEPS = 200" --gin_bindings="EVAL_INTERVAL = 25" \\
        --gin_bindings="run_training.log_interval = 10"
    python -m docs.make_tensorboard_picture --logdir=runs/shapes_fixmatch

starts TensorBoard, opens its page in Chromium without a window, and photographs it.
"""

import argparse
import contextlib
import pathlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Optional

PICTURE = pathlib.Path(__file__).resolve().parent / "pictures" / "tensorboard.png"
_SIZE = {"width": 1280, "height": 1180}
_START_SECONDS = 60.0
# Charts are drawn by workers of the browser, which report no end.
_DRAWING_MILLISECONDS = 20000


@contextlib.contextmanager
def tensorboard(logdir: str) -> Iterator[str]:
    """Context in which TensorBoard shows a folder; yields its address.

    Raises:
      TimeoutError: it does not start.
    """
    with contextlib.closing(socket.socket()) as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tensorboard.main", f"--logdir={logdir}"]
    process = subprocess.Popen([*command, f"--port={port}"])
    try:
        end = time.monotonic() + _START_SECONDS
        while process.poll() is None and time.monotonic() < end:
            with contextlib.suppress(OSError):
                socket.create_connection(("localhost", port), 1.0).close()
                break
            time.sleep(0.5)
        else:
            raise TimeoutError(f"TensorBoard has not started at port {port}.")
        yield f"http://localhost:{port}/"
    finally:
        process.terminate()
        process.wait()


def photograph(address: str, path: pathlib.Path, chromium: Optional[str]) -> None:
    """Saves the page as a PNG; `chromium` is a program, None: that of playwright."""
    from playwright import sync_api

    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"]
        )
        page = browser.new_page(viewport=_SIZE)
        page.goto(address)
        page.get_by_role("button", name="Settings").last.click()  # More space.
        page.wait_for_timeout(_DRAWING_MILLISECONDS)
        page.screenshot(path=path)
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--logdir", required=True, help="folder of a run, or of several"
    )
    parser.add_argument("--output", type=pathlib.Path, default=PICTURE)
    parser.add_argument("--chromium", metavar="PROGRAM", help="an installed browser")
    flags = parser.parse_args()
    with tensorboard(flags.logdir) as address:
        photograph(address, flags.output, flags.chromium)


if __name__ == "__main__":
    main()
