"""Anyone's images: pairing, splits without masks, the command line."""

import numpy as np
import pytest

from data_prep import folder
from tests.data_prep import trees
from wss import datasets
from wss.errors import UserError

MASK = np.arange(48).reshape(6, 8) % 3


@pytest.fixture
def photos(tmp_path):
    for i, name in enumerate(["a", "b", "sub/c"]):
        trees.save_image(tmp_path / "images" / f"{name}.jpg", seed=i)
        trees.save_mask(tmp_path / "masks" / f"{name}.png", MASK)
    return tmp_path


def run(monkeypatch, photos, *flags):
    monkeypatch.chdir(photos)
    command = ["folder", "--images=images", "--output_dir=out", *flags]
    monkeypatch.setattr("sys.argv", command)
    folder.main()
    return photos / "out"


def test_images_with_masks(monkeypatch, photos):
    out = run(monkeypatch, photos, "--masks=masks", "--split=train", "--num_classes=3")
    assert trees.names(out, "train") == ["a", "b", "sub/c"]
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], MASK)
    spec = datasets.get("folder", str(out))
    assert spec.name == "out"
    assert spec.class_names == ("class_0", "class_1", "class_2")
    assert spec.palette.shape == (3, 3)
    assert dict(spec.split_sizes) == {"train": 3}


def test_a_list_of_labeled_images_and_all_without_masks(monkeypatch, photos):
    (photos / "labeled.txt").write_text("sub/c\na.jpg\n\n")
    (photos / "classes.txt").write_text("sky\nroad \ngreen house\n")
    (photos / "masks" / "b.png").unlink()
    shared = ("--class_names=classes.txt", "--ignore_label=254")
    labeled = ("--masks=masks", "--ids=labeled.txt", "--split=labeled")
    run(monkeypatch, photos, *shared, *labeled)
    out = run(monkeypatch, photos, *shared, "--split=unlabeled")
    assert trees.names(out, "labeled") == ["sub/c", "a"]
    assert trees.names(out, "unlabeled") == ["a", "b", "sub/c"]
    assert not any(example["has_label"] for example in trees.decode(out, "unlabeled"))
    manifest = trees.manifest(out)
    assert manifest["splits"]["labeled"]["with_masks"] == 2
    assert manifest["splits"]["unlabeled"]["with_masks"] == 0
    assert manifest["class_names"] == ["sky", "road", "green house"]
    assert manifest["ignore_label"] == 254


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--ids=ids.txt", "--masks=masks"), "1 ids of ids.txt have no image.*'x'"),
        (("--masks=masks/sub",), "3 images have no mask in masks/sub.*--ids"),
        (("--num_classes=1",), "1 classes given"),
        (("--num_classes=256",), "256 classes given"),
        (("--ignore_label=2",), "ignore label 2 must lie between"),
        (("--ignore_label=256",), "ignore label 256 must lie between"),
        (("--masks=masks", "--num_classes=2"), "holds the value 2"),
    ],
)
def test_mistakes(monkeypatch, photos, flags, message):
    (photos / "ids.txt").write_text("a\nx\n")
    with pytest.raises(UserError, match=message):
        run(monkeypatch, photos, "--split=train", "--num_classes=3", *flags)
    assert not trees.shards(photos / "out", "train")


def test_yes_no_masks(monkeypatch, photos):
    for name in ["a", "b", "sub/c"]:
        trees.save_mask(photos / "masks" / f"{name}.png", (MASK == 1) * 255)
    with pytest.raises(UserError, match="0 and 255"):
        run(monkeypatch, photos, "--masks=masks", "--split=train", "--num_classes=2")
