"""What is decided once for all files of a split: bits, palettes, yes/no masks."""

import json

import numpy as np
import pytest
from PIL import Image

from data_prep import masks, survey
from data_prep.pairing import Item
from tests.image_io import raw
from wss.errors import UserError

MASK = np.array([[0, 1, 2, 2], [1, 1, 0, 1]], np.uint8)
BLACK, RED, GREEN = (0, 0, 0), (128, 0, 0), (0, 128, 0)


@pytest.fixture
def decide(tmp_path):
    """Decides for the named files; earlier splits are given by their options."""

    def run(images=(), masks_=(), labels=masks.AS_THEY_ARE, earlier=None, **kwargs):
        manifest = {"name": "a", "class_names": ["a", "b"], "ignore_label": 255}
        manifest["splits"] = {
            name: {"examples": 1, "with_masks": 1, "options": options}
            for name, options in (earlier or {}).items()
        }
        (tmp_path / "dataset.json").write_text(json.dumps(manifest))
        items = [Item(name, str(tmp_path / name), None) for name in images]
        items += [Item(name, "no image", str(tmp_path / name)) for name in masks_]
        return survey.decide(items, labels, str(tmp_path), ["train"], **kwargs)

    return run


def save_palette(path, indices, *palette):
    image = Image.fromarray(np.asarray(indices, np.uint8))
    image.putpalette([channel for color in palette for channel in color])
    image.save(path, "PNG")


def save_deep(folder, **highest):
    for name, number in highest.items():
        (folder / name).write_bytes(raw.png(np.full((2, 3), number), 16))


def test_the_brightest_image_decides_for_all(tmp_path, decide, capsys):
    save_deep(tmp_path, a=250, b=4000, c=300)
    (tmp_path / "d").write_bytes(b"no image")
    assert decide("abcd") == (12, [])
    assert "3 images have more than 8 bits" in capsys.readouterr().out
    assert decide("a").image_bits == 8
    assert decide("d") == (None, [])
    assert decide("abc", image_bits=16).options() == {"image_bits": 16}


def test_earlier_splits_have_decided(tmp_path, decide):
    save_deep(tmp_path, a=250)
    (tmp_path / "b").write_bytes(raw.png(np.zeros((2, 3)), 8))
    earlier = {"val": {}, "labeled": {"image_bits": 12}}
    assert decide("a", earlier=earlier).image_bits == 12
    assert decide("b", earlier=earlier).image_bits is None
    assert decide("a", earlier={"train": {"image_bits": 12}}).image_bits == 8
    with pytest.raises(UserError, match="split 'labeled' was written with .*bits=12"):
        decide("a", earlier=earlier, image_bits=13)
    save_deep(tmp_path, c=4096, d=5000, e=4095)
    with pytest.raises(
        UserError, match="/d has numbers up to 5000, .* 12 bits .*bits=13"
    ):
        decide("acde", earlier=earlier)
    assert decide("acde", earlier=earlier, skip_broken=True).image_bits == 12
    assert decide("ae", earlier=earlier).image_bits == 12


def test_palettes_in_another_order(tmp_path, decide):
    save_palette(tmp_path / "a", MASK, BLACK, RED, GREEN)
    save_palette(tmp_path / "b", (MASK + 1) % 3, GREEN, BLACK, RED)
    message = (
        "mask .*a and the mask .*b differ: 0 is 0 0 0 in the first and 0 128 0 in the "
        "second, 1 is 128 0 0 in the first and 0 0 0 in the second, "
        ".*--colormap=FILE, .* '0 128 0 CLASS'"
    )
    with pytest.raises(UserError, match=message):
        decide(masks_="ab")
    colors = masks.Colormap("c.txt", ((*BLACK, 0), (*RED, 1), (*GREEN, 2)))
    decide(masks_="ab", labels=masks.Labels(colormap=colors))
    with pytest.raises(UserError, match="differ"):
        decide(masks_="ab", labels=masks.Labels(binary=True))


def test_palettes_that_hold_only_the_colours_in_use(tmp_path, decide):
    """No color has two indices, but an index has two colors."""
    save_palette(tmp_path / "a", MASK % 2, BLACK, RED)
    save_palette(tmp_path / "b", MASK % 2, BLACK, GREEN)
    with pytest.raises(
        UserError, match="1 is 128 0 0 in the first and 0 128 0 in the second"
    ):
        decide(masks_="ab")


def test_palettes_that_agree(tmp_path, decide):
    """Unused entries, a color of two classes, a palette of plain grays."""
    save_palette(tmp_path / "a", MASK, BLACK, RED, GREEN)
    save_palette(tmp_path / "b", MASK % 2, BLACK, RED, RED, GREEN)
    save_palette(tmp_path / "c", MASK, *((i, i, i) for i in range(3)))
    Image.fromarray(MASK).save(tmp_path / "d", "PNG")
    found = decide(masks_="abcd")
    assert found.palette == [(0, *BLACK), (1, *RED), (2, *GREEN)]
    assert found.options() == {
        "palette": [[0, 0, 0, 0], [1, 128, 0, 0], [2, 0, 128, 0]]
    }
    save_palette(tmp_path / "a", MASK * 0, BLACK, BLACK)
    save_palette(tmp_path / "b", MASK * 0 + 1, BLACK, BLACK)
    assert decide(masks_="ab").palette == [(0, *BLACK), (1, *BLACK)]


def test_palettes_of_earlier_splits(tmp_path, decide):
    save_palette(tmp_path / "a", MASK, GREEN, BLACK, RED)
    same = {"val": {"palette": [[0, *GREEN], [2, *RED]]}}
    assert len(decide(masks_="a", earlier=same).palette) == 3
    with pytest.raises(UserError, match="the split 'val' and the mask .*a differ"):
        decide(masks_="a", earlier={"val": {"palette": [[0, *BLACK], [1, *RED]]}})
    decide(masks_="a", earlier={"train": {"palette": [[0, *BLACK], [1, *RED]]}})
    changed = masks.Labels(changes=((1, 1, 0), (2, 2, 1), (0, 0, 2)))
    decide("", "a", changed, {"val": {"palette": [[0, *BLACK], [1, *RED]]}})
    same = {"map": [[1, 1, 0], [2, 2, 1], [0, 0, 2]], "palette": [[0, *BLACK]]}
    with pytest.raises(UserError, match="the split 'val' and the mask .*a differ"):
        decide("", "a", changed, {"val": same})


def test_yes_no_masks_as_jpeg(tmp_path, decide, capsys):
    binary = masks.Labels(binary=True)
    yes = np.kron(MASK == 1, np.ones((16, 16)))
    Image.fromarray((yes * 255).astype(np.uint8)).save(tmp_path / "a", "JPEG")
    Image.fromarray(np.zeros((32, 64), np.uint8)).save(tmp_path / "b", "JPEG")
    decide(masks_="ab", labels=binary)
    printed = capsys.readouterr().out
    assert "2 masks are JPEG or WebP" in printed and "from 128 on" in printed
    mask = masks.read_mask(str(tmp_path / "a"), 2, 255, binary)
    np.testing.assert_array_equal(mask, yes)
    with pytest.raises(UserError, match="1 masks are .* no value in them exceeds 0"):
        decide(masks_="b", labels=binary)
    with pytest.raises(UserError, match="is a JPEG, .*--binary"):
        masks.read_mask(str(tmp_path / "a"), 2, 255)


def test_a_jpeg_that_is_no_yes_no_mask(tmp_path):
    ramp = np.tile(np.arange(256, dtype=np.uint8), (8, 1))
    Image.fromarray(ramp).save(tmp_path / "a.jpg")
    with pytest.raises(
        UserError, match="not a yes/no mask: 50% of its pixels are neith"
    ):
        masks.read_mask(str(tmp_path / "a.jpg"), 2, 255, masks.Labels(binary=True))


@pytest.fixture
def binaries(tmp_path):
    """Paths of 200 yes/no masks."""
    paths = [str(tmp_path / f"{i:03}.png") for i in range(200)]
    for path in paths:
        Image.fromarray((MASK == 1) * np.uint8(255)).save(path)
    return paths


def test_a_set_of_yes_no_masks_is_refused_when_255_is_ignored(tmp_path, binaries):
    with pytest.raises(UserError, match="only 0 and 255.*--binary.*--map 255=ignore"):
        survey.check_binaries(binaries, 255)
    survey.check_binaries(binaries, 254)
    for meaning in (masks.Labels(binary=True), masks.Labels(changes=((255, 255, 1),))):
        survey.check_binaries(binaries, 255, meaning)
    with pytest.raises(UserError, match="only 0 and 255"):
        survey.check_binaries(binaries, 255, masks.Labels(changes=((7, 7, 1),)))
    Image.fromarray(MASK).save(binaries[4])
    survey.check_binaries(binaries, 255)


def test_only_some_masks_are_looked_at_beforehand(monkeypatch, binaries):
    read = []
    original = masks.read_values
    monkeypatch.setattr(
        masks, "read_values", lambda path: read.append(path) or original(path)
    )
    with pytest.raises(UserError, match="only 0 and 255"):
        survey.check_binaries(binaries, 255)
    assert 40 <= len(read) <= 64
    assert read[-1] > binaries[180]


def test_broken_masks_are_left_to_the_writer(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no image")
    survey.check_binaries([str(tmp_path / "a.png")], 255)
    survey.check_binaries([], 255)
