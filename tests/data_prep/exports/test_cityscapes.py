"""CVAT's export in Cityscapes' layout."""

import numpy as np
import pytest

from tests.data_prep import trees
from tests.data_prep.exports import tree
from wss.errors import UserError

COLORS = [[0, 0, 0], [0, 255, 0], [9, 8, 7]]
LABELS = "# r g b label_name\n0 0 0 background\n0 255 0 tall tree\n9 8 7 car\n"


def save(root, *names, split="default"):
    for name in names:
        start = root / "gtFine" / split / "city" / f"{name}_gtFine"
        tree.save_colors(
            start.with_name(f"{start.name}_color.png"), tree.blocks(1, 2), COLORS
        )
        for kind in ("labelIds", "instanceIds"):
            path = start.with_name(f"{start.name}_{kind}.png")
            trees.save_mask(path, tree.blocks(1, 2))
    (root / "label_colors.txt").write_text(LABELS)


def test_photos_elsewhere(monkeypatch, capsys, tmp_path):
    tree.save_photos(tmp_path / "photos", "a", "b", "c", "d")
    save(tmp_path / "export", "a", "b", "c")
    flags = ("--images=photos", "--masks=export")
    found, splits = tree.run(monkeypatch, tmp_path, *flags)
    assert tree.class_names(tmp_path) == ["background", "tall tree", "car"]
    for name in "abc":
        np.testing.assert_array_equal(found[name], tree.blocks(1, 2))
    assert splits["unlabeled"] == ["d"]
    assert "Masks in Cityscapes' layout: 3 of 4 photos" in capsys.readouterr().out


def test_photos_in_the_export(monkeypatch, tmp_path):
    images = tmp_path / "export" / "imgsFine" / "leftImg8bit"
    for split, names in (("train", "ab"), ("val", "c")):
        save(tmp_path / "export", *names, split=split)
        for name in names:
            path = images / split / "city" / f"{name}_leftImg8bit.png"
            trees.save_image(path, tree.HEIGHT, tree.WIDTH)
    found, splits = tree.run(monkeypatch, tmp_path, "--images=export")
    assert splits == {
        "labeled": ["train/city/a", "train/city/b"],
        "val": ["val/city/c"],
    }
    np.testing.assert_array_equal(found["val/city/c"], tree.blocks(1, 2))


def test_two_masks_of_one_name(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "a", "b")
    save(tmp_path / "export", "a", "b")
    save(tmp_path / "export", "a", split="val")
    message = "'a' may belong to .*default/city/a_.* or .*val/city/a_gtFine_color.png"
    with pytest.raises(UserError, match=message):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=export")


def test_mistakes(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "x")
    save(tmp_path / "export", "a")
    flags = ("--images=photos", "--masks=export")
    with pytest.raises(UserError, match="No photo .* mask is 'default/city/a'. Pass"):
        tree.run(monkeypatch, tmp_path, *flags)
    (tmp_path / "export" / "label_colors.txt").unlink()
    with pytest.raises(UserError, match="no label_colors.txt. .*data_prep.cityscapes"):
        tree.run(monkeypatch, tmp_path, *flags)
