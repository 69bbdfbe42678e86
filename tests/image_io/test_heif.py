"""HEIC and AVIF: read where pillow-heif is installed, named where not."""

import os

import numpy as np
import pytest
from PIL import Image

from data_prep import masks
from tests.data_prep import trees
from wss.errors import UserError
from wss.image_io import decoding, discovery, heif, reading

needs_heif = pytest.mark.skipif(not heif.FORMATS, reason="pip install pillow-heif")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)
AVIF = b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif" + bytes(200)


@pytest.fixture
def without(monkeypatch):
    """As if pillow-heif were not installed."""
    endings = [e for e in discovery.EXTENSIONS if e not in heif.ENDINGS]
    formats = [f for f in decoding.FORMATS if f not in heif.FORMATS]
    monkeypatch.setattr(discovery, "EXTENSIONS", endings)
    monkeypatch.setattr(decoding, "FORMATS", formats)
    monkeypatch.setattr(heif, "FORMATS", ())
    monkeypatch.setattr(heif, "EXTENSIONS", ())


@pytest.mark.parametrize(
    "content, kind",
    [
        (HEIC, "HEIC"),
        (AVIF, "AVIF"),
        (b"\0\0\0\x14ftypqt  " + bytes(200), None),
        (b"\xff\xd8\xff\xe0" + bytes(200), None),
        (b"", None),
    ],
)
def test_what_a_file_is_inside(content, kind):
    assert heif.kind(content) == kind


def test_photos_of_phones_are_counted_by_kind(tmp_path, without):
    trees.save_image(tmp_path / "phone" / "IMG_1.JPG")
    for name in ("IMG_3.HEIC", "IMG_4.HEIC", "IMG_5.HEIC", "IMG_6.avif", "MOV_7.MOV"):
        (tmp_path / "phone" / name).write_bytes(HEIC)
    folder = str(tmp_path / "phone")
    found = discovery.collect([folder])
    assert list(found.paths) == list(discovery.scan(folder).paths) == ["IMG_1"]
    text = discovery.describe_left_out(folder, found.left_out[folder])
    assert "5 files left out (3 .HEIC, 1 .avif, 1 .MOV); the first is" in text
    assert text.endswith(heif.ADVICE) and "pip install pillow-heif" in text
    os.remove(tmp_path / "phone" / "IMG_1.JPG")
    for find in (discovery.scan, lambda path: discovery.collect([path])):
        with pytest.raises(UserError, match="no image in .*3 .HEIC.*pip install pill"):
            find(folder)


def test_a_jpg_that_is_heic_inside_is_named_so(tmp_path, without):
    (tmp_path / "a.jpg").write_bytes(HEIC)
    with pytest.raises(UserError, match="a.jpg is HEIC inside. .*pip install pillow-h"):
        reading.read(str(tmp_path / "a.jpg"))


@needs_heif
@pytest.mark.parametrize(
    "ending", [e for e in (".heic", ".avif") if e in heif.EXTENSIONS]
)
def test_photos_of_phones_are_read_upright(tmp_path, ending):
    small = np.random.RandomState(0).randint(0, 256, [4, 6, 3]).astype(np.uint8)
    image = Image.fromarray(small).resize((96, 64), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6  # By 90 degrees.
    path = tmp_path / f"IMG_1{ending.upper()}"
    image.save(path, quality=95, exif=exif.tobytes())
    assert list(discovery.scan(str(tmp_path)).paths) == ["IMG_1"]
    for name in (path, path.with_suffix(".jpg")):
        path.rename(name)
        photo, path = reading.read(str(name)), name
        assert photo.size == (64, 96) and photo.image_format == "png"
        turned = np.asarray(image.transpose(Image.Transpose.ROTATE_270)).astype(int)
        assert np.abs(np.asarray(photo.image).astype(int) - turned).mean() < 3


@needs_heif
def test_a_mask_in_heic_is_refused(tmp_path):
    Image.new("L", (16, 16)).save(tmp_path / "a.heic")
    with pytest.raises(UserError, match="a.heic is a HEIC, whose compression changes"):
        masks.read_values(str(tmp_path / "a.heic"))


@needs_heif
def test_a_damaged_photo_is_told(tmp_path):
    (tmp_path / "a.heic").write_bytes(HEIC)
    with pytest.raises(UserError, match="a.heic cannot be read"):
        reading.read(str(tmp_path / "a.heic"))
