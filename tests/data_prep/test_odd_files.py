"""Two hundred odd files: each is written as it should be, or named."""

import io
import unicodedata
from typing import NamedTuple, Optional

import numpy as np
import pytest
from PIL import Image

from data_prep import folder
from tests.data_prep import trees
from tests.image_io import raw

COUNT, SEED = 200, 20
CLASSES, IGNORE = 3, 255
PALETTE = [0, 0, 0, 128, 0, 0, 0, 128, 0]
# The upright image of a file, by orientation.
UPRIGHT = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a),
}
NAMES = (
    *("plain", "with space", "UPPER", "a.b", "-flag", "100%", "#1", "[a-c]*", "it's"),
    *(
        '"',
        "$(x)",
        "&",
        "e\u0301",
        "\u00e9",
        "\u00df",
        "\u4e2d",
        "\U0001f600",
        "n" * 180,
    ),
)


class Odd(NamedTuple):
    """A file, its pixels, and whether it must be written (None: either)."""

    content: bytes
    shown: Optional[np.ndarray]
    is_good: Optional[bool] = True
    tolerance: int = 0


def save(pixels, kind, mode=None, **options):
    image = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def blocks(rng, size, highest, channels=()):
    """Numbers from 0 to `highest`, in large blocks, as compression likes them."""
    small = rng.integers(0, highest + 1, (2, 3, *channels))
    return np.kron(small, np.ones((*size, *(1 for _ in channels)), np.int64))


def an_image(rng, size):
    """An image of a random kind."""
    gray, colors = blocks(rng, size, 255), blocks(rng, size, 255, (3,))
    gray8, colors8 = gray.astype(np.uint8), colors.astype(np.uint8)
    deep = blocks(rng, size, 65535)
    deep_colors = blocks(rng, size, 65535, (3,))
    alpha = np.full((*colors.shape[:2], 1), 255)
    turn = int(rng.integers(1, 9))
    exif = Image.Exif()
    exif[0x0112] = turn
    quality = {"quality": 95, "subsampling": 0}
    kinds = {
        "jpeg": lambda: Odd(
            save(colors8, "JPEG", exif=exif, **quality),
            UPRIGHT[turn](colors),
            True,
            30,
        ),
        "gray jpeg": lambda: Odd(save(gray8, "JPEG", **quality), gray, True, 30),
        "cmyk jpeg": lambda: Odd(
            save(colors8, "JPEG", "CMYK", **quality), colors, True, 30
        ),
        "png": lambda: Odd(save(colors8, "PNG", exif=exif), UPRIGHT[turn](colors)),
        "gray png": lambda: Odd(save(gray8, "PNG"), gray),
        "one bit": lambda: Odd(raw.png(gray > 99, 1), (gray > 99) * 255),
        "two bits": lambda: Odd(raw.png(gray // 64, 2), gray // 64 * 85),
        "four bits": lambda: Odd(raw.tiff(gray // 16, 4), gray // 16 * 17),
        "inverted": lambda: Odd(raw.tiff(255 - gray, 8, white_is_zero=True), gray),
        "opaque": lambda: Odd(raw.png(np.dstack([colors, alpha]), 8), colors),
        "clear": lambda: Odd(
            raw.png(np.dstack([colors, alpha * 0]), 8), colors * 0 + 255
        ),
        "palette": lambda: Odd(save(gray8 // 64, "PNG", "P"), gray // 64),
        "deep": lambda: Odd(raw.png(deep, 16), deep >> 8),
        "deep colors": lambda: Odd(raw.png(deep_colors, 16), deep_colors >> 8),
        "deep alpha": lambda: Odd(
            raw.png(np.dstack([deep_colors, alpha * 257]), 16), deep_colors >> 8
        ),
        "deep tiff": lambda: Odd(
            raw.tiff(deep_colors, 16, rng.choice(["<", ">"]), bool(rng.integers(2))),
            deep_colors >> 8,
        ),
        "deep text": lambda: Odd(raw.pnm(deep, 65535, True), deep >> 8),
        "dark pgm": lambda: Odd(raw.pnm(gray % 101, 100), gray % 101 * 2.55, True, 1),
        "ppm": lambda: Odd(raw.pnm(colors, 255), colors),
        "bmp": lambda: Odd(save(colors8, "BMP"), colors),
        "gif": lambda: Odd(save(gray8, "GIF"), gray),
        "webp": lambda: Odd(save(colors8, "WEBP", lossless=True), colors),
        "tiff": lambda: Odd(save(colors8, "TIFF", compression="tiff_lzw"), colors),
        "numbers": lambda: Odd(save(gray.astype(np.int32) - 300, "TIFF"), None, False),
        "floats": lambda: Odd(save(gray.astype(np.float32), "TIFF"), None, False),
        "empty": lambda: Odd(b"", None, False),
        "text": lambda: Odd(b"no image at all", None, False),
        "pages": lambda: Odd(
            save(
                colors8,
                "TIFF",
                save_all=True,
                append_images=[Image.fromarray(255 - colors8)],
            ),
            None,
            False,
        ),
    }
    return kinds[rng.choice(list(kinds))]()


def a_mask(rng, size):
    """A mask of a random kind, for an upright image of 2 x 3 blocks of `size`."""
    ids = blocks(rng, size, CLASSES - 1)
    ids8 = ids.astype(np.uint8)
    ignored = np.where(blocks(rng, size, 3) == 0, IGNORE, ids).astype(np.uint8)
    turn = int(rng.integers(1, 5))  # The stored mask has the size of the upright one.
    exif = Image.Exif()
    exif[0x0112] = turn
    palette = Image.fromarray(ids8)
    palette.putpalette(PALETTE)
    in_palette = io.BytesIO()
    palette.save(in_palette, "PNG")
    kinds = {
        "gray": lambda: Odd(save(ignored, "PNG"), ignored),
        "turned": lambda: Odd(save(ignored, "PNG", exif=exif), UPRIGHT[turn](ignored)),
        "palette": lambda: Odd(in_palette.getvalue(), ids),
        "rgb": lambda: Odd(save(ignored, "PNG", "RGB"), ignored),
        "bmp": lambda: Odd(save(ignored, "BMP"), ignored),
        "one bit": lambda: Odd(raw.png(ids > 1, 1), ids > 1),
        "two bits": lambda: Odd(raw.png(ids, 2), ids),
        "four bits": lambda: Odd(raw.tiff(ids, 4, rng.choice(["<", ">"])), ids),
        "inverted": lambda: Odd(raw.tiff(ids, 4, white_is_zero=True), None, False),
        "16 bits": lambda: Odd(raw.png(ignored, 16), ignored),
        "int": lambda: Odd(save(ignored.astype(np.int32), "TIFF"), ignored),
        "float": lambda: Odd(save(ignored.astype(np.float32), "TIFF"), ignored),
        "pgm": lambda: Odd(raw.pnm(ids, 2, bool(rng.integers(2))), ids),
        "wide pgm": lambda: Odd(raw.pnm(ids, 999), ids),
        "pgm that lies": lambda: Odd(raw.pnm(ids * 0 + 255, 2), None, False),
        "jpeg": lambda: Odd(save(ids8, "JPEG"), None, False),
        "no class": lambda: Odd(save(ids8 + 7, "PNG"), None, False),
        "half": lambda: Odd(save(ids.astype(np.float32) + 0.5, "TIFF"), None, False),
        "nan": lambda: Odd(save(ids * np.float32(np.nan), "TIFF"), None, False),
        "other size": lambda: Odd(save(ids8[1:], "PNG"), None, False),
        "colors": lambda: Odd(raw.png(np.dstack([ids, ids + 1, ids]), 8), None, False),
        "deep colors": lambda: Odd(
            raw.png(np.dstack([ids, ids, ids]), 16), None, False
        ),
    }
    return kinds[rng.choice(list(kinds))]()


def damaged(rng, odd):
    """Most files stay as they are; some are cut off."""
    if rng.random() < 0.9 or len(odd.content) < 2:
        return odd
    end = int(rng.integers(1, len(odd.content)))
    return odd._replace(content=odd.content[:end], is_good=None)


def write_all(root):
    """Writes the files; returns {id: (image, mask)}."""
    rng = np.random.default_rng(SEED)
    cases = {}
    for i in range(COUNT):
        name = f"{rng.choice(NAMES)}{i}"
        image = an_image(rng, rng.integers(3, 9, 2).tolist())
        height, width = (6, 9) if image.shown is None else image.shown.shape[:2]
        mask = a_mask(rng, (height // 2, width // 3))
        if (height % 2, width % 3) != (0, 0):  # Rotated by 90 degrees.
            ids = rng.integers(0, CLASSES, (height, width), np.uint8)
            mask = Odd(save(ids, "PNG"), ids)
        image, mask = damaged(rng, image), damaged(rng, mask)
        for kind, odd in (("images", image), ("masks", mask)):
            ending = rng.choice(["jpg", "PNG", "tif", "bmp", "webp", "pgm"])
            (root / kind / f"{name}.{ending}").write_bytes(odd.content)
        cases[unicodedata.normalize("NFC", name)] = (image, mask)
    return cases


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The cases, the records written, and the messages about the others."""
    root = tmp_path_factory.mktemp("odd")
    for kind in ("images", "masks"):
        (root / kind).mkdir()
    cases = write_all(root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        flags = ["--images=images", "--masks=masks", "--split=train", "--workers=1"]
        flags += [f"--num_classes={CLASSES}", "--output_dir=out", "--skip_broken"]
        patch.setattr("sys.argv", ["folder", *flags])
        folder.main()
    names, examples = trees.names(root / "out", "train"), trees.decode(
        root / "out", "train"
    )
    skipped = trees.manifest(root / "out")["splits"]["train"]["skipped"]
    reasons = {one["name"]: one["reason"] for one in skipped}
    return cases, dict(zip(names, examples)), reasons


def test_every_file_is_written_or_named(outcome):
    cases, written, reasons = outcome
    assert len(cases) == COUNT
    assert {*written, *reasons} == {*cases}
    assert len(written) + len(reasons) == COUNT
    assert min(len(written), len(reasons)) > COUNT // 5
    for name, reason in reasons.items():
        assert name in unicodedata.normalize("NFC", reason)
        assert "Error:" not in reason, reason  # An unexpected error.


def test_what_is_written_is_what_the_files_show(outcome):
    cases, written, _ = outcome
    for name, example in written.items():
        image, mask = cases[name]
        np.testing.assert_array_equal(example["label"], mask.shown, name)
        shown = np.atleast_3d(image.shown).astype(float)
        assert example["image"].shape[:2] == shown.shape[:2]
        assert abs(example["image"] - shown).max() <= image.tolerance, name


def test_good_files_are_written_and_bad_ones_are_not(outcome):
    cases, written, reasons = outcome
    for name, (image, mask) in cases.items():
        if image.is_good and mask.is_good:
            assert name in written, reasons[name]
        if False in (image.is_good, mask.is_good):
            assert name in reasons
