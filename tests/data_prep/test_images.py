"""Photos as users have them: read as training can read them, or refused."""

import io
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep import images
from data_prep.writing import examples
from tests.data_prep import trees
from tests.image_io import raw
from wss.data import parsing
from wss.errors import UserError
from wss.image_io import decoding

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


parse = tf.function(parsing.parse_example, autograph=False)


def save(path, pixels, mode=None, **options):
    """Saves pixels in the format of the path, optionally in another mode."""
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return str(path)


def trained_on(example):
    """The image of an example as training sees it: [height, width, 3], uint8."""
    parsed = parse(tf.constant(examples.serialize(example)))
    assert parsed["image"].shape == (example.height, example.width, 3)
    return parsed["image"].numpy()


def rotated(path, orientation=6, **options):
    """Saves a photo of 20 x 40 pixels with an EXIF orientation."""
    rows = np.repeat(np.arange(40, dtype=np.uint8)[:, None] * 6, 20, axis=1)
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(path, rows, exif=exif, **options)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "A.JPEG", "no_jpeg.jpg"])
def test_jpeg_and_png_keep_their_bytes(tmp_path, mode, name):
    kind = {"no_jpeg.jpg": "PNG"}.get(name)
    path = save(tmp_path / name, RAMP, mode, format=kind)
    example = images.read_example("a", path)
    assert example.image == (tmp_path / name).read_bytes()
    assert example.format == ("png" if kind or name == "a.png" else "jpeg")
    assert (example.height, example.width) == (6, 8)
    assert abs(trained_on(example) - RAMP[..., None].astype(int)).max() < 10


@pytest.mark.parametrize("ending", ["bmp", "tif", "webp", "ppm", "gif"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_other_formats_become_png(tmp_path, ending, mode):
    path = save(tmp_path / f"a.{ending}", np.repeat(RAMP[..., None], 3, -1), mode)
    example = images.read_example("a", path)
    assert example.format == "png"
    assert Image.open(io.BytesIO(example.image)).mode == "RGB"
    assert abs(trained_on(example) - RAMP[..., None].astype(int)).max() < 10


@pytest.mark.parametrize("mode", ["CMYK", "P", "1"])
def test_other_modes_become_rgb(tmp_path, mode):
    path = save(tmp_path / f"a.{'jpg' if mode == 'CMYK' else 'png'}", RAMP, mode)
    example = images.read_example("a", path)
    assert example.format == ("jpeg" if mode == "CMYK" else "png")
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert abs(trained_on(example) - expected).max() < 10


def test_ycck_jpegs_of_photoshop(tmp_path):
    path = save(tmp_path / "a.jpg", RAMP, "CMYK")
    encoded = bytearray((tmp_path / "a.jpg").read_bytes())
    at = encoded.index(b"Adobe") + 11
    assert encoded[at] == 0  # The colors are CMYK;
    encoded[at] = 2  # now they are read as YCCK.
    (tmp_path / "a.jpg").write_bytes(encoded)
    example = images.read_example("a", path)
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert abs(trained_on(example) - expected).max() < 10


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_pixels_are_shown_on_white(tmp_path, mode):
    alpha = np.full_like(RAMP, 255)
    alpha[0], alpha[1] = 0, 51
    pixels = np.dstack([RAMP, RAMP, RAMP, alpha])
    path = str(tmp_path / "a.png")
    if mode == "P":
        image = Image.fromarray(np.where(alpha == 255, 1, 0).astype(np.uint8), "P")
        image.putpalette([9, 9, 9, 77, 77, 77])
        image.save(path, transparency=0)
        expected = np.where(alpha == 255, 77, 255)
    else:
        save(path, pixels, mode)
        expected = RAMP * (alpha / 255) + 255 * (1 - alpha / 255)
    shown = trained_on(images.read_example("a", path))
    assert abs(shown - expected[..., None]).max() <= 1


def test_a_transparent_colour_of_an_rgb_png(tmp_path):
    pixels = np.full((2, 3, 3), 7, np.uint8)
    pixels[0, 0] = 1, 2, 3
    path = save(tmp_path / "a.png", pixels, transparency=(1, 2, 3))
    shown = trained_on(images.read_example("a", path))
    np.testing.assert_array_equal(shown[0, 0], [255, 255, 255])
    np.testing.assert_array_equal(shown[1], pixels[1])


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_grey_of_16_bits(tmp_path, ending):
    deep = RAMP.astype(np.uint16) * 257
    path = save(tmp_path / f"a.{ending}", deep)
    shown = trained_on(images.read_example("a", path))
    np.testing.assert_array_equal(shown, np.repeat(RAMP[..., None], 3, -1))
    path = save(tmp_path / f"a.{ending}", RAMP.astype(np.uint16))
    shown = trained_on(images.read_example("a", path, image_bits=8))
    np.testing.assert_array_equal(shown, np.repeat(RAMP[..., None], 3, -1))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_numbers_that_are_no_brightness(tmp_path, dtype):
    path = save(tmp_path / "a.tif", RAMP.astype(dtype) * 1000)
    with pytest.raises(UserError, match=r"a.tif has numbers \(0 to 235000\)"):
        images.read_example("a", path)


def test_colours_of_16_bits(tmp_path):
    pixels = np.repeat(RAMP[..., None], 3, axis=-1).astype(np.uint16) * 257
    (tmp_path / "a.png").write_bytes(raw.png(pixels, 16))
    example = images.read_example("a", str(tmp_path / "a.png"))
    np.testing.assert_array_equal(trained_on(example), pixels // 257)


def test_colours_of_an_unknown_kind(monkeypatch):
    image = Image.new("La", (8, 6))
    monkeypatch.setattr(decoding, "load", lambda *_: (b"...", image))
    with pytest.raises(UserError, match="a.tif has an unknown pixel format .La"):
        images.read_example("a", "a.tif")


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(tmp_path, name, orientation):
    path = rotated(tmp_path / name, orientation)
    example = images.read_example("a", path)
    sideways = orientation > 4
    assert (example.height, example.width) == ((20, 40) if sideways else (40, 20))
    upright = Image.open(io.BytesIO(example.image))
    assert upright.getexif().get(0x0112, 1) == 1
    ends = trained_on(example)[:: example.height - 1, :: example.width - 1, 0] > 128
    expected = [[False] * 2, [True] * 2]  # The stored image is bright below.
    expected = np.array(expected)
    if sideways:
        expected = expected.T
    if orientation in (3, 4, 6, 7):
        expected = expected[::-1, ::-1]
    np.testing.assert_array_equal(ends, expected)


def test_masks_of_rotated_photos(tmp_path):
    path = rotated(tmp_path / "a.jpg")
    mask = np.zeros((20, 40), np.uint8)
    assert images.read_example("a", path, mask).mask is mask
    message = (
        "a.jpg, rotated upright according to its EXIF data, has 40 x 20 pixels, its "
        "mask 20 x 40: the mask was drawn on the photo as stored.*exiftool"
    )
    with pytest.raises(UserError, match=message):
        images.read_example("a", path, mask.T)
    with pytest.raises(UserError, match="rotated upright.* mask 7 x 9. Save the mask"):
        images.read_example("a", path, np.zeros((9, 7), np.uint8))


def test_masks_of_another_size(tmp_path):
    path = save(tmp_path / "a.jpg", RAMP)
    with pytest.raises(UserError, match="a.jpg has 8 x 6 pixels, its mask 6 x 8. Save"):
        images.read_example("a", path, np.zeros((8, 6), np.uint8))


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.bmp"])
def test_large_images_are_made_smaller_with_their_masks(tmp_path, name):
    left = np.zeros((30, 50), np.uint8)
    left[:, :25] = 200
    path = save(tmp_path / name, left)
    mask = (left > 0).astype(np.uint8)
    assert images.read_example("a", path, mask, max_side=50).height == 30
    example = images.read_example("a", path, mask, max_side=10)
    assert (example.height, example.width) == (6, 10)
    np.testing.assert_array_equal(example.mask, np.arange(10) < 5 * np.ones((6, 1)))
    shown = trained_on(example)
    assert shown[:, :4].min() > 150
    assert shown[:, 6:].max() < 50


def broken(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as error_info:
        images.read_example("a", str(tmp_path / name))
    assert "\n" not in str(error_info.value)
    assert "0x" not in str(error_info.value)
    return str(error_info.value)


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "tif", "webp", "gif"])
def test_damaged_images(tmp_path, ending):
    trees.save_image(tmp_path / f"a.{ending}", 64, 64)
    content = (tmp_path / f"a.{ending}").read_bytes()
    for part in (10, len(content) // 2, len(content) - 60):
        message = broken(tmp_path, f"a.{ending}", content[:part])
        assert f"The image {tmp_path}/a.{ending} cannot be read (" in message
    for noise in (b"", b"Some text.\n", bytes(range(256)), content[:4] + b"\0" * 999):
        assert "cannot be read (" in broken(tmp_path, f"a.{ending}", noise)


def test_what_is_said_about_damaged_images(tmp_path):
    assert "(the file is empty)" in broken(tmp_path, "a.jpg", b"")
    assert "(it is not one of JPEG, PNG, " in broken(tmp_path, "a.jpg", b"text")
    grey_with_two_more = raw.tiff(np.zeros((2, 3, 3)), 8, photometric=1)
    message = broken(tmp_path, "a.tif", grey_with_two_more)
    assert "(it is a TIFF with unsupported bands, numbers or layout, " in message
    assert "Repair it or leave it out." in broken(tmp_path, "a.jpg", b"text")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "missing.jpg")
    with pytest.raises(UserError, match="link.jpg cannot be read .No such file"):
        images.read_example("a", str(tmp_path / "link.jpg"))
    trees.save_image(tmp_path / "b.jpg", 64, 64)
    twelve_bits = (tmp_path / "b.jpg").read_bytes()
    at = twelve_bits.index(b"\xff\xc0") + 4
    twelve_bits = twelve_bits[:at] + b"\x0c" + twelve_bits[at + 1 :]
    assert "(it is not one of" in broken(tmp_path, "a.jpg", twelve_bits)


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(
        UserError, match=r"a.jpg cannot be read \(it is not a regular file"
    ):
        images.read_example("a", str(tmp_path / "a.jpg"))


def test_images_that_are_too_large(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", RAMP)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30)
    images.read_example("a", path)  # For up to twice as many, PIL would only warn.
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(UserError, match="a.png has more than 40 pixels. Cut it into"):
        images.read_example("a", path)


@pytest.mark.parametrize("ending", ["gif", "tif", "webp", "png"])
def test_several_pictures_in_one_file(tmp_path, ending):
    frames = [Image.fromarray(np.full((6, 8, 3), i * 90, np.uint8)) for i in range(3)]
    path = str(tmp_path / f"a.{ending}")
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(UserError, match=f"a.{ending} contains 3 images"):
        images.read_example("a", path)


def test_previews_are_no_pictures_of_their_own(tmp_path):
    path = str(tmp_path / "a.tif")
    large, small = Image.fromarray(RAMP), Image.fromarray(RAMP[::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    large.save(path, save_all=True, append_images=[small])
    assert Image.open(path).n_frames == 2
    assert images.read_example("a", path).width == 8


def test_photos_of_two_lenses(tmp_path):
    frames = [Image.fromarray(np.full((6, 8, 3), i * 90, np.uint8)) for i in range(2)]
    path = str(tmp_path / "a.jpg")
    frames[0].save(path, "MPO", save_all=True, append_images=frames[1:])
    example = images.read_example("a", path)
    assert example.format == "jpeg"
    assert trained_on(example).max() < 10


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_pictures_in_a_damaged_frame_are_saved_anew(tmp_path, name):
    """PIL reads them and TensorFlow does not."""
    save(tmp_path / name, RAMP)
    whole = (tmp_path / name).read_bytes()
    if name == "a.png":
        damaged = whole[:-6]
    else:  # Bytes between two segments.
        at = whole.index(b"\xff\xdb")
        damaged = whole[:at] + b"\0\0" + whole[at:]
    (tmp_path / name).write_bytes(damaged)
    example = images.read_example("a", str(tmp_path / name))
    assert example.image != damaged
    assert abs(trained_on(example) - RAMP[..., None].astype(int)).max() < 10


def test_jpegs_of_kinds_that_not_every_decoder_knows(tmp_path):
    path = save(tmp_path / "a.jpg", RAMP)
    encoded, image = decoding.load(path, "image")
    assert decoding.is_sound(encoded, image)
    at = encoded.index(b"\xff\xc0") + 1
    for frame in (0xC3, 0xC9, 0xCA):  # Lossless, arithmetic codes.
        changed = encoded[:at] + bytes([frame]) + encoded[at + 1 :]
        assert not decoding.is_sound(changed, image)
    for options in ({"progressive": True}, {"restart_marker_blocks": 1}):
        trees.save_image(tmp_path / "b.jpg", 64, 64)
        Image.open(tmp_path / "b.jpg").save(path, **options)
        assert decoding.is_sound(*decoding.load(path, "image"))
