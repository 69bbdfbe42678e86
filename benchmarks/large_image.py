"""Measures the memory that `wss.predict --tile` needs for an image of 12000 x 9000.

    python -m benchmarks.large_image --model_dir=runs/shapes
    python -m benchmarks.large_image --model_dir=runs/shapes --size 20000x30000 \\
        --gin_bindings="EVAL_CROP_SIZE = 641"

draws an image, writes it as PNG, JPEG and TIFF (as a GeoTIFF, where rasterio is
installed), and predicts each with the command, in a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image

from benchmarks.prediction import parse_size
from wss.image_io import geotiff

_ROWS = 500  # That are drawn at once.


def draw(size: tuple[int, int]) -> np.ndarray:
    """[height, width, 3], uint8: blobs of color under noise."""
    height, width = size
    generator = np.random.default_rng(0)
    pixels = np.empty([height, width, 3], np.uint8)
    for top in range(0, height, _ROWS):
        rows = min(_ROWS, height - top)
        coarse = generator.integers(0, 240, [3, width // 300 + 2, 3], np.uint8)
        blobs = Image.fromarray(coarse).resize((width, rows), Image.BICUBIC)
        noise = generator.integers(0, 16, [rows, width, 3], np.uint8)
        pixels[top : top + rows] = np.asarray(blobs) // 17 * 16 + noise
    return pixels


def write(pixels: np.ndarray, folder: str) -> list[str]:
    """Writes the image in all formats; returns the paths."""
    png, jpeg, tiff = (
        os.path.join(folder, f"{ending}.{ending}") for ending in ("png", "jpg", "tif")
    )
    image = Image.fromarray(pixels)
    image.save(png, compress_level=1)
    image.save(jpeg, quality=90)
    if not geotiff.is_installed():
        image.save(tiff)
        return [png, jpeg, tiff]
    import rasterio

    height, width, _ = pixels.shape
    transform = rasterio.Affine(10, 0, 500_000, 0, -10, 5_400_000)
    place = {"crs": "EPSG:32632", "transform": transform}
    shape = {"height": height, "width": width, "count": 3, "dtype": "uint8"}
    with rasterio.open(
        tiff, "w", driver="GTiff", photometric="RGB", tiled=True, **shape, **place
    ) as file:
        for band in range(3):
            file.write(pixels[..., band], band + 1)
    return [png, jpeg, tiff]


def measure(command: Sequence[str]) -> tuple[float, float, float]:
    """Seconds, CPU seconds and peak resident memory, in 10^9 bytes, of a command.

    Raises:
      RuntimeError: it failed.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} ended with status {status}")
    seconds = time.perf_counter() - begin
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model_dir", required=True)
    parser.add_argument(
        "--size", type=parse_size, default=(12000, 9000), metavar="HEIGHTxWIDTH"
    )
    parser.add_argument("--gin_bindings", action="append", default=[])
    flags = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for path in write(draw(flags.size), folder):
            kind = os.path.splitext(path)[1][1:]
            options = {
                "model_dir": flags.model_dir,
                "images": path,
                "output_dir": os.path.join(folder, f"predicted_{kind}"),
            }
            command = [sys.executable, "-m", "wss.predict", "--tile"]
            command += [f"--{name}={value}" for name, value in options.items()]
            command += [f"--gin_bindings={binding}" for binding in flags.gin_bindings]
            rows.append((kind, *measure(command)))
    print("| {} x {} | s | CPU s | peak GB |".format(*flags.size))
    print("| --- | --- | --- | --- |")
    for kind, seconds, cpu_seconds, gigabytes in rows:
        print(f"| {kind} | {seconds:.0f} | {cpu_seconds:.0f} | {gigabytes:.2f} |")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        main()
    except RuntimeError as error:
        sys.exit(str(error))
