"""CVAT's segmentation masks."""

import numpy as np
import pytest

from tests.data_prep.exports import tree
from wss.errors import UserError

LABELMAP = """# label:color_rgb:parts:actions
road:128,64,128::
background:0,0,0::
car:0,0,142::
"""
COLORS = [[0, 0, 0], [128, 64, 128], [0, 0, 142]]


@pytest.fixture
def export(tmp_path):
    """Photos 0 to 5, of which CVAT's task 'day' has 0 to 3 annotated."""
    tree.save_photos(tmp_path / "photos", *(f"day/{i}" for i in range(6)))
    for i in range(4):
        for kind in ("SegmentationClass", "SegmentationObject"):
            path = tmp_path / "export" / kind / "day" / f"{i}.png"
            tree.save_colors(path, tree.blocks(1, 2 * (i % 2)), COLORS)
    (tmp_path / "export" / "labelmap.txt").write_text(LABELMAP)
    lists = tmp_path / "export" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "default.txt").write_text("".join(f"day/{i}\n" for i in range(6)))
    return tmp_path


@pytest.mark.parametrize("masks", ["export", "export/SegmentationClass"])
def test_masks_in_colors(monkeypatch, capsys, export, masks):
    found, names = tree.run(monkeypatch, export, "--images=photos", f"--masks={masks}")
    assert tree.class_names(export) == ["background", "road", "car"]
    for i in range(4):
        expected = tree.blocks(1, 2 * (i % 2))
        np.testing.assert_array_equal(found[f"day/{i}"], expected)
    assert names["unlabeled"] == ["day/4", "day/5"] and len(names["val"]) == 1
    printed = capsys.readouterr().out
    assert "CVAT's masks: 4 of 6 photos in photos have a mask" in printed
    assert "Classes (export/labelmap.txt): 0 background, 1 road, 2 car." in printed


def test_photos_in_the_export(monkeypatch, export):
    (export / "photos").rename(export / "export" / "JPEGImages")
    found, _ = tree.run(monkeypatch, export, "--images=export")
    assert len(found) == 6
    np.testing.assert_array_equal(found["day/1"], tree.blocks(1, 2))


def test_the_user_orders_the_classes(monkeypatch, export):
    (export / "mine.txt").write_text("background\ncar\nbike\nroad\n")
    flags = ("--images=photos", "--masks=export", "--class_names=mine.txt")
    found, _ = tree.run(monkeypatch, export, *flags)
    np.testing.assert_array_equal(found["day/1"], tree.blocks(3, 1))


def test_the_users_colors(monkeypatch, export):
    (export / "mine.txt").write_text("background\nthing\n")
    (export / "colors.txt").write_text(
        "0 0 0 background\n128 64 128 thing\n0 0 142 ignore\n"
    )
    flags = ("--class_names=mine.txt", "--colormap=colors.txt", "--masks=export")
    found, _ = tree.run(monkeypatch, export, "--images=photos", *flags)
    np.testing.assert_array_equal(found["day/1"], tree.blocks(1, 255))


@pytest.mark.parametrize(
    "labelmap, flags, message",
    [
        (LABELMAP, ("--images=export",), "has masks .* but no JPEGImages. Pass the"),
        (
            LABELMAP,
            ("--class_names=few.txt",),
            "labelmap.txt: there is no class 'car'. The classes are 0 to 1 .backgr",
        ),
        (LABELMAP + "bike:1,2::\n", (), "labelmap.txt, line 5: 'bike:1,2::' does not"),
        (
            LABELMAP + "bike:0,0,142::\n",
            (),
            "gives the color 0 0 142 to two classes. Give each",
        ),
        (LABELMAP[:-14], (), "has the color 0 0 142 .*labelmap.txt does not name"),
        (LABELMAP, ("--from=roboflow",), "no export of the kind 'roboflow' in export"),
    ],
)
def test_mistakes(monkeypatch, export, labelmap, flags, message):
    (export / "few.txt").write_text("background\nroad\n")
    (export / "export" / "labelmap.txt").write_text(labelmap)
    places = () if "--images=export" in flags else ("--masks=export",)
    with pytest.raises(UserError, match=message):
        tree.run(monkeypatch, export, "--images=photos", *places, *flags)
    assert not (export / "out" / "dataset.json").exists()
