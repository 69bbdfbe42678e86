"""Colors that stand for classes: files, known data sets, and what is wrong in them."""

import numpy as np
import pytest

from data_prep import colormaps
from wss.data import datasets
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

SPEC = DatasetSpec("mine", ("background", "road", "green house"))


def load(tmp_path, text):
    (tmp_path / "colors.txt").write_text(text)
    return colormaps.load(str(tmp_path / "colors.txt"), SPEC)


def test_a_file(tmp_path):
    colormap = load(
        tmp_path,
        "# red green blue class\n0 0 0 background\n\n128,64, 128, road\n"
        "1\t2\t3\tgreen house\n4 5 6 2\n255 255 255 ignore\n9 9 9 Ignore\n8 8 8 255\n",
    )
    assert colormap.colors == (
        *((0, 0, 0, 0), (128, 64, 128, 1), (1, 2, 3, 2), (4, 5, 6, 2)),
        *((255, 255, 255, 255), (9, 9, 9, 255), (8, 8, 8, 255)),
    )
    pixels = np.array([[[4, 5, 6], [255, 255, 255]], [[128, 64, 128], [0, 0, 0]]])
    ids = colormap.class_ids(pixels.astype(np.uint8), "a.png")
    assert ids.dtype == np.uint8
    np.testing.assert_array_equal(ids, [[2, 255], [1, 0]])


@pytest.mark.parametrize(
    "line, message",
    [
        ("0 0 road", "'0 0 road' is not 'R G B class'"),
        ("0 0 256 road", "is not 'R G B class'"),
        ("road 0 0 0", "is not 'R G B class'"),
        ("0 0 0", "is not 'R G B class'"),
        ("0 0 0 rode", r"no class 'rode'. The classes are 0 to 2 \(background, road,"),
        ("0 0 0 3", "no class '3'"),
        ("9 9 9 road", "an earlier line gives 9 9 9 another class"),
    ],
)
def test_mistakes_in_a_file(tmp_path, line, message):
    with pytest.raises(UserError, match=f"colors.txt, line 2: .*{message}"):
        load(tmp_path, f"9 9 9 background\n{line}\n")


def test_a_file_without_colours(tmp_path):
    with pytest.raises(UserError, match="has no colors"):
        load(tmp_path, "# nothing\n")
    with pytest.raises(UserError, match="no colormap 'nothing.txt'.*ade20k, camvid"):
        colormaps.load("nothing.txt", SPEC)


def test_an_unknown_colour_is_told_with_its_place(tmp_path):
    colormap = load(tmp_path, "0 0 0 0\n9 9 9 1\n")
    pixels = np.zeros((3, 4, 3), np.uint8)
    pixels[1, 2] = 5, 6, 7
    pixels[2] = 8
    message = (
        r"a.png has the color 5 6 7 at column 2, row 1 and 1 more, in 5 pixels in "
        r"total, which .*colors.txt does not name.*'5 6 7 ignore'.*smoothing"
    )
    with pytest.raises(UserError, match=message):
        colormap.class_ids(pixels, "a.png")


@pytest.mark.parametrize(
    "name", [name for name in datasets.names() if name not in ("folder", "ade20k")]
)
def test_palettes_of_known_data_sets(name):
    spec = datasets.get(name)
    colormap = colormaps.load(name, spec)
    ids = np.arange(spec.num_classes)[None]
    np.testing.assert_array_equal(colormap.class_ids(spec.palette[ids], "a.png"), ids)


@pytest.mark.parametrize(
    "name, color, class_id",
    [
        ("voc", (224, 224, 192), 254),
        ("cityscapes", (111, 74, 0), 254),
        ("ade20k", (0, 0, 0), 254),
        ("camvid", (0, 0, 0), 254),
        ("camvid", (0, 0, 192), 4),  # The publisher's sidewalk,
        ("camvid", (60, 40, 222), 4),  # and that of SegNet's edition.
    ],
)
def test_what_publishers_masks_show_besides(name, color, class_id):
    known = datasets.get(name)
    spec = DatasetSpec("mine", known.class_names, ignore_label=254)
    pixels = np.array([[color]], np.uint8)
    assert colormaps.load(name, spec).class_ids(pixels, "a.png") == class_id


def test_a_colour_of_two_classes():
    colormap = colormaps.load("ade20k", datasets.get("ade20k"))
    pixels = np.array([[datasets.get("ade20k").palette[6]]])
    with pytest.raises(UserError, match="140 140 140 .*to several classes"):
        colormap.class_ids(pixels, "a.png")
