"""Files as users have them: read right, or refused with a way to go on."""

import io

import numpy as np
import pytest
from PIL import Image

from data_prep import images, masks
from tests.data_prep import trees
from wss.errors import UserError

MASK = np.array([[0, 1, 2, 255], [3, 3, 0, 1]], np.uint8)


@pytest.mark.parametrize("palette", [False, True])
def test_palette_masks_keep_their_indices_grey_ones_their_values(tmp_path, palette):
    path = tmp_path / "mask.png"
    trees.save_mask(path, MASK, palette)
    assert Image.open(path).mode == ("P" if palette else "L")
    mask = masks.read_mask(str(path), 4, 255)
    assert mask.dtype == np.uint8
    np.testing.assert_array_equal(mask, MASK)


def test_16_bit_masks_of_small_values_are_read(tmp_path):
    path = str(tmp_path / "mask.png")
    Image.fromarray(MASK.astype(np.uint16)).save(path)
    np.testing.assert_array_equal(masks.read_mask(path, 4, 255), MASK)


@pytest.mark.parametrize(
    "mask, num_classes, ignore_label, message",
    [
        (MASK, 3, 255, r"holds the value 3.* class \(0..2\).*Raise the number"),
        (MASK, 4, 254, r"value 255.*ignore label \(254\).*--ignore_label"),
        (MASK // 3 * 3, 2, 254, "value 3"),
        (np.where(MASK == 255, 255, 0), 2, 254, "0 and 255: save 255 as 1"),
    ],
)
def test_values_that_are_no_class(tmp_path, mask, num_classes, ignore_label, message):
    path = tmp_path / "mask.png"
    trees.save_mask(path, mask)
    with pytest.raises(UserError, match=f"mask.png.*{message}"):
        masks.read_mask(str(path), num_classes, ignore_label)


def test_colours_are_no_class_ids(tmp_path):
    trees.save_image(tmp_path / "mask.png")
    with pytest.raises(UserError, match="mask.png holds colours"):
        masks.read_mask(str(tmp_path / "mask.png"), 4, 255)


def test_jpeg_masks(tmp_path):
    trees.save_mask(tmp_path / "mask.jpg", MASK)
    with pytest.raises(UserError, match="mask.jpg is a JPEG"):
        masks.read_mask(str(tmp_path / "mask.jpg"), 4, 255)


def test_unreadable_masks(tmp_path):
    trees.save_mask(tmp_path / "mask.png", np.tile(MASK, (50, 50)))
    whole = (tmp_path / "mask.png").read_bytes()
    for content in (b"", b"no image", whole[: len(whole) // 2]):
        (tmp_path / "mask.png").write_bytes(content)
        with pytest.raises(UserError, match="mask.png cannot be read"):
            masks.read_mask(str(tmp_path / "mask.png"), 4, 255)


def test_a_set_of_yes_no_masks_is_refused_when_255_is_ignored(tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for path in paths:
        trees.save_mask(tmp_path / path, np.where(MASK == 1, 255, 0))
    with pytest.raises(UserError, match="only 0 and 255.*255 as 1"):
        masks.check_binaries(paths, 255)
    trees.save_mask(tmp_path / paths[2], MASK)
    masks.check_binaries(paths, 255)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_jpeg_and_png_keep_their_bytes(tmp_path, name):
    trees.save_image(tmp_path / name)
    example = images.read_example("a", str(tmp_path / name))
    assert example.image == (tmp_path / name).read_bytes()
    assert example.format == {"a.jpg": "jpeg", "a.png": "png"}[name]
    assert (example.height, example.width) == (6, 8)


@pytest.mark.parametrize("mode", ["CMYK", "RGBA", "P", "LA"])
def test_other_kinds_become_rgb(tmp_path, mode):
    path = tmp_path / ("a.jpg" if mode == "CMYK" else "a.png")
    trees.save_image(path)
    Image.open(path).convert(mode).save(path)
    example = images.read_example("a", str(path))
    assert Image.open(io.BytesIO(example.image)).mode == "RGB"


def test_rotated_photos_are_turned_upright(tmp_path):
    trees.save_image(tmp_path / "a.jpg", height=40, width=20)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(tmp_path / "a.jpg").save(tmp_path / "a.jpg", exif=exif)
    example = images.read_example("a", str(tmp_path / "a.jpg"))
    assert (example.height, example.width) == (20, 40)
    upright = Image.open(io.BytesIO(example.image))
    assert upright.size == (40, 20)
    assert not upright.getexif()
    with pytest.raises(UserError, match=r"a.jpg has 40 x 20 pixels \(turned upright"):
        images.read_example("a", str(tmp_path / "a.jpg"), np.zeros((40, 20), np.uint8))


def test_masks_of_another_size(tmp_path):
    trees.save_image(tmp_path / "a.jpg", height=6, width=8)
    with pytest.raises(UserError, match="a.jpg has 8 x 6 pixels, its mask 6 x 8"):
        images.read_example("a", str(tmp_path / "a.jpg"), np.zeros((8, 6), np.uint8))


def test_truncated_images(tmp_path):
    trees.save_image(tmp_path / "a.jpg", 64, 64)
    content = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="a.jpg cannot be read"):
        images.read_example("a", str(tmp_path / "a.jpg"))


def test_find_lists_images_below_a_folder(tmp_path):
    for name in ("b.jpg", "sub/a.PNG", "sub/c.jpeg"):
        trees.save_image(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    assert list(images.find(str(tmp_path))) == ["b", "sub/a", "sub/c"]
    trees.save_image(tmp_path / "b.png")
    with pytest.raises(UserError, match="Two files have the id 'b'"):
        images.find(str(tmp_path))


def test_find_without_images(tmp_path):
    with pytest.raises(UserError, match="no folder"):
        images.find(str(tmp_path / "missing"))
    with pytest.raises(UserError, match="no image in"):
        images.find(str(tmp_path))


@pytest.mark.parametrize(
    "text, message", [("", "empty"), ("a\nb\na\n", "'a' more than once")]
)
def test_bad_lists(tmp_path, text, message):
    (tmp_path / "ids.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        images.read_ids(str(tmp_path / "ids.txt"))
    with pytest.raises(UserError, match="cannot be read"):
        images.read_ids(str(tmp_path / "missing.txt"))
