"""Masks as users have them: read right, or refused with a way to go on."""

import io
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep import images, masks, pairing, photos
from data_prep.colormaps import Colormap
from data_prep.writing import examples
from tests.data_prep import trees
from tests.image_io import raw
from wss.data import keys
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

MASK = np.array([[0, 1, 2, 255], [3, 3, 0, 1]], np.uint8)


def save(path, pixels, mode=None, **options):
    """Saves pixels in the format of the path, optionally in another mode."""
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return str(path)


@pytest.mark.parametrize("palette", [False, True])
def test_palette_masks_keep_their_indices_grey_ones_their_values(tmp_path, palette):
    path = tmp_path / "mask.png"
    trees.save_mask(path, MASK, palette)
    assert Image.open(path).mode == ("P" if palette else "L")
    mask = masks.read_mask(str(path), 4, 255)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, MASK)


@pytest.mark.parametrize("ending", ["png", "tif", "bmp", "PNG", "pgm"])
def test_lossless_formats(tmp_path, ending):
    path = save(tmp_path / f"mask.{ending}", MASK)
    np.testing.assert_array_equal(masks.read_mask(path, 4, 255), MASK)


@pytest.mark.parametrize(
    "content",
    [
        raw.png(MASK % 4, 2),
        raw.png(MASK % 4, 4),
        raw.tiff(MASK % 4, 2),
        raw.tiff(MASK % 4, 4, ">"),
        raw.pnm(MASK % 4, 3),
        raw.pnm(MASK % 4, 200, as_text=True),
        raw.pnm(MASK % 4, 1000),
    ],
)
def test_numbers_are_those_that_the_file_stores(tmp_path, content):
    """Viewers scale them to 0 to 255."""
    (tmp_path / "mask").write_bytes(content)
    mask, png = masks.read_mask_and_png(str(tmp_path / "mask"), 4, 255)
    assert png is None
    np.testing.assert_array_equal(mask, MASK % 4)


def test_class_15_of_16_in_4_bits_is_not_255(tmp_path):
    (tmp_path / "mask.tif").write_bytes(raw.tiff(np.array([[0, 15]]), 4))
    with pytest.raises(UserError, match="has the value 15 in 1 pixels"):
        masks.read_mask(str(tmp_path / "mask.tif"), 2, 255)


def test_more_than_the_largest_number_that_a_pgm_names(tmp_path):
    (tmp_path / "mask.pgm").write_bytes(raw.pnm(np.array([[0, 1, 255]]), 2))
    with pytest.raises(UserError, match="contains the number 255, .*maxval"):
        masks.read_mask(str(tmp_path / "mask.pgm"), 3, 255)


def test_a_palette_of_greys_may_hide_a_grey_mask(tmp_path):
    """Saving as GIF numbers the values that occur: here 255 becomes 4."""
    path = save(tmp_path / "mask.gif", MASK)
    with pytest.raises(UserError, match="palette of grays that differ.*gray PNG"):
        masks.read_mask(path, 5, 255)
    grays = Colormap("c.txt", tuple((i, i, i, i) for i in (0, 1, 2, 3, 255)))
    mask = masks.read_mask(path, 5, 255, masks.Labels(colormap=grays))
    np.testing.assert_array_equal(mask, MASK)
    path = save(tmp_path / "mask.gif", MASK * 60)  # Not class ids: only for display.
    np.testing.assert_array_equal(masks.read_mask(path, 5, 255), MASK % 251)
    path = save(tmp_path / "mask.gif", (MASK > 1) * np.uint8(255))
    np.testing.assert_array_equal(masks.read_mask(path, 2, 255), MASK > 1)


def test_indices_beyond_the_palette(tmp_path):
    content = raw.png(MASK % 4, 8, palette=[9, 8, 7, 200, 0, 0])
    (tmp_path / "mask.png").write_bytes(content)
    mask = masks.read_mask(str(tmp_path / "mask.png"), 4, 255)
    np.testing.assert_array_equal(mask, MASK % 4)


@pytest.mark.parametrize("dtype", [np.uint16, np.int32, np.float32])
def test_numbers_of_more_bits(tmp_path, dtype):
    ending = "png" if dtype == np.uint16 else "tif"
    path = save(tmp_path / f"mask.{ending}", MASK.astype(dtype))
    mask = masks.read_mask(path, 4, 255)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, MASK)
    path = save(tmp_path / f"mask.{ending}", MASK.astype(dtype) * 200)
    with pytest.raises(UserError, match="has the value 200 .and 3 other such values"):
        masks.read_mask(path, 4, 255)


@pytest.mark.parametrize("wrong", [0.5, np.nan, np.inf, -1e30])
def test_numbers_that_are_no_integers(tmp_path, wrong):
    path = save(tmp_path / "mask.tif", np.where(MASK == 2, wrong, 0).astype("f"))
    told = str(np.float32(wrong).item())
    message = f"mask.tif has the value {re.escape(told)}, .* not a class id. "
    advice = "Save" if wrong == 0.5 else f"--map {told}=ignore"
    with pytest.raises(UserError, match=message + re.escape(advice)):
        masks.read_mask(path, 4, 255, advice="--map {value}=ignore")
    with pytest.raises(UserError, match=message + "Save"):
        masks.read_values(path)


def test_negative_numbers(tmp_path):
    path = save(tmp_path / "mask.tif", np.where(MASK == 2, -1, 0).astype(np.int32))
    with pytest.raises(UserError, match="the value -1 in 1 pixels.*--map -1=CLASS"):
        masks.read_mask(path, 4, 255, advice="--map {value}=CLASS")


@pytest.mark.parametrize(
    "nothing, dtype",
    [
        (-9999, np.int16),
        (-9999, np.int32),
        (-9999, np.float32),
        (np.nan, np.float32),
        (np.inf, np.float32),
        (float(np.finfo(np.float32).min), np.float32),
    ],
)
def test_what_stands_for_no_data(tmp_path, nothing, dtype):
    path = save(
        tmp_path / "mask.tif",
        np.where(MASK == 255, nothing, MASK.astype(np.float64)).astype(dtype),
    )
    labels = masks.Labels(changes=((nothing, nothing, 255), (3, 3, 0)))
    mask = masks.read_mask(path, 3, 255, labels)
    np.testing.assert_array_equal(mask, np.where(MASK == 3, 0, MASK))


def test_black_and_white_masks_are_0_and_1(tmp_path):
    path = save(tmp_path / "mask.png", (MASK > 1) * np.uint8(255), "1")
    np.testing.assert_array_equal(masks.read_mask(path, 2, 255), MASK > 1)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_grey_masks_in_other_modes_keep_their_values(tmp_path, mode):
    path = save(tmp_path / "mask.png", MASK, mode)
    np.testing.assert_array_equal(masks.read_mask(path, 4, 255), MASK)


@pytest.mark.parametrize(
    "mask, num_classes, ignore_label, message",
    [
        (
            MASK,
            3,
            255,
            r"the value 3 in 2 pixels, .* class \(0..2\).*Raise the number of classes",
        ),
        (MASK, 2, 255, r"the value 2 \(and 1 other such values\) in 1 pixels"),
        (MASK, 4, 254, r"the value 255 in 1 pixels.*ignore label \(254\)"),
        (np.where(MASK == 255, 255, 0), 2, 254, ".*0 and 255: data_prep.folder --bin"),
    ],
)
def test_values_that_are_no_class(tmp_path, mask, num_classes, ignore_label, message):
    path = tmp_path / "mask.png"
    trees.save_mask(path, mask)
    with pytest.raises(UserError, match=f"mask.png has {message}"):
        masks.read_mask(str(path), num_classes, ignore_label)


def test_the_advice_names_the_value(tmp_path):
    path = save(tmp_path / "mask.png", MASK)
    with pytest.raises(UserError, match=r"Write --map 3=ignore\.$"):
        masks.read_mask(path, 3, 255, advice="Write --map {value}=ignore")


def test_colours_are_no_class_ids(tmp_path):
    trees.save_image(tmp_path / "mask.png")
    with pytest.raises(UserError, match="mask.png has colors .RGB.*--colormap"):
        masks.read_mask(str(tmp_path / "mask.png"), 4, 255)


def test_colours_of_16_bits_would_lose_the_lower_8(tmp_path):
    pixels = np.repeat(MASK[..., None], 3, axis=-1).astype(np.uint16)
    (tmp_path / "mask.png").write_bytes(raw.png(pixels, 16))
    assert Image.open(tmp_path / "mask.png").getextrema() == ((0, 0),) * 3
    with pytest.raises(UserError, match="several channels with more than 8 bits"):
        masks.read_mask(str(tmp_path / "mask.png"), 4, 255)


def test_transparency_that_says_nothing_new_is_passed_over(tmp_path):
    pixels = np.dstack([MASK, MASK, MASK, np.where(MASK == 0, 0, 255)]).astype(np.uint8)
    path = save(tmp_path / "mask.png", pixels)
    np.testing.assert_array_equal(masks.read_mask(path, 4, 255), MASK)


def test_labels_in_the_alpha_channel(tmp_path):
    zeros = np.zeros_like(MASK)
    path = save(tmp_path / "mask.png", np.dstack([zeros, zeros, zeros, MASK]))
    with pytest.raises(UserError, match="differ in transparency"):
        masks.read_mask(path, 4, 255)


@pytest.mark.parametrize(
    "name, options, kind",
    [
        ("a.jpg", {}, "JPEG"),
        ("jpeg_inside.png", {"format": "JPEG"}, "JPEG"),
        ("a.webp", {"lossless": True}, "WebP"),
        ("a.tif", {"compression": "jpeg"}, "JPEG"),
    ],
)
def test_compression_that_changes_values(tmp_path, name, options, kind):
    path = save(tmp_path / name, np.tile(MASK, (8, 8)), "RGB", **options)
    with pytest.raises(UserError, match=f"{name} is a {kind}.*Save masks as PNG"):
        masks.read_mask(path, 4, 255)


def test_unreadable_masks(tmp_path):
    trees.save_mask(tmp_path / "mask.png", np.tile(MASK, (50, 50)))
    whole = (tmp_path / "mask.png").read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        (tmp_path / "mask.png").write_bytes(content)
        with pytest.raises(UserError, match="The mask .*mask.png cannot be read"):
            masks.read_mask(str(tmp_path / "mask.png"), 4, 255)


def test_masks_are_turned_as_their_exif_data_say(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "mask.png", MASK, exif=exif)
    mask = masks.read_mask(path, 4, 255)
    np.testing.assert_array_equal(mask, np.rot90(MASK, -1))


@pytest.mark.parametrize("yes", [1, 7, 255])
def test_yes_no_masks(tmp_path, yes):
    path = save(tmp_path / "mask.png", np.where(MASK > 1, yes, 0).astype(np.uint8))
    mask = masks.read_mask(path, 2, 255, masks.Labels(binary=True))
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, MASK > 1)


def test_yes_no_masks_with_smoothed_edges(tmp_path):
    path = save(tmp_path / "mask.png", MASK)
    with pytest.raises(UserError, match=r"has 5 values \(0 to 255\).*--binary"):
        masks.read_mask(path, 2, 255, masks.Labels(binary=True))


def test_changes_are_made_all_at_once(tmp_path):
    path = save(tmp_path / "mask.png", MASK)
    labels = masks.Labels(changes=((0, 0, 1), (1, 1, 0), (2, 254, 255), (255, 255, 2)))
    mask = masks.read_mask(path, 3, 255, labels)
    np.testing.assert_array_equal(mask, [[1, 0, 255, 2], [255, 255, 1, 0]])


@pytest.mark.parametrize("mode", [None, "RGBA", "P"])
def test_colours_become_classes(tmp_path, mode):
    colors = np.array([[9, 8, 7], [0, 0, 0], [200, 0, 1]], np.uint8)
    ids = np.array([[0, 1, 2], [2, 2, 1]])
    if mode == "P":
        image = Image.fromarray(ids.astype(np.uint8)).convert("P")
        image.putdata(ids.ravel().tolist())
        image.putpalette(colors.ravel().tolist())
        image.save(tmp_path / "mask.png")
    else:
        save(tmp_path / "mask.png", colors[ids], mode)
    colormap = Colormap("c.txt", ((200, 0, 1, 0), (9, 8, 7, 255), (0, 0, 0, 1)))
    labels = masks.Labels(colormap=colormap)
    mask = masks.read_mask(str(tmp_path / "mask.png"), 2, 255, labels)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, [[255, 1, 0], [0, 0, 1]])


def test_16_bits_have_no_colours(tmp_path):
    path = save(tmp_path / "mask.png", MASK.astype(np.uint16))
    labels = masks.Labels(colormap=Colormap("c.txt", ((0, 0, 0, 0),)))
    with pytest.raises(UserError, match="I;16.*not colors with 8 bits"):
        masks.read_mask(path, 2, 255, labels)


# Masks whose files are stored unchanged: all decoders read the same values.


def read_kept(path, labels=masks.AS_THEY_ARE):
    return masks.read_mask_and_png(str(path), 4, 255, labels)


def test_plain_grey_masks_stay(tmp_path):
    path = tmp_path / "mask.png"
    trees.save_mask(path, MASK)
    mask, png = read_kept(path)
    assert png == path.read_bytes()
    np.testing.assert_array_equal(mask, MASK)
    np.testing.assert_array_equal(tf.io.decode_png(png, channels=1)[..., 0], MASK)


def with_transparency(path):
    Image.fromarray(MASK).save(path, transparency=0)


def with_orientation(path):
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(MASK).save(path, exif=exif)


def damaged(path):
    """A PNG with a wrong checksum of its pixels, which PIL ignores."""
    trees.save_mask(path, MASK)
    content = bytearray(path.read_bytes())
    end = content.rindex(b"IEND") - 4
    content[end - 1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    "save",
    [
        lambda path: trees.save_mask(path, MASK, palette=True),
        lambda path: Image.fromarray(MASK.astype(np.uint16)).save(path),
        lambda path: Image.fromarray(np.stack(3 * [MASK], -1)).save(path),
        lambda path: Image.fromarray(MASK).save(path, "BMP"),
        with_transparency,
        with_orientation,
        damaged,
    ],
)
def test_other_masks_do_not(tmp_path, save):
    save(tmp_path / "mask.png")
    mask, png = read_kept(tmp_path / "mask.png")
    assert png is None
    expected = MASK[::-1, ::-1] if save is with_orientation else MASK
    np.testing.assert_array_equal(mask, expected)


def test_changed_labels_are_encoded_anew(tmp_path):
    trees.save_mask(tmp_path / "mask.png", MASK)
    mask, png = read_kept(tmp_path / "mask.png", masks.Labels(changes=((3, 3, 0),)))
    assert png is None
    np.testing.assert_array_equal(mask, np.where(MASK == 3, 0, MASK))


def test_records_hold_the_file_unless_the_image_shrinks(tmp_path):
    trees.save_image(tmp_path / "a.jpg", 2, 4)
    trees.save_mask(tmp_path / "a.png", MASK)
    item = pairing.Item("a", str(tmp_path / "a.jpg"), str(tmp_path / "a.png"))
    spec = DatasetSpec("toy", ("a", "b", "c", "d"))
    file = (tmp_path / "a.png").read_bytes()
    for max_side, kept in ((None, True), (2, False)):
        record = tf.train.Example.FromString(
            examples.serialize(photos.read(item, spec, max_side=max_side))
        )
        (png,) = record.features.feature[keys.LABEL_ENCODED].bytes_list.value
        assert (png == file) == kept
        assert Image.open(io.BytesIO(png)).size == ((4, 2) if kept else (2, 1))
    assert images.read_example("a", item.image, MASK).mask_png is None
