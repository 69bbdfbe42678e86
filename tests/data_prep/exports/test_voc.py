"""Folders like those of PASCAL VOC, and of labelme2voc."""

import numpy as np
import pytest

from tests.data_prep import trees
from tests.data_prep.exports import tree
from wss.errors import UserError


def test_lists_set_photos_apart(monkeypatch, capsys, tmp_path):
    names = [f"2024_{i:06}" for i in range(8)]
    tree.save_photos(tmp_path / "VOC" / "JPEGImages", *names)
    for name in names[:6]:
        path = tmp_path / "VOC" / "SegmentationClass" / f"{name}.png"
        trees.save_mask(path, tree.blocks(1, 255), palette=True)
    lists = tmp_path / "VOC" / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split, part in (("train", names[:3]), ("val", names[3:5]), ("test", names[5:])):
        (lists / f"{split}.txt").write_text("\n".join(part))
    found, splits = tree.run(monkeypatch, tmp_path, "--images=VOC")
    assert splits == {
        "labeled": names[:3],
        "unlabeled": names[6:],
        "val": names[3:5],
        "test": names[5:6],
    }
    np.testing.assert_array_equal(found[names[0]], tree.blocks(1, 255))
    assert "2 photos are 'val' in the export" in capsys.readouterr().out
    assert tree.class_names(tmp_path) == ["class_0", "class_1"]
    flags = ("--images=VOC", "--val_ratio=1/2", "--overwrite")
    _, splits = tree.run(monkeypatch, tmp_path, *flags)
    assert len(splits["val"]) == 3 and splits["test"] == names[5:6]


def save_masks(root, *names):
    tree.save_photos(root / "JPEGImages", *names)
    for name in names:
        trees.save_mask(root / "SegmentationClass" / f"{name}.png", tree.blocks(1, 0))
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)


def test_ids_without_photo_are_told(monkeypatch, capsys, tmp_path):
    save_masks(tmp_path / "VOC", *"abc")
    (tmp_path / "VOC/ImageSets/Segmentation/val.txt").write_text("c\nx\ny\n")
    _, splits = tree.run(monkeypatch, tmp_path, "--images=VOC")
    assert splits["val"] == ["c"]
    printed = capsys.readouterr().out
    assert "val.txt: left out 2 of 3 ids that have no photo" in printed
    assert "the first is 'x'" in printed


def test_a_photo_in_two_lists_is_refused(monkeypatch, tmp_path):
    save_masks(tmp_path / "VOC", *"abc")
    for split, names in (("val", "b"), ("test", "b\nc")):
        (tmp_path / f"VOC/ImageSets/Segmentation/{split}.txt").write_text(names)
    with pytest.raises(UserError, match="'b' is in 'val' and in 'test' of VOC"):
        tree.run(monkeypatch, tmp_path, "--images=VOC")
    assert not (tmp_path / "out").exists()


def test_labelme2voc(monkeypatch, tmp_path):
    root = tmp_path / "data_dataset_voc"
    tree.save_photos(root / "JPEGImages", "a", "b", "c")
    for name in "abc":
        mask = tree.blocks(2, 1)
        trees.save_mask(root / "SegmentationClassPNG" / f"{name}.png", mask)
        (root / "SegmentationClass").mkdir(exist_ok=True)
        np.save(root / "SegmentationClass" / f"{name}.npy", mask)
    (root / "class_names.txt").write_text("_background_\ncar\nroad\n")
    found, _ = tree.run(monkeypatch, tmp_path, "--images=data_dataset_voc")
    np.testing.assert_array_equal(found["b"], tree.blocks(2, 1))
    assert tree.class_names(tmp_path) == ["_background_", "car", "road"]
