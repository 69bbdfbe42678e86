"""Pictures of more or fewer than 8 bits: the stored numbers, and one rule of range."""

import numpy as np
import pytest
from PIL import Image

from tests.image_io import raw
from wss.errors import UserError
from wss.image_io import bit_depth, decoding, reading

RNG = np.random.default_rng(0)
GREY, COLOURS = RNG.integers(0, 4096, (5, 7)), RNG.integers(0, 4096, (5, 7, 3))
ALPHA = np.concatenate([COLOURS, np.full((5, 7, 1), 65535)], axis=-1)


def stored(path, content):
    path.write_bytes(content)
    return bit_depth.stored_numbers(*decoding.load(str(path), "image"), str(path))


@pytest.mark.parametrize(
    "encode",
    [
        lambda pixels: raw.png(pixels, 16),
        lambda pixels: raw.tiff(pixels, 16, "<"),
        lambda pixels: raw.tiff(pixels, 16, ">"),
        lambda pixels: raw.tiff(pixels, 16, "<", deflated=True),
        lambda pixels: raw.tiff(pixels, 16, ">", deflated=True),
    ],
)
@pytest.mark.parametrize("pixels", [GREY, COLOURS, ALPHA])
def test_16_bits_are_read_in_full(tmp_path, encode, pixels):
    np.testing.assert_array_equal(stored(tmp_path / "a", encode(pixels)), pixels)


def test_grey_and_alpha_of_16_bits(tmp_path):
    pixels = np.dstack([GREY, np.full((5, 7), 65535)])
    found = stored(tmp_path / "a.png", raw.png(pixels, 16))
    np.testing.assert_array_equal(found, pixels[..., [0, 0, 0, 1]])


@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("largest", [2, 200, 4095, 65535])
def test_pnm_files_hold_the_numbers_that_they_say(tmp_path, largest, as_text):
    for pixels in (GREY % (largest + 1), COLOURS % (largest + 1)):
        found = stored(tmp_path / "a.pgm", raw.pnm(pixels, largest, as_text))
        np.testing.assert_array_equal(found, pixels)


def test_pnm_files_that_hold_more_than_they_say(tmp_path):
    with pytest.raises(
        UserError, match="a.pgm contains the number 255.* 2 is the larg"
    ):
        stored(tmp_path / "a.pgm", raw.pnm(np.array([[0, 255]]), 2))


def test_pnm_files_say_which_number_is_white(tmp_path):
    path = tmp_path / "a.ppm"
    for pixels, white in ((GREY, 4095), (COLOURS, 4095), (COLOURS % 1001, 1000)):
        path.write_bytes(raw.pnm(pixels, white))
        shown = np.asarray(reading.read(str(path)).image.convert("RGB"))
        expected = np.broadcast_to((pixels / white).reshape(5, 7, -1), (5, 7, 3))
        np.testing.assert_allclose(shown, expected * 255.996, atol=1)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_few_bits_are_not_spread(tmp_path, bits):
    pixels = GREY % 2**bits
    for content in (
        raw.png(pixels, bits),
        raw.tiff(pixels, bits, "<"),
        raw.tiff(pixels, bits, ">"),
    ):
        np.testing.assert_array_equal(stored(tmp_path / "a", content), pixels)


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_zero_that_is_white(tmp_path, bits):
    content = raw.tiff(GREY % 2**bits, bits, white_is_zero=True)
    with pytest.raises(UserError, match="0 is white.*Save it as PNG"):
        stored(tmp_path / "a.tif", content)
    if bits <= 8:  # A photo is what viewers show.
        image = reading.read(str(tmp_path / "a.tif")).image.convert("L")
        expected = 255 - GREY % 2**bits * (255 // (2**bits - 1))
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_black_and_white_are_what_viewers_show(tmp_path):
    content = raw.tiff(GREY % 2, 1, white_is_zero=True)
    np.testing.assert_array_equal(stored(tmp_path / "a.tif", content), GREY % 2 == 0)


def test_one_rule_for_all_pictures_of_a_data_set(tmp_path):
    shown = []
    for highest in (250, 255, 300, 4000):
        pixels = np.full((4, 4), highest, np.uint16)
        Image.fromarray(pixels).save(tmp_path / "a.png")
        photo = reading.read(str(tmp_path / "a.png"), image_bits=12)
        shown.append(np.asarray(photo.image).max())
    assert shown == [15, 15, 18, 250]


@pytest.mark.parametrize("bits, expected", [(8, 200), (12, 12), (16, 0)])
def test_the_upper_8_bits_are_kept_and_alpha_is_opaque(tmp_path, bits, expected):
    pixels = np.full((2, 3, 4), 200)
    pixels[..., 3] = 65535
    (tmp_path / "a.png").write_bytes(raw.png(pixels, 16))
    photo = reading.read(str(tmp_path / "a.png"), image_bits=bits)
    assert photo.kept is None
    assert photo.image.getextrema() == ((expected, expected),) * 3


def test_numbers_beyond_the_bits_of_the_data_set(tmp_path):
    Image.fromarray(np.full((4, 4), 5000, np.uint16)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=r"up to 5000, .* 12 bits \(0 to 4095\).*=13"):
        reading.read(str(tmp_path / "a.png"), image_bits=12)


def test_without_a_rule_dark_pictures_are_refused(tmp_path):
    path = tmp_path / "a.png"
    for highest, shown in ((40000, 156), (4000, None)):
        path.write_bytes(raw.png(np.full((4, 4, 3), highest), 16))
        if shown:
            assert reading.read(str(path)).image.getextrema() == ((shown, shown),) * 3
        else:
            with pytest.raises(UserError, match="no number in it exceeds 4000"):
                reading.read(str(path))


def test_the_brightest_number_of_a_file(tmp_path):
    for content, expected in (
        (raw.png(COLOURS, 16), COLOURS.max()),
        (raw.tiff(ALPHA, 16), COLOURS.max()),
        (raw.pnm(GREY, 4095), round(GREY.max() * 65535 / 4095)),
        (raw.png(GREY % 256, 8), None),
        (b"no image", None),
    ):
        (tmp_path / "a").write_bytes(content)
        assert bit_depth.brightest(str(tmp_path / "a")) == expected
    Image.new("L", (3, 3)).save(tmp_path / "a.jpg")
    assert bit_depth.brightest(str(tmp_path / "a.jpg")) is None


def test_8_bits_with_sign(tmp_path):
    numbers = np.array([[-1, 0, 127], [-128, 1, 2]], np.int8)
    content = raw.tiff(numbers.view(np.uint8), 8, sample_format=2)
    np.testing.assert_array_equal(stored(tmp_path / "a.tif", content), numbers)
