import resource
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from tests.data import records
from wss.data import parsing
from wss.errors import UserError

BOTH_MODES = pytest.mark.parametrize(
    "wrap", [lambda f: f, lambda f: tf.function(f, autograph=False)], ids="eg"
)


@BOTH_MODES
def test_png_image_and_mask(wrap):
    parsed = wrap(parsing.parse_example)(records.numbered(7))
    np.testing.assert_array_equal(parsed["image"], records.image(7))
    np.testing.assert_array_equal(parsed["label"], records.label(7))
    assert parsed["label"].dtype == tf.uint8
    assert parsed["has_label"] and parsed["name"].numpy() == b"7"
    assert parsed["class_ids"].shape == (0,)


@BOTH_MODES
def test_image_without_mask_is_all_ignored(wrap):
    features = {"ENCODED": records.png(records.image(1)), "CLASS_IDS": [2, 1]}
    parsed = wrap(parsing.parse_example)(records.example(**features), 17)
    assert not parsed["has_label"]
    np.testing.assert_array_equal(parsed["label"], np.full((24, 30), 17))
    np.testing.assert_array_equal(parsed["class_ids"], [2, 1])


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg(channels):
    pixels = np.full((16, 24, channels), 200, np.uint8)
    encoded = tf.io.encode_jpeg(pixels, quality=100).numpy()
    parsed = parsing.parse_example(records.example(ENCODED=encoded))
    np.testing.assert_allclose(parsed["image"], np.full((16, 24, 3), 200), atol=1)


@pytest.mark.parametrize("channels", [1, 4])
def test_grey_and_transparent_png_become_rgb(channels):
    pixels = np.random.RandomState(0).randint(0, 256, (5, 6, 4)).astype(np.uint8)
    encoded = records.png(pixels[..., :channels])
    parsed = parsing.parse_example(records.example(ENCODED=encoded))
    expected = pixels[..., :3] if channels == 4 else pixels[..., :1].repeat(3, axis=-1)
    np.testing.assert_array_equal(parsed["image"], expected)


IMAGE = {"ENCODED": records.png(records.image(0)), "FILENAME": b"cat"}

JPEG = tf.io.encode_jpeg(records.image(0)).numpy()


@BOTH_MODES
@pytest.mark.parametrize(
    "features, sentence",
    [
        (
            {"FILENAME": b"cat"},
            "is missing or neither JPEG nor PNG in record cat (val-0, record 3)",
        ),
        (
            {"ENCODED": b"GIF89a", "FILENAME": b"cat"},
            "Feature image/encoded is missing",
        ),
        ({**IMAGE, "ENCODED": IMAGE["ENCODED"][:-99]}, "image/encoded is damaged"),
        ({**IMAGE, "ENCODED": JPEG[:-99]}, "cannot be decoded, in record cat (val-0"),
        (
            {**IMAGE, "LABEL_ENCODED": b"what"},
            "Feature image/segmentation/class/encoded is ",
        ),
        (
            {**IMAGE, "LABEL_ENCODED": records.png(records.image(0))},
            "class/encoded is not an 8-bit gray PNG of class ids in record cat",
        ),
        (
            {**IMAGE, "LABEL_ENCODED": records.png(np.zeros((24, 31, 1), np.uint8))},
            "The image has 24 x 30 pixels, but the mask 24 x 31 in record cat (val-0",
        ),
    ],
)
def test_broken_records_are_named(wrap, features, sentence):
    serialized = records.example(**features)
    with pytest.raises(UserError) as error, parsing.user_errors():
        wrap(parsing.parse_example)(serialized, source="val-0, record 3")
    assert sentence in str(error.value)


def png_of(width, height):
    """A PNG whose header claims that many pixels, with a few bytes of data."""
    header = b"IHDR" + struct.pack(">II5B", width, height, 8, 2, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(header))
    return records.png(records.image(0))[:8] + b"\0\0\0\r" + header + crc


def jpeg_of(width, height):
    """Like `png_of`: a complete JPEG whose header claims a larger image."""
    frame = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:frame] + struct.pack(">HH", height, width) + JPEG[frame + 4 :]


@BOTH_MODES
@pytest.mark.parametrize(
    "features, sentence",
    [
        (
            {"ENCODED": png_of(40_000, 30_000)},
            "image/encoded has 30000 x 40000 pixels, more than 178,956,970, in record ",
        ),
        ({"ENCODED": png_of(0x7FFFFFFF, 0x7FFFFFFF)}, "2147483647 x 2147483647 pixels"),
        ({"ENCODED": jpeg_of(65_500, 60_000)}, "encoded has 60000 x 65500 pixels"),
        (
            {**IMAGE, "LABEL_ENCODED": png_of(40_000, 30_000)},
            "segmentation/class/encoded has 30000 x 40000 pixels",
        ),
        ({"ENCODED": png_of(-1 & 0xFFFFFFFF, 5)}, "is damaged"),
        ({"ENCODED": png_of(10, 10)[:20]}, "is damaged"),
        ({"ENCODED": JPEG[:3]}, "is damaged"),
    ],
)
def test_what_is_too_large_is_named_and_not_decoded(wrap, features, sentence):
    lies = {"HEIGHT": [24], "WIDTH": [30], "FILENAME": b"cat"}
    features = {**lies, **features}
    serialized = records.example(**features)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError) as error, parsing.user_errors():
        wrap(parsing.parse_example)(serialized, source="val-0, record 3")
    assert sentence in str(error.value) and "val-0, record 3" in str(error.value)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 200_000  # KiB; the smallest has 3.6 GB.


def test_as_many_pixels_as_photos_may_have(monkeypatch):
    monkeypatch.setattr(parsing, "_parser", parsing._parser.__wrapped__)  # No cache.
    monkeypatch.setattr(parsing, "MAX_PIXELS", 24 * 30)
    for encoded in (JPEG, records.png(records.image(0))):
        parsed = parsing.parse_example(records.example(ENCODED=encoded))
        assert parsed["image"].shape == (24, 30, 3)
    monkeypatch.setattr(parsing, "MAX_PIXELS", 24 * 30 - 1)
    for encoded in (JPEG, records.png(records.image(0))):
        with pytest.raises(UserError, match="more than 719"), parsing.user_errors():
            parsing.parse_example(records.example(ENCODED=encoded))


@BOTH_MODES
@pytest.mark.parametrize("content", [b"\xff\xfe no message \x80", b"\x0a\xff"])
def test_bytes_that_are_no_example_are_named(wrap, content):
    for read in (parsing.parse_example, parsing.record_name):
        with pytest.raises(UserError) as error, parsing.user_errors():
            wrap(read)(tf.constant(content), source=tf.constant("val-0, record 3"))
        assert str(error.value).startswith(
            "Cannot read val-0, record 3: it is not a tf.train.Example."
        )


def test_a_name_that_is_not_utf8_hides_no_sentence():
    serialized = records.example(ENCODED=b"GIF89a", FILENAME=b"caf\xe9")
    with pytest.raises(UserError, match="neither JPEG nor PNG in record caf"):
        with parsing.user_errors():
            parsing.parse_example(serialized, source="val-0, record 3")


def test_name_without_decoding():
    serialized = records.example(ENCODED=b"GIF89a", FILENAME=b"cat")
    assert parsing.record_name(serialized).numpy() == b"cat"


def test_other_errors_pass_through():
    with pytest.raises(tf.errors.InvalidArgumentError), parsing.user_errors():
        tf.io.decode_png(b"no png")
