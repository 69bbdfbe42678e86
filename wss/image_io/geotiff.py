"""TIFF files that are read and written by windows, with their place on the earth.

rasterio reads them where it is installed: pip install rasterio
"""

import contextlib
import os
import shlex
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Optional, Union

import numpy as np
from PIL import Image

from wss.errors import UserError
from wss.image_io import bit_depth, decoding, reading

if TYPE_CHECKING:
    import rasterio

ADVICE = "pip install rasterio"

# Tags of the coordinate system, the pixels' size and the corner.
_GEO_TAGS = (34735, 33550, 34264)
_ROWS = 1024  # That are read at once.
_BLOCK = 256  # Side of the written tiles.
_SAMPLE = 256  # Side of a sample of pixels.
_CACHE = 256  # Megabytes of decoded blocks.


def is_installed() -> bool:
    """Whether rasterio is installed."""
    try:
        import rasterio  # noqa: F401
    except ImportError:  # It is missing or does not fit this system.
        return False
    return True


def is_tiff(path: str) -> bool:
    """Whether a file is a TIFF, whose pixels are stored upright."""
    if not os.path.isfile(path):  # Reading a pipe would wait for ever.
        return False
    peeked = decoding.peek(path)
    if peeked is None:  # Not for Pillow: more bands, other numbers.
        with contextlib.suppress(OSError), open(path, "rb") as file:
            return file.read(4) in decoding.TIFF_BEGINS
        return False
    _, image = peeked
    return image.format == "TIFF" and decoding.orientation(image) is None


def has_place(path: str) -> bool:
    """Whether an image is a TIFF that its tags place on the earth."""
    if not is_tiff(path):
        return False
    if not is_installed():
        peeked = decoding.peek(path)
        return peeked is not None and any(tag in peeked[1].tag_v2 for tag in _GEO_TAGS)
    try:
        with _opened(path) as file:
            return bool(_place(file))
    except UserError:  # Reported when it is read.
        return False


class GeoTiff:
    """A TIFF that is read by windows: `tiff[top:bottom, left:right]`.

    A window is [rows, columns, 3], uint8, and has the pixels that `reading.read` finds.

    Args:
      path: of the file.
      image_bits: of an image with more than 8 bits, see `bit_depth.to_8_bits`.

    Attributes:
      shape: (height, width, 3).
      place: what places the image on the earth, for `write_labels`; empty: nothing.

    Raises:
      UserError: the file is damaged, has not one or three colors, or its values do not
        fit the bits.
    """

    def __init__(self, path: str, image_bits: Optional[int] = None):
        self._path = path
        self._file = _opened(path)
        self.shape = (self._file.height, self._file.width, 3)
        self.place = _place(self._file)
        self._check_bands()
        self._colors = self._palette()
        self._bits = None
        if self._file.dtypes[0] != "uint8":
            rows = (slice(top, top + _ROWS) for top in range(0, self.shape[0], _ROWS))
            highest = max(
                bit_depth.extremes(self._read(part), path)[1] for part in rows
            )
            self._bits = bit_depth.used_bits(highest, image_bits, path)

    def __getitem__(self, window: Union[slice, tuple[slice, slice]]) -> np.ndarray:
        rows, columns = window if isinstance(window, tuple) else (window, slice(None))
        numbers = self._read(rows, columns)
        if self._bits is not None:
            numbers = bit_depth.upper_8_bits(numbers, self._bits)
        if self._colors is not None:
            numbers = self._colors[numbers]
        return np.asarray(reading.to_rgb(Image.fromarray(numbers), self._path))

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _read(self, rows: slice, columns: slice = slice(None)) -> np.ndarray:
        """The stored numbers [rows, columns] or [rows, columns, bands] of a window."""
        (top, bottom, _), (left, right, _) = (
            part.indices(side) for part, side in zip((rows, columns), self.shape)
        )
        with _explained(self._path):
            bands = self._file.read(window=((top, bottom), (left, right)))
        if len(bands) == 1:
            return bands[0]
        if len(bands) == 2:  # Gray and transparency.
            bands = bands[[0, 0, 0, 1]]
        return np.moveaxis(bands, 0, -1)

    def _check_bands(self) -> None:
        from rasterio.enums import ColorInterp

        if len(self._file.subdatasets) > 1:
            raise UserError(
                f"The image {self._path} contains {len(self._file.subdatasets)} images "
                "(pages). Save the right one as a separate file."
            )
        count, last = self._file.count, self._file.colorinterp[-1]
        has_alpha = last == ColorInterp.alpha and not self._is_color(count)
        if count - has_alpha not in (1, 3):
            raise UserError(
                f"The image {self._path} has {count} bands, but the network takes "
                "three: red, green and blue. Choose them: gdal_translate -b 1 -b 2 "
                f"-b 3 {shlex.quote(self._path)} rgb.tif"
            )
        if len(set(self._file.dtypes)) > 1:
            raise UserError(
                f"The bands of the image {self._path} have different types of "
                "numbers. Save it with 8 bits."
            )
        structure = {**self._file.tags(ns="IMAGE_STRUCTURE")}
        structure.update(self._file.tags(1, ns="IMAGE_STRUCTURE"))
        has_few_bits = (
            int(structure.get("NBITS", bit_depth.MIN_BITS)) < bit_depth.MIN_BITS
        )
        has_colors = self._file.colorinterp[0] == ColorInterp.palette
        is_odd = has_few_bits or (has_colors and self._file.dtypes[0] != "uint8")
        if is_odd or structure.get("MINISWHITE") == "YES":
            raise UserError(
                f"In the image {self._path}, 255 is not white. Save it with 8 bits, so "
                "that 0 is black and 255 is white."
            )

    def _is_color(self, band: int) -> bool:
        """Whether a band is infrared or the like: GDAL calls it transparency."""
        with _explained(self._path):
            sample = self._file.read(band, out_shape=(_SAMPLE, _SAMPLE))
        between = (sample > 0) & (sample < sample.max())
        return between.mean() > 0.5

    def _palette(self) -> Optional[np.ndarray]:
        """The colors of the numbers, [256, 4], uint8, if there is a palette."""
        from rasterio.enums import ColorInterp

        if self._file.colorinterp[0] != ColorInterp.palette:
            return None
        colors = np.zeros([256, 4], np.uint8)
        for number, color in self._file.colormap(1).items():
            colors[number] = color
        return colors


def write_labels(
    path: str, labels: np.ndarray, palette: np.ndarray, place: dict[str, Any]
) -> None:
    """Writes class ids as a tiled, compressed GeoTIFF that shows the classes' colors.

    Args:
      path: of the file.
      labels: [height, width] of class ids, uint8.
      palette: [classes, 3], uint8.
      place: see `GeoTiff.place`.
    """
    import rasterio

    height, width = labels.shape
    tiles = {"tiled": True, "blockxsize": _BLOCK, "blockysize": _BLOCK}
    stored = {"dtype": "uint8", "count": 1, "compress": "deflate", **tiles}
    with rasterio.Env(GDAL_CACHEMAX=_CACHE), rasterio.open(
        path,
        "w",
        driver="GTiff",
        BIGTIFF="IF_SAFER",
        height=height,
        width=width,
        **stored,
        **place,
    ) as file:
        colors = enumerate(palette.tolist())
        file.write_colormap(1, {number: (*color, 255) for number, color in colors})
        for top in range(0, height, _ROWS):
            rows = labels[top : top + _ROWS]
            window = ((top, top + len(rows)), (0, width))
            file.write(np.ascontiguousarray(rows), 1, window=window)


def _opened(path: str) -> "rasterio.DatasetReader":
    import rasterio

    with _explained(path), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Not every TIFF is georeferenced.
        return rasterio.open(path)


def _place(file: "rasterio.DatasetReader") -> dict[str, Any]:
    """See `GeoTiff.place`."""
    place = {"transform": file.transform, "crs": file.crs}
    if file.transform.is_identity:
        points, crs = file.gcps
        place = {"gcps": points, "crs": crs or file.crs}
    return {name: value for name, value in place.items() if value}


@contextlib.contextmanager
def _explained(path: str) -> Iterator[None]:
    """Turns a failure to read an image into a `UserError`."""
    import rasterio

    try:
        with rasterio.Env(GDAL_CACHEMAX=_CACHE):
            yield
    except rasterio.errors.RasterioError as error:
        reason = str(error).strip().split("\n")[0]
        raise decoding.unreadable("image", path, reason) from error
