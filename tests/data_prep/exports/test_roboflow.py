"""Roboflow's semantic segmentation masks."""

import numpy as np
import pytest

from tests.data_prep import trees
from tests.data_prep.exports import tree
from wss.errors import UserError

CLASSES = "Pixel Value, Class\n0, background\n1, crack\n2, rust\n"


def export(where, *names):
    where.mkdir(parents=True)
    (where / "_classes.csv").write_text(CLASSES)
    for i, name in enumerate(names):
        trees.save_image(where / f"{name}.jpg", tree.HEIGHT, tree.WIDTH, seed=i)
        trees.save_mask(where / f"{name}_mask.png", tree.blocks(1, 2))


def test_parts(monkeypatch, capsys, tmp_path):
    names = [f"IMG_{i}_jpg.rf.0a{i}" for i in range(6)]
    export(tmp_path / "export" / "train", *names[:3])
    export(tmp_path / "export" / "valid", names[3])
    export(tmp_path / "export" / "test", *names[4:])
    (tmp_path / "export" / "README.roboflow.txt").write_text("Cracks")
    found, splits = tree.run(monkeypatch, tmp_path, "--images=export")
    assert splits == {
        "labeled": [f"train/{name}" for name in names[:3]],
        "val": [f"valid/{names[3]}"],
        "test": [f"test/{name}" for name in names[4:]],
    }
    for mask in found.values():
        np.testing.assert_array_equal(mask, tree.blocks(1, 2))
    assert tree.class_names(tmp_path) == ["background", "crack", "rust"]
    assert "Roboflow's masks: 6 of 6 photos in export have" in capsys.readouterr().out


def test_a_part_called_val(monkeypatch, tmp_path):
    export(tmp_path / "export" / "train", "a", "b")
    export(tmp_path / "export" / "val", "a")
    _, splits = tree.run(monkeypatch, tmp_path, "--images=export")
    assert splits == {"labeled": ["train/a", "train/b"], "val": ["val/a"]}


def test_without_parts(monkeypatch, tmp_path):
    export(tmp_path / "export", *"abcdef")
    tree.save_photos(tmp_path / "export", "new")
    found, splits = tree.run(monkeypatch, tmp_path, "--images=export")
    assert splits["unlabeled"] == ["new"]
    assert len(splits["labeled"]) == 4 and len(splits["val"]) == 2


def test_parts_with_different_classes(monkeypatch, tmp_path):
    export(tmp_path / "export" / "train", "a")
    export(tmp_path / "export" / "valid", "b")
    (tmp_path / "export" / "valid" / "_classes.csv").write_text("0, x\n1, y\n")
    with pytest.raises(UserError, match="train/_classes.csv and .* different classes"):
        tree.run(monkeypatch, tmp_path, "--images=export")


def test_photos_under_their_first_names(monkeypatch, tmp_path):
    export(tmp_path / "export", "a_jpg.rf.0a1", "b_jpg.rf.0a2")
    tree.save_photos(tmp_path / "photos", "a", "b")
    with pytest.raises(UserError, match="Pass --images=export alone"):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=export")
