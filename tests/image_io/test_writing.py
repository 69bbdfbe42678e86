"""Masks, overlays and probabilities as the content of files."""

import io

import numpy as np
from PIL import Image

from wss.data.datasets.spec import pascal_palette
from wss.image_io import writing

LABELS = np.array([[0, 1, 2], [2, 1, 0]])
PALETTE = pascal_palette(3)


def read(content):
    return Image.open(io.BytesIO(content))


def test_a_mask_keeps_its_ids_and_shows_their_colours():
    mask = read(writing.mask(LABELS, PALETTE))
    np.testing.assert_array_equal(np.asarray(mask), LABELS)
    np.testing.assert_array_equal(np.asarray(mask.convert("RGB")), PALETTE[LABELS])


def test_an_overlay_is_half_photo_half_colour():
    image = np.full([64, 48, 3], 200, np.uint8)
    labels = np.zeros([64, 48], np.int64)
    labels[32:] = 1
    overlay = read(writing.overlay(image, labels, PALETTE))
    pixels = np.asarray(overlay).astype(int)
    np.testing.assert_allclose(pixels[:24], 100, atol=2)
    np.testing.assert_allclose(
        pixels[40:], np.full([24, 48, 3], [164, 100, 100]), atol=2
    )


def test_a_picture_is_what_it_was():
    pixels = np.random.RandomState(0).randint(0, 256, [5, 6, 3]).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(read(writing.picture(pixels))), pixels)


def test_probabilities_come_back():
    values = np.random.RandomState(0).dirichlet([1, 1, 1], [4, 5])
    found = np.load(io.BytesIO(writing.probabilities(values)))
    assert found.dtype == np.float16
    np.testing.assert_allclose(found, values, atol=5e-4)
