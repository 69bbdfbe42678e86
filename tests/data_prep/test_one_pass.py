"""Photos and masks become a whole data set in one command."""

import numpy as np
import pytest
from PIL import Image

from data_prep import folder, one_pass
from tests.data_prep import trees
from wss.errors import UserError

HEIGHT, WIDTH = 20, 30


def mask_of(i):
    """Class 0, in every second mask class 1, in every fifth class 2, a border."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[0] = 255
    mask[5:9, 5:9] = i % 2
    mask[12:15, 12:15] = 2 * (i % 5 == 0)
    return mask


@pytest.fixture
def photos(tmp_path):
    """14 photos, ten with masks."""
    for i in range(14):
        name = f"day {i % 2}/{i:02}"
        trees.save_image(tmp_path / "photos" / f"{name}.jpg", HEIGHT, WIDTH, seed=i)
        if i < 10:
            trees.save_mask(tmp_path / "masks" / f"{name}.png", mask_of(i))
    return tmp_path


@pytest.fixture
def quickly(monkeypatch):
    """Leaves out reading the records back, which other tests do."""
    monkeypatch.setattr(one_pass, "_look_back", lambda *_: True)


def run(monkeypatch, photos, *flags):
    monkeypatch.chdir(photos)
    command = ["folder", "--images=photos", "--output_dir=out", *flags]
    monkeypatch.setattr("sys.argv", command)
    folder.main()
    return photos / "out"


def number(name):
    return int(name.rpartition("/")[2])


def is_untouched(photos):
    """Whether no split was written."""
    out = photos / "out"
    return not list(out.glob("*.tfrecord")) and not (out / "dataset.json").exists()


def test_one_command(monkeypatch, capsys, photos):
    out = run(monkeypatch, photos, "--masks=masks")
    names = {split: trees.names(out, split) for split in ("labeled", "unlabeled")}
    held_out = trees.names(out, "val")
    assert len(held_out) == 2 and len(names["labeled"]) == 8
    assert sorted(map(number, held_out + names["labeled"])) == list(range(10))
    assert sorted(map(number, names["unlabeled"])) == [10, 11, 12, 13]
    for split in ("labeled", "val"):
        for example in trees.decode(out, split):
            expected = mask_of(number(example["name"].decode()))
            np.testing.assert_array_equal(example["label"], expected)
    # Class 2 is in two masks: one to learn from, one to measure.
    assert sum(number(name) % 5 == 0 for name in held_out) == 1
    assert trees.manifest(out)["class_names"] == ["class_0", "class_1", "class_2"]
    assert (out / "contact_sheet.png").exists()
    assert (out / "val.txt").read_text().splitlines() == held_out
    printed = capsys.readouterr().out
    assert "10 of 14 photos in photos have a mask file in masks.\n" in printed
    assert (
        "Classes (the values in the masks; 255 is ignored): 0 class_0, 1 class_1, 2 "
        "class_2.\n" in printed
    )
    assert "2 of 10 photos with masks are held out as 'val' to measure" in printed
    assert "  2  class_2" in printed
    assert printed.endswith("""No problem was found.
Train, with crops of up to 33 pixels, and measure on 33:
python -m wss.train --gin_file=gin_configs/folder.gin \\
    --gin_bindings="DATA_DIR = 'out'"
""")
    run(monkeypatch, photos, "--masks=masks")
    assert "labeled: already in out, 8 images" in capsys.readouterr().out


@pytest.mark.parametrize(
    "file, text, names",
    [
        ("masks/labels.txt", "__ignore__\n_background_\nroad\ncar\n", "_background_"),
        ("classes.txt", "sky\nroad\ncar\n", "sky"),
        ("masks/_classes.csv", "Pixel Value, Class\n0, sky\n1, road\n2, car\n", "sky"),
        ("masks/dataset.json", '{"class_names": ["sky", "road", "car"]}', "sky"),
        ("dataset.json", '{"labels": {"car": 2, "sky": 0, "road": 1}}', "sky"),
        ("dataset.json", '{"labels": {"0": "sky", "1": "road", "2": "car"}}', "sky"),
    ],
)
def test_names_in_files(quickly, monkeypatch, capsys, photos, file, text, names):
    (photos / file).write_text(text)
    out = run(monkeypatch, photos, "--masks=masks")
    assert trees.manifest(out)["class_names"] == [names, "road", "car"]
    assert f"Classes ({file}): 0 {names}, 1 road, 2 car." in capsys.readouterr().out


def test_the_user_names_the_classes(quickly, monkeypatch, photos):
    (photos / "mine.txt").write_text("a\nb\nc\nd\n")
    for file in ("labels.txt", "classes.txt"):  # Ambiguous, but the user has decided.
        (photos / "masks" / file).write_text("sky\nroad\ncar\n")
    out = run(monkeypatch, photos, "--masks=masks", "--class_names=mine.txt")
    assert trees.manifest(out)["class_names"] == ["a", "b", "c", "d"]


def test_held_out_by_a_list(quickly, monkeypatch, capsys, photos):
    (photos / "val.txt").write_text("day 0/04.jpg\nday 1/07\n")
    out = run(monkeypatch, photos, "--masks=masks", "--val_ids=val.txt")
    assert trees.names(out, "val") == ["day 0/04", "day 1/07"]
    assert len(trees.names(out, "labeled")) == 8
    assert "held out as 'val': those of val.txt" in capsys.readouterr().out


def test_the_share_and_the_seed(quickly, monkeypatch, photos):
    flags = ("--masks=masks", "--val_ratio=1/2")
    first = trees.names(run(monkeypatch, photos, *flags), "val")
    assert len(first) == 5
    again = ("--overwrite", "--seed=1")
    other = trees.names(run(monkeypatch, photos, *flags, *again), "val")
    assert len(other) == 5 and other != first


def test_nothing_held_out(monkeypatch, capsys, photos):
    out = run(monkeypatch, photos, "--masks=masks", "--val_ratio=0")
    assert len(trees.names(out, "labeled")) == 10
    assert not trees.shards(out, "val")
    printed = capsys.readouterr().out
    assert "No photo is held out (--val_ratio=0)" in printed
    assert "--gin_bindings=\"EVAL_SPLIT = 'labeled'\"" in printed


def test_all_photos_have_masks(monkeypatch, capsys, photos):
    for path in (photos / "photos").glob("*/1[0-3].jpg"):
        path.unlink()
    out = run(monkeypatch, photos, "--masks=masks")
    assert not trees.shards(out, "unlabeled")
    assert "--gin_file=gin_configs/supervised/folder.gin" in capsys.readouterr().out


@pytest.mark.parametrize(
    "values, names, expected",
    [
        ([0, 255], ["background", "foreground"], [0, 1]),
        ([0, 1, 3], ["class_0", "class_1", "class_2", "class_3"], [0, 1, 3]),
        ([0, 128, 254], ["class_0", "class_128", "class_254"], [0, 1, 2]),
        ([1, 2, 255], ["class_0", "class_1", "class_2"], [1, 2, 255]),
    ],
)
def test_classes_are_the_values(quickly, monkeypatch, photos, values, names, expected):
    for path in (photos / "masks").glob("*/*.png"):
        mask = np.full((HEIGHT, WIDTH), values[0])
        mask[:10], mask[15:] = values[1], values[-1]
        trees.save_mask(path, mask)
    out = run(monkeypatch, photos, "--masks=masks")
    assert trees.manifest(out)["class_names"] == names
    for example in trees.decode(out, "labeled"):
        found = example["label"][[12, 0, 19], 0].tolist()
        assert found == [expected[0], expected[1], expected[-1]]


def test_yes_no_masks_with_two_names(quickly, monkeypatch, capsys, photos):
    for path in (photos / "masks").glob("*/*.png"):
        trees.save_mask(path, (mask_of(number(path.stem)) == 1) * 255)
    (photos / "masks" / "labels.txt").write_text("field\nroad\n")
    out = run(monkeypatch, photos, "--masks=masks")
    assert "only 0 and 255, read as the classes 0 and 1" in capsys.readouterr().out
    for example in trees.decode(out, "labeled"):
        expected = mask_of(number(example["name"].decode())) == 1
        np.testing.assert_array_equal(example["label"], expected)


def test_colors_of_a_known_data_set(quickly, monkeypatch, photos):
    for path in (photos / "masks").glob("*/*.png"):
        color = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]], np.uint8)
        mask = np.minimum(mask_of(number(path.stem)), 2)
        Image.fromarray(color[mask]).save(path)
    out = run(monkeypatch, photos, "--masks=masks", "--colormap=voc")
    assert trees.manifest(out)["class_names"][:2] == ["background", "aeroplane"]
    for example in trees.decode(out, "val"):
        expected = np.minimum(mask_of(number(example["name"].decode())), 2)
        np.testing.assert_array_equal(example["label"], expected)


@pytest.mark.parametrize(
    "flags, message",
    [
        ((), "No masks are recognized in photos. Pass their folder"),
        (("--masks=export.zip",), "Unpack export.zip, and pass its folder"),
        (("--masks=nothing",), "There is no folder or file nothing"),
        (("--masks=masks", "--mask_suffix=_m"), "no image like '{id}_m' in masks"),
        (("--masks=masks/day 0",), "Add .* if these are their masks"),
        (("--masks=masks", "--val_ids=no.txt"), "1 photos of no.txt have no mask"),
        (("--masks=masks", "--val_ids=all.txt"), "No photo with a mask is left"),
        (("--masks=masks", "--image_labels=x"), "--image_labels needs --split"),
        (("--masks=masks", "--only_with_masks"), "--only_with_masks needs --split"),
        (("--split=a", "--val_ratio=1/2"), "--val_ratio is for writing all splits"),
        (("--split=a", "--from=masks"), "--from is for writing all splits"),
        (("--split=a",), "--split needs the classes: --class_names"),
        (("--masks=masks", "--val_ratio=1/2", "--val_ids=no.txt"), "Remove --val_ids"),
        (("--masks=masks", "--map", "1=2"), "--map needs the names of the classes"),
        (("--masks=masks", "--colormap=c"), "--colormap needs the names of the cl"),
        (("--masks=masks", "--num_classes=2"), "2 of 8 images of the split 'labeled'"),
    ],
)
def test_mistakes(quickly, monkeypatch, photos, flags, message):
    (photos / "no.txt").write_text("day 0/12\n")
    names = (f"day {i % 2}/{i:02}\n" for i in range(10))
    (photos / "all.txt").write_text("".join(names))
    with pytest.raises(UserError, match=message):
        run(monkeypatch, photos, *flags)
    assert is_untouched(photos)


def test_two_files_name_classes(quickly, monkeypatch, photos):
    for file in ("labels.txt", "classes.txt"):
        (photos / "masks" / file).write_text("sky\nroad\ncar\n")
    with pytest.raises(UserError, match="Both masks/labels.txt and masks/classes.txt"):
        run(monkeypatch, photos, "--masks=masks")
    assert is_untouched(photos)


def test_one_mask_is_too_few(quickly, monkeypatch, photos):
    for path in (photos / "masks").glob("*/0[1-9].png"):
        path.unlink()
    with pytest.raises(UserError, match="Too few masks: .*--val_ratio=0"):
        run(monkeypatch, photos, "--masks=masks")
    assert is_untouched(photos)
    out = run(monkeypatch, photos, "--masks=masks", "--val_ratio=0")
    assert trees.names(out, "labeled") == ["day 0/00"]


def test_two_masks_are_one_of_each(quickly, monkeypatch, photos):
    for path in (photos / "masks").glob("*/0[2-9].png"):
        path.unlink()
    out = run(monkeypatch, photos, "--masks=masks", "--num_classes=3")
    assert len(trees.names(out, "labeled")) == len(trees.names(out, "val")) == 1


def test_a_broken_photo_stops_all_splits(quickly, monkeypatch, capsys, photos):
    (photos / "photos" / "day 0" / "12.jpg").write_text("no photo")
    trees.save_mask(photos / "masks" / "day 1" / "03.png", np.zeros((3, 3)))
    with pytest.raises(UserError, match="1 of 8 images of the split 'labeled'"):
        run(monkeypatch, photos, "--masks=masks")
    assert is_untouched(photos)
    broken = capsys.readouterr().err
    assert "12.jpg cannot be read" in broken and "its mask 3 x 3" in broken
    out = run(monkeypatch, photos, "--masks=masks", "--skip_broken")
    assert sorted(map(number, trees.names(out, "unlabeled"))) == [10, 11, 13]


def test_masks_in_colors_without_a_colormap(quickly, monkeypatch, photos):
    for path in (photos / "masks").glob("*/*.png"):
        trees.save_image(path, HEIGHT, WIDTH)
    with pytest.raises(UserError, match=r"has colors \(RGB\).*--colormap=FILE"):
        run(monkeypatch, photos, "--masks=masks")
    assert is_untouched(photos)


def test_the_command_to_train():
    sizes = {"labeled": {(480, 640): 5}, "val": {(375, 500): 2, (500, 480): 1}}
    command = one_pass.training_command("data/it's", sizes)
    assert command.startswith(
        "Train, with crops of up to 321 pixels, and measure on 513:\n"
    )
    assert '--gin_bindings="DATA_DIR = \\"data/it\'s' not in command
    assert "supervised/folder.gin" in command


def test_large_photos_are_shrunk_unless_told(quickly, monkeypatch, photos):
    monkeypatch.setattr(one_pass, "MAX_SIDE", 15)
    out = run(monkeypatch, photos, "--masks=masks")
    assert {one["image"].shape for one in trees.decode(out, "labeled")} == {(10, 15, 3)}
    out = run(monkeypatch, photos, "--masks=masks", "--max_side=0", "--overwrite")
    assert {one["image"].shape for one in trees.decode(out, "val")} == {(20, 30, 3)}


def test_masks_below_the_photos(quickly, monkeypatch, photos):
    (photos / "masks").rename(photos / "photos" / "masks")
    out = run(monkeypatch, photos, "--masks=photos/masks")
    assert sorted(map(number, trees.names(out, "unlabeled"))) == [10, 11, 12, 13]
    assert len(trees.names(out, "labeled")) == 8


def test_other_masks_among_the_photos(quickly, monkeypatch, photos):
    for i in range(10, 14):
        name = f"day {i % 2}/{i}_mask.png"
        trees.save_mask(photos / "photos" / name, np.ones((HEIGHT, WIDTH)))
    with pytest.raises(UserError, match="photos contains masks besides images: 4 pa"):
        run(monkeypatch, photos, "--masks=masks")
    assert is_untouched(photos)


def test_splits_of_an_earlier_command_are_told(monkeypatch, capsys, photos):
    flags = ("--masks=masks", "--max_side=0")
    run(monkeypatch, photos, *flags)
    assert "of an earlier command" not in capsys.readouterr().out
    run(monkeypatch, photos, *flags, "--val_ratio=0", "--overwrite")
    assert "out also has 'val' of an earlier command" in capsys.readouterr().out
