"""Anyone's images: pairing, splits without masks, the command line."""

import unicodedata

import numpy as np
import pytest
from PIL import Image

from data_prep import folder
from tests.data_prep import trees
from wss.data import datasets
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
            "3 images have no mask in masks/sub.*Looked for masks/sub/a.png. Add "
            "--image_pattern='sub/{id}' if .* pairs 1 of 1 files in masks/sub",
        ),
        (("--ignore_label=2",), "--ignore_label=2 is the id of a class"),
        (
            ("--masks=masks", "--num_classes=2"),
            "3 of 3 images.*a.png has the value 2 in 16 pixels.*--map 2=ignore",
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
        (("--binary",), "--binary applies to masks: it needs --masks"),
        (("--map", "1=2"), "--map applies to masks"),
        (("--mask_suffix=_m",), "--mask_suffix applies to masks"),
        (
            ("--colormap=voc", "--binary", "--masks=masks"),
            "--binary and --colormap exclude each other",
        ),
        (("--colormap=nothing", "--masks=masks"), "no colormap 'nothing'"),
        (("--masks=images",), "are in one folder, images.*--mask_suffix=_mask"),
        (("--masks=masks", "--map", "1:2"), "--map 1:2: write OLD=NEW"),
        (
            ("--masks=masks", "--map", "9" * 400 + "=1", "inf=2"),
            "inf=2: .* already mapped",
        ),
        (("--masks=masks", "--map", "9-1=2"), "--map 9-1=2: write OLD=NEW"),
        (("--masks=masks", "--map", "nan-1=2"), "--map nan-1=2: write OLD=NEW"),
        (("--masks=masks", "--map", "nan=1", "NaN=2"), "NaN=2: .* already mapped"),
        (("--masks=masks", "--map", "-9=1", "-9--8=2"), "-9--8=2: .* already mapped"),
        (
            ("--masks=masks", "--map", "1=road"),
            "--map 1=road: there is no class 'road'",
        ),
        (
            ("--masks=masks", "--map", "1=2", "0-3=1"),
            "0-3=1: .* is already mapped",
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


def test_yes_no_masks_published_as_jpeg(monkeypatch, capsys, tmp_path):
    yes = np.kron([[0, 1, 1], [0, 0, 1]], np.ones((16, 16))).astype(np.uint8)
    for name in "ab":
        trees.save_image(tmp_path / "images" / f"{name}.jpg", *yes.shape)
        trees.save_image(tmp_path / "masks" / f"{name}.jpg", *yes.shape)
        Image.fromarray(yes * 255).save(tmp_path / "masks" / f"{name}.jpg", quality=60)
    flags = ("--masks=masks", "--split=train", "--num_classes=2")
    with pytest.raises(UserError, match="is a JPEG, whose compression .*--binary"):
        run(monkeypatch, tmp_path, *flags)
    out = run(monkeypatch, tmp_path, *flags, "--binary")
    assert "2 masks are JPEG or WebP" in capsys.readouterr().out
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], yes)
    red = np.dstack([yes * 255, yes * 0, yes * 0])  # Darker than half of white.
    for name in "ab":
        Image.fromarray(red).save(tmp_path / "masks" / f"{name}.jpg")
    Image.fromarray(yes * 255).save(tmp_path / "masks" / "b.jpg")
    with pytest.raises(UserError, match="1 of 2 .*it has colors .*--colormap"):
        run(monkeypatch, tmp_path, *flags, "--binary", "--overwrite")


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


@pytest.mark.parametrize(
    "nothing, change",
    [
        (-9999, ["--map=-9999=ignore"]),
        (-9999, ["--map", "1=0", "-9999=ignore"]),
        (-9999, ["--map", "-9999=ignore", "1=0"]),
        (-9999, ["--map", "-10000--1=ignore"]),
        (np.nan, ["--map", "NaN=ignore"]),
        (-np.inf, ["--map", "-inf=ignore"]),
        (np.finfo(np.float32).min, ["--map", "-3.4028235e+38=255"]),
    ],
)
def test_what_stands_for_no_data(monkeypatch, photos, nothing, change):
    for name in ["a", "b", "sub/c"]:
        (photos / "masks" / f"{name}.png").unlink()
        mask = np.where(MASK == 2, nothing, MASK).astype(np.float32)
        Image.fromarray(mask).save(photos / "masks" / f"{name}.tif")
    flags = ("--masks=masks", "--split=train", "--num_classes=2")
    value = r"nan|-inf|-9999|-3.40282346638\d+e\+38"
    with pytest.raises(UserError, match=f"has the value ({value}).*--map ({value})=ig"):
        run(monkeypatch, photos, *flags)
    out = run(monkeypatch, photos, *flags, *change)
    expected = np.where(MASK == 2, 255, MASK * ("1=0" not in change))
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], expected)
    assert "NaN" not in (out / "dataset.json").read_text()


@pytest.mark.parametrize("source", ["voc", "colors.txt"])
def test_masks_in_colours(monkeypatch, photos, source):
    voc = datasets.get("voc")
    for name in ["a", "b", "sub/c"]:
        Image.fromarray(voc.palette[MASK]).save(photos / "masks" / f"{name}.png")
    (photos / "colors.txt").write_text(
        "0 0 0 background\n128 0 0 aeroplane\n0 128 0 2\n"
    )
    flags = ("--masks=masks", "--split=train", "--class_names=voc")
    out = run(monkeypatch, photos, *flags, f"--colormap={source}")
    assert trees.manifest(out)["class_names"] == list(voc.class_names)
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], MASK)
    options = trees.manifest(out)["splits"]["train"]["options"]
    assert [128, 0, 0, 1] in options["colormap"]
    with pytest.raises(UserError, match="made from other images or options"):
        (photos / "colors.txt").write_text(
            "0 0 0 background\n128 0 0 bird\n0 128 0 2\n"
        )
        run(monkeypatch, photos, *flags, "--colormap=colors.txt")


def test_few_of_many_images_have_masks(monkeypatch, photos, capsys):
    """The usual data: labeled, unlabeled and held-out images."""
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
    assert "masks: left out 1 masks that have no image in images" in printed
    assert "images: left out 1 of 3 images that have no mask; the first is 'b'" in (
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


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("on_disk, listed", [("NFC", "NFD"), ("NFD", "NFC")])
def test_lists_of_all_systems(
    monkeypatch, tmp_path, encoding, line_end, on_disk, listed
):
    def write(name, *lines):
        text = unicodedata.normalize(listed, line_end.join(["# \u00e9", *lines]))
        (tmp_path / name).write_bytes(text.encode(encoding))

    for i, name in enumerate(["\u00fc/\u00e4", "\u00fc/b", "c"]):
        name = unicodedata.normalize(on_disk, name)
        trees.save_image(tmp_path / "images" / f"{name}.jpg", seed=i)
        mask = np.array([(9, 9, 9), (0, 0, 7)], np.uint8)[MASK % 2]
        (tmp_path / "masks" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(mask).save(tmp_path / "masks" / f"{name}.png")
    write("classes.txt", "stra\u00dfe", "fl\u00fcsse")
    write("colors.txt", "0 0 7 fl\u00fcsse", "9 9 9 stra\u00dfe")
    write("ids.txt", "c", "\u00fc\\\u00e4.jpg", "\u00fc\\b")
    write("exclude.txt", "images/\u00fc/b.jpg")
    write("labels.csv", "c,fl\u00fcsse", "\u00fc\\\u00e4.jpg;stra\u00dfe")
    shared = ("--class_names=classes.txt", "--ids=ids.txt", "--exclude=exclude.txt")
    masks = ("--masks=masks", "--colormap=colors.txt", "--split=train")
    out = run(monkeypatch, tmp_path, *shared, *masks)
    run(monkeypatch, tmp_path, *shared, "--image_labels=labels.csv", "--split=tagged")
    assert trees.manifest(out)["class_names"] == ["stra\u00dfe", "fl\u00fcsse"]
    assert (
        trees.names(out, "train")
        == trees.names(out, "tagged")
        == ["c", "\u00fc/\u00e4"]
    )
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], MASK % 2)
    tagged = trees.decode(out, "tagged")
    assert [example["class_ids"].tolist() for example in tagged] == [[1], [0]]


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


def test_masks_are_not_written_as_images(monkeypatch, photos):
    flags = ("--num_classes=3", "--split=all", "--images=.")
    for name in ("a", "b", "sub/c"):
        trees.save_mask(photos / "masks" / f"{name}.png", np.ones((6, 8)))
    with pytest.raises(
        UserError, match="contains masks besides.*pass --images=./images"
    ):
        run(monkeypatch, photos, *flags)
    run(monkeypatch, photos, *flags, "--images=images")
    out = run(monkeypatch, photos, *flags, "--image_pattern={id}", "--overwrite")
    assert len(trees.names(out, "all")) == 6


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
    trees.save_image(images / "colored_mask.jpg")
    for name in ("empty", "text", "small"):
        trees.save_mask(masks / f"{name}.png", MASK)
    trees.save_mask(masks / "jpeg_mask.jpg", MASK)
    trees.save_image(masks / "colored_mask.png")
    flags = ("--masks=masks", "--split=train", "--num_classes=3")
    with pytest.raises(UserError, match="5 of 8 images.*write the other 3"):
        run(monkeypatch, photos, *flags)
    assert not trees.shards(photos / "out", "train")
    told = capsys.readouterr().err
    for message in (
        "colored_mask.png has colors",
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
        *("colored_mask", "empty", "jpeg_mask", "small", "text")
    ]


def test_one_rule_of_range_for_all_splits(monkeypatch, tmp_path):
    for folder_name, highest in (("a", (250, 255, 300, 4000)), ("b", (16, 5000))):
        (tmp_path / folder_name).mkdir()
        for number in highest:
            pixels = np.full((6, 8), number, np.uint16)
            Image.fromarray(pixels).save(tmp_path / folder_name / f"{number:04}.png")
    monkeypatch.chdir(tmp_path)

    def write(*flags):
        command = ["folder", "--num_classes=2", "--output_dir=out", *flags]
        monkeypatch.setattr("sys.argv", command)
        folder.main()

    write("--images=a", "--split=labeled")
    shown = [one["image"].max() for one in trees.decode(tmp_path / "out", "labeled")]
    assert shown == [15, 15, 18, 250]
    assert datasets.get("folder", "out").image_bits == 12
    with pytest.raises(UserError, match="b/5000.png .* up to 5000.* 12 bits.*=13"):
        write("--images=b", "--split=more")
    assert not (
        tmp_path / "out" / ".more.partial"
    ).exists()  # Reported before the work.
    write("--images=b", "--split=more", "--skip_broken")
    assert trees.names(tmp_path / "out", "more") == ["0016"]
    for source, split in (("a", "labeled"), ("b", "more")):
        write(
            f"--images={source}",
            f"--split={split}",
            "--image_bits=13",
            "--output_dir=x",
        )
    shown = [one["image"].max() for one in trees.decode(tmp_path / "x", "more")]
    assert shown == [0, 156]


def test_palettes_that_differ(monkeypatch, photos):
    colors = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)
    for name, order in (("a", [0, 1, 2]), ("b", [0, 1, 2]), ("sub/c", [2, 0, 1])):
        image = Image.fromarray(np.argsort(order)[MASK].astype(np.uint8))
        image.putpalette(colors[order].tobytes())
        image.save(photos / "masks" / f"{name}.png")
    flags = ("--masks=masks", "--split=train", "--num_classes=3")
    with pytest.raises(UserError, match="masks/a.png and the mask masks/sub/c.png dif"):
        run(monkeypatch, photos, *flags)
    assert not (photos / "out").exists()
    (photos / "c.txt").write_text("0 0 0 0\n128 0 0 1\n0 128 0 2\n")
    out = run(monkeypatch, photos, *flags, "--colormap=c.txt")
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], MASK)


def test_edited_masks_are_noticed(monkeypatch, photos):
    flags = ("--masks=masks", "--split=train", "--num_classes=3")
    run(monkeypatch, photos, *flags)
    trees.save_mask(photos / "masks" / "b.png", 2 - MASK)
    with pytest.raises(UserError, match="'train' have changed since.*masks/b.png. Add"):
        run(monkeypatch, photos, *flags)
    out = run(monkeypatch, photos, *flags, "--overwrite")
    np.testing.assert_array_equal(trees.decode(out, "train")[1]["label"], 2 - MASK)


@pytest.mark.parametrize("one_folder", [False, True])
def test_names_that_do_not_pair(monkeypatch, tmp_path, one_folder):
    masks = "images" if one_folder else "masks"
    for i in range(3):
        trees.save_image(tmp_path / "images" / f"img_{i}.jpg")
        trees.save_mask(tmp_path / masks / f"label_{i}.png", MASK)
    flags = (f"--masks={masks}", "--split=train", "--num_classes=3")
    patterns = ("--image_pattern=img_{id}", "--mask_pattern=label_{id}")
    message = "--image_pattern='img_{id}' --mask_pattern='label_{id}'.* pairs 3 of"
    for only in ((), ("--only_with_masks",)):
        with pytest.raises(UserError, match=message):
            run(monkeypatch, tmp_path, *flags, *only)
    out = run(monkeypatch, tmp_path, *flags, *patterns)
    assert trees.names(out, "train") == ["0", "1", "2"]
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], MASK)
    for wrong in ("--image_suffix=_a", "--mask_suffix=_a"):
        with pytest.raises(UserError, match="Remove --.*_suffix or --.*_patt"):
            run(monkeypatch, tmp_path, *flags, *patterns, wrong)


def test_masks_beside_images_of_the_same_name(monkeypatch, tmp_path):
    trees.save_image(tmp_path / "images" / "a.jpg")
    trees.save_mask(tmp_path / "images" / "a.png", MASK)
    flags = ("--masks=images", "--split=train", "--num_classes=3")
    patterns = ("--image_pattern={id}.jpg", "--mask_pattern={id}.png")
    for told in (flags, flags[1:]):
        with pytest.raises(UserError) as error:
            run(monkeypatch, tmp_path, *told)
        assert "--image_pattern='{id}.jpg'" in str(error.value)
        assert "--mask_pattern='{id}.png'" in str(error.value)
    out = run(monkeypatch, tmp_path, *flags, *patterns)
    np.testing.assert_array_equal(trees.decode(out, "train")[0]["label"], MASK)


def test_class_names_of_tools(monkeypatch, photos):
    (photos / "labels.txt").write_text("__ignore__\n_background_\nroad\ncar\n")
    (photos / "classes.csv").write_text("Pixel Value, Class\n0, sky\n2, car\n1, road\n")
    flags = ("--masks=masks", "--split=train")
    out = run(monkeypatch, photos, *flags, "--class_names=labels.txt")
    assert trees.manifest(out)["class_names"] == ["_background_", "road", "car"]
    np.testing.assert_array_equal(trees.decode(out, "train")[0]["label"], MASK)
    flags = (*flags, "--output_dir=other", "--class_names=classes.csv")
    run(monkeypatch, photos, *flags)
    assert trees.manifest(photos / "other")["class_names"] == ["sky", "road", "car"]
