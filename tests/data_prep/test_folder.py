"""Anyone's images: pairing, splits without masks, the command line."""

import numpy as np
import pytest
from PIL import Image

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
        (
            ("--masks=masks/sub",),
            "3 images have no mask in masks/sub.*masks/sub/a.png.*--only_with_masks",
        ),
        (("--num_classes=1",), "1 classes given"),
        (("--num_classes=256",), "256 classes given"),
        (("--ignore_label=2",), "ignore label 2 must lie between"),
        (("--ignore_label=256",), "ignore label 256 must lie between"),
        (
            ("--masks=masks", "--num_classes=2"),
            "3 of 3 images.*a.png holds the value 2 in 16 pixels.*--map 2=ignore",
        ),
        (("--exclude=ids.txt",), "1 ids of ids.txt have no image.*such as 'a'"),
        (("--ids=twice.txt",), "twice.txt names 'a' more than once"),
        (("--image_labels=labels.csv",), "2 images have no image-level labels.*'b'"),
        (("--image_labels=ids.txt",), "ids.txt, line 1: 'a' is not an image's id and"),
        (("--image_labels=odd.csv",), "odd.csv, line 2: there is no class 'rode'"),
        (
            ("--image_labels=labels.csv", "--masks=masks"),
            "--image_labels is for images",
        ),
        (("--binary",), "--binary is about masks: it needs --masks"),
        (("--map", "1=2"), "--map is about masks"),
        (("--mask_suffix=_m",), "--mask_suffix is about masks"),
        (("--colormap=voc", "--binary", "--masks=masks"), "--binary does not go with"),
        (("--colormap=nothing", "--masks=masks"), "no colormap 'nothing'"),
        (("--max_side=0",), "--max_side must be 1 or more"),
        (("--masks=images",), "lie in one folder, images.*--mask_suffix=_mask"),
        (("--masks=masks", "--map", "1:2"), "--map 1:2: write OLD=NEW"),
        (("--masks=masks", "--map", "9-1=2"), "--map 9-1=2: write OLD=NEW"),
        (
            ("--masks=masks", "--map", "1=road"),
            "--map 1=road: there is no class 'road'",
        ),
        (
            ("--masks=masks", "--map", "1=2", "0-3=1"),
            "0-3=1: .* another meaning before",
        ),
    ],
)
def test_mistakes(monkeypatch, photos, flags, message):
    (photos / "ids.txt").write_text("a\nx\n")
    (photos / "twice.txt").write_text("a\na.jpg\n")
    (photos / "labels.csv").write_text("a,1\n")
    (photos / "odd.csv").write_text("a,1\nb,rode\n")
    with pytest.raises(UserError, match=message):
        run(monkeypatch, photos, "--split=train", "--num_classes=3", *flags)
    assert not trees.shards(photos / "out", "train")


def test_yes_no_masks(monkeypatch, photos):
    for name in ["a", "b", "sub/c"]:
        trees.save_mask(photos / "masks" / f"{name}.png", (MASK == 1) * 255)
    flags = ("--masks=masks", "--split=train", "--num_classes=2")
    with pytest.raises(UserError, match="0 and 255.*--binary"):
        run(monkeypatch, photos, *flags)
    for change in (["--binary"], ["--map", "255=1", "--overwrite"]):
        out = run(monkeypatch, photos, *flags, *change)
        for example in trees.decode(out, "train"):
            np.testing.assert_array_equal(example["label"], MASK == 1)


def test_labels_get_other_meanings(monkeypatch, photos):
    (photos / "classes.txt").write_text("sky\nroad\n")
    changes = ("--map", "0=road", "2-254=ignore", "--map", "1=0")
    flags = ("--masks=masks", "--split=train", "--class_names=classes.txt")
    out = run(monkeypatch, photos, *flags, *changes)
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(
            example["label"], np.choose(MASK, [1, 0, 255]).astype(np.uint8)
        )
    assert trees.manifest(out)["splits"]["train"]["options"]["map"] == [
        *([0, 0, 1], [2, 254, 255], [1, 1, 0])
    ]


@pytest.mark.parametrize("source", ["voc", "colours.txt"])
def test_masks_in_colours(monkeypatch, photos, source):
    voc = datasets.get("voc")
    for name in ["a", "b", "sub/c"]:
        Image.fromarray(voc.palette[MASK]).save(photos / "masks" / f"{name}.png")
    (photos / "colours.txt").write_text(
        "0 0 0 background\n128 0 0 aeroplane\n0 128 0 2\n"
    )
    flags = ("--masks=masks", "--split=train", "--class_names=voc")
    out = run(monkeypatch, photos, *flags, f"--colormap={source}")
    assert trees.manifest(out)["class_names"] == list(voc.class_names)
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], MASK)
    options = trees.manifest(out)["splits"]["train"]["options"]
    assert [128, 0, 0, 1] in options["colormap"]
    with pytest.raises(UserError, match="already, made from other images or options"):
        (photos / "colours.txt").write_text(
            "0 0 0 background\n128 0 0 bird\n0 128 0 2\n"
        )
        run(monkeypatch, photos, *flags, "--colormap=colours.txt")


def test_few_of_many_images_have_masks(monkeypatch, photos, capsys):
    """What most users have: the labeled, the unlabeled and the held out."""
    (photos / "masks" / "b.png").unlink()
    trees.save_mask(photos / "masks" / "lost.png", MASK)
    (photos / "masks" / "notes.txt").write_text("")
    (photos / "images" / "IMG_1.mov").write_text("")
    (photos / "val.txt").write_text("sub\\c.jpg\r\n")
    shared = ("--num_classes=3", "--masks=masks")
    run(monkeypatch, photos, *shared, "--split=all", "--only_with_masks")
    printed = capsys.readouterr().out
    assert "images: 1 file left out (1 .mov); the first is images/IMG_1" in printed
    assert "masks: 1 file left out (1 .txt)" in printed
    assert "masks: 1 masks left out, which have no image in images" in printed
    assert "images: 1 of 3 images left out, which have no mask; the first is 'b'" in (
        printed
    )
    run(monkeypatch, photos, *shared, "--split=val", "--ids=val.txt")
    rest = ("--exclude=val.txt",)
    run(monkeypatch, photos, *shared, "--split=labeled", "--only_with_masks", *rest)
    out = run(monkeypatch, photos, "--num_classes=3", "--split=unlabeled", *rest)
    assert trees.names(out, "all") == ["a", "sub/c"]
    assert trees.names(out, "val") == ["sub/c"]
    assert trees.names(out, "labeled") == ["a"]
    assert trees.names(out, "unlabeled") == ["a", "b"]


def test_names_of_images_and_masks_end_differently(monkeypatch, tmp_path, capsys):
    for name in ("a", "sub/b"):
        trees.save_image(tmp_path / "images" / f"{name}_photo.jpg")
        trees.save_mask(tmp_path / "images" / f"{name}_labelIds.png", MASK)
        trees.save_mask(tmp_path / "images" / f"{name}_color.png", MASK)
    (tmp_path / "ids.txt").write_text("sub/b_photo.jpg\na\n")
    flags = ("--num_classes=3", "--split=train", "--ids=ids.txt", "--masks=images/")
    suffixes = ("--image_suffix=_photo", "--mask_suffix=_labelIds")
    out = run(monkeypatch, tmp_path, *flags, *suffixes)
    assert trees.names(out, "train") == ["sub/b", "a"]
    assert "images: 2 files left out (2 .png); the first is images/a_color.png" in (
        capsys.readouterr().out
    )
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], MASK)


def test_masks_beside_their_images(monkeypatch, photos):
    for name in ("a", "b", "sub/c"):
        trees.save_mask(photos / "images" / f"{name}_mask.png", MASK)
    flags = ("--num_classes=3", "--split=train", "--masks=images")
    out = run(monkeypatch, photos, *flags, "--mask_suffix=_mask")
    assert trees.names(out, "train") == ["a", "b", "sub/c"]
    assert all(example["has_label"] for example in trees.decode(out, "train"))


def test_image_level_labels(monkeypatch, photos):
    (photos / "classes.txt").write_text("sky\nroad\ngreen house\n")
    (photos / "labels.csv").write_text("b.jpg, green house,1\na\t0\nsub/c,road,\n")
    flags = ("--class_names=classes.txt", "--split=tagged")
    out = run(monkeypatch, photos, *flags, "--image_labels=labels.csv")
    decoded = trees.decode(out, "tagged")
    assert trees.names(out, "tagged") == ["a", "b", "sub/c"]
    assert [example["class_ids"].tolist() for example in decoded] == [[0], [1, 2], [1]]
    assert not any(example["has_label"] for example in decoded)
    (photos / "ids.txt").write_text("b\n")
    more = ("--image_labels=labels.csv", "--ids=ids.txt", "--overwrite")
    assert trees.names(run(monkeypatch, photos, *flags, *more), "tagged") == ["b"]


def test_large_images_are_made_smaller(monkeypatch, photos):
    flags = ("--masks=masks", "--split=train", "--num_classes=3", "--max_side=4")
    out = run(monkeypatch, photos, *flags)
    for example in trees.decode(out, "train"):
        assert example["image"].shape == (3, 4, 3)
        assert example["label"].shape == (3, 4)
        assert set(example["label"].ravel()) <= {0, 1, 2}


def test_bad_files_are_all_told_and_only_left_out_on_demand(
    monkeypatch, photos, capsys
):
    images, masks = photos / "images", photos / "masks"
    (images / "empty.jpg").write_bytes(b"")
    (images / "text.jpg").write_text("no image")
    trees.save_image(images / "small.jpg", height=3)
    trees.save_image(images / "jpeg_mask.jpg")
    trees.save_image(images / "coloured_mask.jpg")
    for name in ("empty", "text", "small"):
        trees.save_mask(masks / f"{name}.png", MASK)
    trees.save_mask(masks / "jpeg_mask.jpg", MASK)
    trees.save_image(masks / "coloured_mask.png")
    flags = ("--masks=masks", "--split=train", "--num_classes=3")
    with pytest.raises(UserError, match="5 of 8 images.*write the other 3"):
        run(monkeypatch, photos, *flags)
    assert not trees.shards(photos / "out", "train")
    told = capsys.readouterr().err
    for message in (
        "coloured_mask.png holds colours",
        "empty.jpg cannot be read (the file is empty)",
        "jpeg_mask.jpg is a JPEG",
        "small.jpg has 8 x 3 pixels, its mask 8 x 6",
        "text.jpg cannot be read",
    ):
        assert message in told
    out = run(monkeypatch, photos, *flags, "--skip_broken")
    assert trees.names(out, "train") == ["a", "b", "sub/c"]
    skipped = trees.manifest(out)["splits"]["train"]["skipped"]
    assert [each["name"] for each in skipped] == [
        *("coloured_mask", "empty", "jpeg_mask", "small", "text")
    ]
