"""Cityscapes in its publisher's layout: train ids, fine and coarse masks, splits."""

import numpy as np
import pytest

from data_prep import cityscapes, splits
from tests.data_prep import trees
from wss.data import datasets
from wss.errors import UserError

# All label ids, and 255, which other tools write for the license plate.
LABEL_IDS = np.array([*range(34), 255, 0]).reshape(6, 6)
CLASSES = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
FINE = {"train": ["jena_000078_000019", "aachen_000000_000019"], "val": ["ulm_0_1"]}
COARSE = {"train_extra": ["nuremberg_000000_000001", "augsburg_000000_000000"]}


@pytest.fixture
def tree(tmp_path):
    """Both packages, with the other files beside the masks of label ids."""
    root = tmp_path / "cityscapes"
    everything = {**FINE, **COARSE, "test": ["berlin_000000_000019"]}
    for part, names in everything.items():
        for i, name in enumerate(names):
            city = name.split("_")[0]
            trees.save_image(
                root / "leftImg8bit" / part / city / f"{name}_leftImg8bit.png", 6, 6, i
            )
            for package in ("gtFine", "gtCoarse"):
                if package == "gtFine" and part in COARSE:
                    continue
                stem = root / package / part / city / f"{name}_{package}"
                is_coarse = package == "gtCoarse"
                label_ids = np.where(is_coarse & (LABEL_IDS < 20), 0, LABEL_IDS)
                trees.save_mask(stem.with_name(stem.name + "_labelIds.png"), label_ids)
                trees.save_image(stem.with_name(stem.name + "_color.png"), 6, 6)
                stem.with_name(stem.name + "_polygons.json").write_text("{}")
    return root


def run(monkeypatch, tree, *flags):
    monkeypatch.chdir(tree.parent)
    command = ["cityscapes", "--cityscapes_dir=cityscapes", *flags]
    monkeypatch.setattr("sys.argv", command)
    cityscapes.main()
    return tree.parent / "data" / "cityscapes"


def test_label_ids_become_train_ids(monkeypatch, capsys, tree):
    out = run(monkeypatch, tree, "--split", "train", "val")
    assert trees.names(out, "train") == FINE["train"][::-1]
    assert trees.names(out, "val") == FINE["val"]
    expected = np.full((6, 6), 255)
    for train_id, label_id in enumerate(CLASSES):
        expected[LABEL_IDS == label_id] = train_id
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], expected)
    assert datasets.get("cityscapes", str(out)).num_classes == 19
    printed = capsys.readouterr().out
    assert "train: found 2 images; the published split has 2975." in printed


@pytest.fixture
def numbered_anew(tmp_path):
    """Two cities whose frames have the same numbers; only one is on the road."""
    root = tmp_path / "cityscapes"
    for city, label_id in (("delhi", 7), ("pune", 26)):
        for frame in ("000001", "000002"):
            image = root / "leftImg8bit" / "train" / city / f"{frame}_leftImg8bit.png"
            trees.save_image(image, 6, 6, seed=label_id)
            mask = root / "gtFine" / "train" / city / f"{frame}_gtFine_labelIds.png"
            trees.save_mask(mask, np.full((6, 6), label_id))
    return root


def test_frames_that_are_numbered_anew_in_each_city(monkeypatch, numbered_anew):
    out = run(monkeypatch, numbered_anew, "--split", "train")
    assert trees.names(out, "train") == [
        *("delhi/000001", "delhi/000002", "pune/000001", "pune/000002")
    ]
    classes = [example["label"].max() for example in trees.decode(out, "train")]
    assert classes == [0, 0, 13, 13]  # Road and car.
    mask = numbered_anew / "gtFine" / "train" / "pune" / "000002_gtFine_labelIds.png"
    mask.unlink()
    with pytest.raises(UserError, match="1 images .* have no mask.*'pune/000002'"):
        run(monkeypatch, numbered_anew, "--split", "train", "--overwrite")


def test_files_that_do_not_belong(monkeypatch, capsys, tree):
    stray = tree / "leftImg8bit" / "val" / "ulm" / "notes.txt"
    stray.touch()
    image = (
        tree / "leftImg8bit" / "train" / "jena" / "jena_000078_000019_leftImg8bit.png"
    )
    image.unlink()
    run(monkeypatch, tree, "--split", "train", "val")
    printed = capsys.readouterr().out
    assert "leftImg8bit/val: 1 file left out" in printed and "notes.txt" in printed
    assert "gtFine/train: left out 1 masks that have no image" in printed
    assert "gtCoarse" not in printed


def test_which_classes():
    spec = datasets.get("cityscapes")
    assert len(CLASSES) == spec.num_classes
    by_label_id = {i: spec.class_names[n] for n, i in enumerate(CLASSES)}
    assert by_label_id[7] == "road" and by_label_id[17] == "pole"
    assert by_label_id[26] == "car" and by_label_id[31] == "train"


def test_test_images_have_no_masks(monkeypatch, tree):
    out = run(monkeypatch, tree, "--split", "test", "val", "--unlabeled")
    assert not any(example["has_label"] for example in trees.decode(out, "test"))
    assert trees.manifest(out)["splits"]["val"]["with_masks"] == 0
    out = run(monkeypatch, tree, "--split", "test", "--overwrite")
    assert trees.manifest(out)["splits"]["test"]["with_masks"] == 0


def test_coarse_masks(monkeypatch, tree):
    out = run(monkeypatch, tree, "--split", "train_extra")
    assert trees.names(out, "train_extra") == COARSE["train_extra"][::-1]
    run(monkeypatch, tree, "--split", "train", "--annotations=coarse")
    for split in ("train", "train_extra"):
        for example in trees.decode(out, split):
            assert example["label"][0, 5] == example["label"][2, 1] == 255
            assert example["label"][4, 2] == 13  # car
    options = trees.manifest(out)["splits"]["train"]["options"]
    assert options["annotations"] == "gtCoarse"


def test_published_draws(monkeypatch, tree):
    for package, kind in (("leftImg8bit", ""), ("gtFine", "_labelIds")):
        for name in splits.load("cityscapes", "u2pl_1-16"):
            file = f"{name}_{package}{kind}.png"
            path = tree / package / "train" / name.split("_")[0] / file
            trees.save_mask(path, LABEL_IDS % 30)
    out = run(monkeypatch, tree, "--split", "u2pl_1-16")
    assert trees.names(out, "u2pl_1-16") == splits.load("cityscapes", "u2pl_1-16")
    with pytest.raises(UserError, match="353 images of the split 'cps_1-8' are not"):
        run(monkeypatch, tree, "--split", "cps_1-8")
    missing = "2787 images of the split 'u2pl_1-16_rest' are not"
    with pytest.raises(UserError, match=missing):
        run(monkeypatch, tree, "--split", "u2pl_1-16_rest")


@pytest.mark.parametrize(
    "remove, flags, message",
    [
        (None, ("--split=cps_1-3",), "no split 'cps_1-3'.*train_extra, cps_1-16"),
        (
            None,
            ("--split=val", "--cityscapes_dir=x"),
            "no x/leftImg8bit/val. Download leftImg8bit_trainvaltest.zip from https://",
        ),
        ("leftImg8bit/train_extra", ("--split=train_extra",), "leftImg8bit_trainextra"),
        ("gtCoarse/train_extra", ("--split=train_extra",), "Download gtCoarse.zip"),
        ("gtFine/train", ("--split=train",), "Download gtFine_trainvaltest.zip"),
        (
            "gtFine/train/jena/jena_000078_000019_gtFine_labelIds.png",
            ("--split=train",),
            "1 images of the split 'train' have no mask in cityscapes/gtFine/train",
        ),
        (
            "gtFine/val/ulm/ulm_0_1_gtFine_labelIds.png",
            ("--split=val",),
            "no image with names that end in '_gtFine_labelIds' in cityscapes/gtFine/v",
        ),
    ],
)
def test_missing_data(monkeypatch, tree, remove, flags, message):
    if remove:
        (tree / remove).rename(tree.parent / "gone")
    with pytest.raises(UserError, match=message):
        run(monkeypatch, tree, *flags)
    assert not (tree.parent / "data").exists()


@pytest.mark.parametrize(
    "label_ids, message",
    [
        (LABEL_IDS + 34, "has the value 34, which is not a label of this data set"),
        (LABEL_IDS[:5], "6 x 6 pixels.*mask.* 6 x 5"),
    ],
)
def test_broken_masks(tree, label_ids, message):
    item = cityscapes.find_items(str(tree), "val", "gtFine")[0]
    trees.save_mask(tree / item.mask, label_ids)
    with pytest.raises(UserError, match=message):
        cityscapes.read(item)
