"""Photos in, masks out by parts: the command with --tile."""

import os

import numpy as np
import pytest
from PIL import Image

from tests.predicting import CLASSES, contents, read, run, save_photo, turned
from wss.data import parsing
from wss.data.datasets.spec import pascal_palette
from wss.evaluation import large_images
from wss.files.outputs import LIST
from wss.image_io import geotiff, writing


def test_tiles_have_the_results_of_the_sliding_window(model_dir, tmp_path, capsys):
    """Photos: larger than the crop in one side, in both, in none; turned."""
    photos = tmp_path / "photos"
    save_photo(str(photos / "sub" / "wide.jpg"), 33, 200)
    save_photo(str(photos / "large.png"), 120, 90, seed=1)
    save_photo(str(photos / "grey.tif"), 70, 40, "L", seed=2)
    save_photo(str(photos / "small.jpg"), 20, 31, seed=3)
    save_photo(str(photos / "turned.jpg"), 50, 80, seed=4, **turned())
    tiles, windows = tmp_path / "tiles", tmp_path / "windows"
    assert run(model_dir, [photos], windows, "--sliding_window", "--probabilities") == 0
    capsys.readouterr()
    assert run(model_dir, [photos], tiles, "--tile", "--probabilities") == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        f"5 photos predicted, 0 left out: {tiles}",
        f"The photos in the colors of their classes: {tiles}/overlays",
    ]
    expected = contents(windows)
    assert len([path for path in expected if path.suffix == ".npy"]) == 5
    for path, content in expected.items():
        if path.name != LIST:
            assert (tiles / path.relative_to(windows)).read_bytes() == content, path
    assert len(contents(tiles)) == len(expected)
    # Results of wss are replaced, those that a user changed are not.
    assert run(model_dir, [photos], tiles, "--tile", "--probabilities") == 0
    assert contents(tiles).keys() == {tiles / p.relative_to(windows) for p in expected}
    (tiles / "probabilities" / "small.npy").write_bytes(b"mine")
    assert run(model_dir, [photos], tiles, "--tile", "--probabilities") == 2
    assert run(model_dir, [photos], tmp_path / "other", "--tile", "--rank") == 2
    assert "Leave out --tile" in capsys.readouterr().err


def test_large_overlays_are_reduced(model_dir, tmp_path, monkeypatch):
    save_photo(str(tmp_path / "a.png"), 50, 121)
    monkeypatch.setattr(large_images, "MAX_OVERLAY_SIDE", 41)
    monkeypatch.setattr(writing, "_ROWS", 10)
    assert run(model_dir, [tmp_path / "a.png"], tmp_path / "out", "--tile") == 0
    assert read(tmp_path / "out" / "masks" / "a.png").shape == (50, 121)
    mask = read(tmp_path / "out" / "masks" / "a.png")
    colors = pascal_palette(CLASSES)[mask]
    blended = (read(tmp_path / "a.png").astype(float) + colors) / 2
    overlay = read(tmp_path / "out" / "overlays" / "a.jpg").astype(float)
    assert overlay.shape == (17, 41, 3)
    means = blended[:48, :120].reshape(16, 3, 40, 3, 3).mean((1, 3))
    assert np.abs(overlay[:16, :40] - means).mean() < 6  # Compressed as a JPEG.


def test_more_pixels_than_pillow_allows(model_dir, tmp_path, monkeypatch, capsys):
    save_photo(str(tmp_path / "a.png"), 70, 70)
    save_photo(str(tmp_path / "b.jpg"), 70, 70)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)
    monkeypatch.setattr(parsing, "MAX_PIXELS", 4000)
    images = [tmp_path / "a.png", tmp_path / "b.jpg"]
    assert run(model_dir, images, tmp_path / "plain") == 2
    assert "more than 4,000 pixels. Cut it into tiles" in capsys.readouterr().err
    assert run(model_dir, images, tmp_path / "out", "--tile") == 0
    assert "2 photos predicted" in capsys.readouterr().out
    assert Image.MAX_IMAGE_PIXELS == 2000


def save_geotiff(path, height, width):
    rasterio = pytest.importorskip("rasterio")
    save_photo(str(path), height, width)
    pixels = np.moveaxis(read(path), -1, 0)
    place = {"crs": "EPSG:32632", "transform": rasterio.Affine(2, 0, 7e5, 0, -2, 5e6)}
    shape = {"height": height, "width": width, "count": 3, "dtype": "uint8"}
    with rasterio.open(path, "w", photometric="RGB", **shape, **place) as file:
        file.write(pixels)


def test_the_mask_of_a_geotiff_is_at_its_place(model_dir, tmp_path, capsys):
    photos, out = tmp_path / "photos", tmp_path / "out"
    os.makedirs(photos)
    save_geotiff(photos / "map.tif", 90, 130)
    save_photo(str(photos / "plain.tif"), 40, 40)
    assert run(model_dir, [photos], tmp_path / "windows", "--sliding_window") == 0
    assert run(model_dir, [photos], out, "--tile") == 0
    assert sorted(os.listdir(out / "masks")) == ["map.tif", "plain.png"]
    expected = read(tmp_path / "windows" / "masks" / "map.png")
    np.testing.assert_array_equal(read(out / "masks" / "map.tif"), expected)
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(out / "masks" / "map.tif") as file:
        assert file.crs == "EPSG:32632" and file.transform.c == 7e5
    # The mask is not taken for a photo, and a corrected one stays.
    assert run(model_dir, [tmp_path], tmp_path / "all", "--tile") == 0
    assert "written by wss" in capsys.readouterr().out
    (out / "masks" / "map.tif").write_bytes(b"mine")
    assert run(model_dir, [photos], out, "--tile") == 2


@pytest.mark.parametrize("flags, installed", [(["--tile"], False), ([], True)])
def test_a_note_says_that_the_place_is_lost(
    model_dir, tmp_path, capsys, monkeypatch, flags, installed
):
    save_geotiff(tmp_path / "map.tif", 90, 130)
    monkeypatch.setattr(geotiff, "is_installed", lambda: installed)
    assert run(model_dir, [tmp_path / "map.tif"], tmp_path / "out", *flags) == 0
    output = capsys.readouterr().out
    assert "1 of the photos are GeoTIFFs. Their masks are PNGs without georef" in output
    assert ("pip install rasterio" in output) != installed
    assert os.listdir(tmp_path / "out" / "masks") == ["map.png"]


def test_a_damaged_large_photo_is_left_out(model_dir, tmp_path, capsys):
    photos = tmp_path / "photos"
    os.makedirs(photos)
    save_geotiff(photos / "map.tif", 90, 130)
    with open(photos / "map.tif", "r+b") as file:
        file.truncate(20_000)
    save_photo(str(photos / "a.png"), 40, 40)
    assert run(model_dir, [photos], tmp_path / "out", "--tile") == 0
    printed = capsys.readouterr()
    assert "1 photo predicted, 1 left out" in printed.out
    assert f"The image {photos}/map.tif cannot be read" in printed.err
    left = {
        os.path.relpath(path, tmp_path / "out") for path in contents(tmp_path / "out")
    }
    assert left == {LIST, "classes.json", "masks/a.png", "overlays/a.jpg"}
