"""TIFFs read by windows: the pixels of the usual reader; and their place."""

import builtins

import numpy as np
import pytest
from PIL import Image

from wss.errors import UserError
from wss.image_io import geotiff, reading

rasterio = pytest.importorskip("rasterio")
PLACE = {
    "crs": "EPSG:32632",
    "transform": rasterio.transform.from_origin(500_000, 5_400_000, 10, 10),
}
HEIGHT, WIDTH = 40, 61


def random(*bands, dtype=np.uint8, high=256):
    return np.random.RandomState(0).randint(0, high, [HEIGHT, WIDTH, *bands], dtype)


def transparent():
    """Every fifth column is somewhat transparent."""
    pixels = random(4)
    pixels[:, np.arange(WIDTH) % 5 > 0, 3] = 255
    return pixels


def write(path, pixels, place=PLACE, **options):
    """Writes [height, width, bands]."""
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=HEIGHT,
        width=WIDTH,
        count=pixels.shape[-1],
        dtype=pixels.dtype,
        **place,
        **options,
    ) as file:
        file.write(np.moveaxis(pixels, -1, 0))


def stripes_of(tiff):
    parts = [tiff[top : top + 7, 5:50] for top in range(0, HEIGHT, 7)]
    return np.concatenate(parts)


@pytest.mark.parametrize(
    "pixels, bits",
    [
        (random(3), None),
        (transparent(), None),
        (transparent()[..., 2:], None),
        (random(1), None),
        (random(1, dtype=np.uint16, high=4000), 12),
        (random(1, dtype=np.uint16, high=60000), None),
        (random(3, dtype=np.uint16, high=4000), 12),
    ],
)
def test_windows_have_the_pixels_of_the_usual_reader(tmp_path, pixels, bits):
    path = str(tmp_path / "a.tif")
    options = {"photometric": "MINISBLACK" if pixels.shape[-1] < 3 else "RGB"}
    if pixels.shape[-1] in (2, 4):
        options["alpha"] = "YES"
    write(path, pixels, **options)
    tiff = geotiff.GeoTiff(path, bits)
    expected = np.asarray(reading.read(path, image_bits=bits).image)
    assert tiff.shape == (HEIGHT, WIDTH, 3) == expected.shape
    np.testing.assert_array_equal(tiff[:], expected)
    np.testing.assert_array_equal(stripes_of(tiff), expected[:, 5:50])
    assert len(np.unique(expected)) > 10


def test_a_palette_becomes_its_colors(tmp_path):
    path = str(tmp_path / "a.tif")
    image = Image.fromarray(random(high=5))
    image.putpalette(bytes(range(100, 115)))
    image.save(path)
    expected = np.asarray(reading.read(path).image)
    np.testing.assert_array_equal(geotiff.GeoTiff(path)[:], expected)
    assert not geotiff.GeoTiff(path).place and not geotiff.has_place(path)


def test_a_mask_is_at_the_place_of_its_image(tmp_path):
    image, mask = str(tmp_path / "a.tif"), str(tmp_path / "mask.tif")
    write(image, random(3))
    assert geotiff.has_place(image)
    labels, palette = random(high=4), random(3)[:4, 0]
    geotiff.write_labels(mask, labels, palette, geotiff.GeoTiff(image).place)
    with rasterio.open(mask) as file:
        assert file.crs == PLACE["crs"] and file.transform == PLACE["transform"]
        assert file.profile["tiled"] and file.profile["compress"] == "deflate"
        np.testing.assert_array_equal(file.read(1), labels)
        assert file.colormap(1)[3] == (*palette[3].tolist(), 255)


def test_points_on_the_ground_are_kept(tmp_path):
    image, mask = str(tmp_path / "a.tif"), str(tmp_path / "mask.tif")
    points = [
        rasterio.control.GroundControlPoint(row, column, 10.0 + column, 50.0 - row)
        for row, column in ((0, 0), (0, 60), (39, 0), (39, 60))
    ]
    write(image, random(3), {"gcps": points, "crs": "EPSG:4326"})
    geotiff.write_labels(mask, random(), random(3)[:4, 0], geotiff.GeoTiff(image).place)
    with rasterio.open(mask) as file:
        kept, crs = file.gcps
    assert crs == "EPSG:4326"
    assert [(p.row, p.col, p.x, p.y) for p in kept] == [
        (p.row, p.col, p.x, p.y) for p in points
    ]


def test_what_a_network_cannot_read(tmp_path):
    path = str(tmp_path / "a.tif")
    for pixels, message in (
        (random(5), "has 5 bands.*gdal_translate -b 1 -b 2 -b 3"),
        (random(4), "has 4 bands"),  # GDAL calls the last one transparency.
        (random(1).astype(np.float32), "whose brightness is unknown"),
        (random(3, dtype=np.uint16, high=4000), "it is unknown which number is white"),
    ):
        write(path, pixels)
        with pytest.raises(UserError, match=message):
            geotiff.GeoTiff(path)
    write(path, random(1), nbits=1)
    with pytest.raises(UserError, match="255 is not white"):
        geotiff.GeoTiff(path)
    content = random(3)
    write(path, content, tiled=True, blockxsize=16, blockysize=16)
    with open(path, "r+b") as file:
        file.truncate(3000)
    with pytest.raises(UserError, match=f"The image {path} cannot be read"):
        geotiff.GeoTiff(path)[:]


def test_without_rasterio_the_tags_say_that_a_place_is_lost(tmp_path, monkeypatch):
    placed, plain = str(tmp_path / "a.tif"), str(tmp_path / "b.tif")
    write(placed, random(3))
    Image.fromarray(random(3)).save(plain)
    real = builtins.__import__

    def without(name, *rest):
        if name == "rasterio":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert not geotiff.is_installed()
    assert geotiff.has_place(placed) and not geotiff.has_place(plain)
