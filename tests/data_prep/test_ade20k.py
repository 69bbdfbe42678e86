"""ADE20K in its publisher's layout."""

import numpy as np
import pytest

from data_prep import ade20k
from tests.data_prep import trees
from wss.data import datasets
from wss.errors import UserError

MASK = np.array([[0, 1, 2], [150, 0, 13]])


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "raw" / "ADEChallengeData2016"
    for part, short in (("training", "train"), ("validation", "val")):
        for i in (1, 2):
            name = f"ADE_{short}_{i:08d}"
            trees.save_image(root / "images" / part / f"{name}.jpg", 2, 3, seed=i)
            trees.save_mask(root / "annotations" / part / f"{name}.png", MASK)
    return root


def run(monkeypatch, tree, *flags):
    monkeypatch.chdir(tree.parents[1])
    monkeypatch.setattr("sys.argv", ["ade20k", *flags])
    ade20k.main()
    return tree.parents[1] / "data" / "ade20k"


@pytest.mark.parametrize("given", ["raw", "raw/ADEChallengeData2016"])
def test_zero_is_ignored_and_the_classes_follow(monkeypatch, capsys, tree, given):
    out = run(monkeypatch, tree, "--split", "train", "val", f"--ade20k_dir={given}")
    assert trees.names(out, "train") == ["ADE_train_00000001", "ADE_train_00000002"]
    assert trees.names(out, "val") == ["ADE_val_00000001", "ADE_val_00000002"]
    for split in ("train", "val"):
        for example in trees.decode(out, split):
            assert example["label"].tolist() == [[255, 0, 1], [149, 255, 12]]
    spec = datasets.get("ade20k", str(out))
    assert [spec.class_names[i] for i in (0, 12, 149)] == ["wall", "person", "flag"]
    assert (
        "val: found 2 images; the published split has 2000." in capsys.readouterr().out
    )


def test_masks_without_image(monkeypatch, capsys, tree):
    (tree / "images" / "training" / "ADE_train_00000002.jpg").unlink()
    (tree / "images" / "training" / "index.html").touch()
    out = run(monkeypatch, tree, "--split=train")
    assert trees.names(out, "train") == ["ADE_train_00000001"]
    printed = capsys.readouterr().out
    assert "annotations/training: left out 1 masks that have no image" in printed
    assert "images/training: 1 file left out" in printed


def test_a_published_draw_and_its_rest(monkeypatch, tree):
    drawn = {"1-64": ["ADE_train_00000002"], "1-64_rest": ["ADE_train_00000001"]}
    monkeypatch.setattr(ade20k.splits, "load", lambda dataset, name: drawn[name])
    out = run(monkeypatch, tree, "--split", "1-64", "1-64_rest")
    for split, names in drawn.items():
        assert trees.names(out, split) == names
        assert all(example["has_label"] for example in trees.decode(out, split))


def test_a_draw_needs_all_of_its_images(monkeypatch, tree):
    with pytest.raises(UserError, match="316 images of the split '1-64' are not in"):
        run(monkeypatch, tree, "--split=1-64")
    assert not (tree.parents[1] / "data").exists()


def test_without_masks(monkeypatch, tree):
    (tree / "annotations").rename(tree / "gone")
    out = run(monkeypatch, tree, "--split=train", "--unlabeled")
    assert not any(example["has_label"] for example in trees.decode(out, "train"))


@pytest.mark.parametrize(
    "remove, message",
    [
        ("images", "no raw/ADEChallengeData2016/images. Download ADEChallengeData2016"),
        (
            "images/validation",
            "no raw/ADE.*/images/validation. Download .*zip from htt",
        ),
        ("annotations", "no raw/ADE.*/annotations/training. Download"),
        (
            "annotations/validation/ADE_val_00000002.png",
            "1 images of the split 'val' have no mask in .*'ADE_val_00000002'",
        ),
    ],
)
def test_missing_data(monkeypatch, tree, remove, message):
    (tree / remove).rename(tree.parent / "gone")
    with pytest.raises(UserError, match=message):
        run(monkeypatch, tree, "--split", "train", "val")
    assert not (tree.parents[1] / "data").exists()


def test_labels_beyond_150(tree):
    item = ade20k.find_items(str(tree), "val", False)[0]
    trees.save_mask(tree / item.mask, MASK + 101)
    with pytest.raises(UserError, match="00000001.png has the value 251, which is no"):
        ade20k.read(item)
