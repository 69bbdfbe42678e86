"""Masks, overlays and probabilities as files."""

import os

import numpy as np
import pytest
from PIL import Image

from wss.datasets.spec import pascal_palette
from wss.photos import writing

LABELS = np.array([[0, 1, 2], [2, 1, 0]])
PALETTE = pascal_palette(3)


def test_a_mask_keeps_its_ids_and_shows_their_colours(tmp_path):
    path = str(tmp_path / "sub" / ("n" * 251 + ".png"))  # As long as a name can be.
    writing.write_mask(path, LABELS, PALETTE)
    with Image.open(path) as mask:
        np.testing.assert_array_equal(np.asarray(mask), LABELS)
        np.testing.assert_array_equal(np.asarray(mask.convert("RGB")), PALETTE[LABELS])
    assert os.listdir(tmp_path / "sub") == [os.path.basename(path)]


def test_an_overlay_is_half_photo_half_colour(tmp_path):
    image = np.full([64, 48, 3], 200, np.uint8)
    labels = np.zeros([64, 48], np.int64)
    labels[32:] = 1
    writing.write_overlay(str(tmp_path / "a.jpg"), image, labels, PALETTE)
    with Image.open(tmp_path / "a.jpg") as overlay:
        pixels = np.asarray(overlay).astype(int)
    np.testing.assert_allclose(pixels[:24], 100, atol=2)
    np.testing.assert_allclose(
        pixels[40:], np.full([24, 48, 3], [164, 100, 100]), atol=2
    )


def test_probabilities_come_back(tmp_path):
    probabilities = np.random.RandomState(0).dirichlet([1, 1, 1], [4, 5])
    writing.write_probabilities(str(tmp_path / "a.npy"), probabilities)
    read = np.load(tmp_path / "a.npy")
    assert read.dtype == np.float16
    np.testing.assert_allclose(read, probabilities, atol=5e-4)


def test_a_write_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    path = str(tmp_path / "a.png")
    writing.write_mask(path, LABELS, PALETTE)

    def save(self, file, *arguments):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="No space"):
        writing.write_mask(path, LABELS, PALETTE)
    with Image.open(path) as mask:
        np.testing.assert_array_equal(np.asarray(mask), LABELS)
    assert os.listdir(tmp_path) == ["a.png"]
