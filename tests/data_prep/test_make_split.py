"""New splits: from records or masks, seeded, nested, each class in them."""

import json
import math
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from data_prep import cli, make_split, splits
from data_prep.writing.examples import Example, encode_png, serialize
from tests.data_prep import trees

SIZE = (2, 4)


def record(name, *classes, mask=True):
    label = np.resize(classes, SIZE).astype(np.uint8) if mask else None
    image = encode_png(np.zeros((*SIZE, 3), np.uint8))
    return serialize(Example(name, image, "png", *SIZE, label))


@pytest.fixture
def data(tmp_path):
    """100 images of class 0, ten with class 1, two with class 2; one without mask."""
    classes = [(0, 1) if i % 10 == 0 else (0, 255) for i in range(100)]
    classes[13] = classes[77] = (0, 2)
    written = [record(f"im/{i:03d}", *ids) for i, ids in enumerate(classes)]
    written.append(record("without", 0, mask=False))
    for i, part in enumerate((written[:50], written[50:])):
        path = tmp_path / f"train-{i:05d}-of-00002.tfrecord"
        with tf.io.TFRecordWriter(str(path)) as writer:
            for one in part:
                writer.write(one)
    describe(tmp_path, ["background", "road", "car"])
    return tmp_path


def describe(folder, class_names):
    splits_written = {"train": {"examples": 101}}
    manifest = {"name": "toy", "class_names": class_names, "ignore_label": 255}
    text = json.dumps({**manifest, "splits": splits_written})
    (folder / "dataset.json").write_text(text)


def run(monkeypatch, capsys, folder, *flags):
    """Runs the command; returns its exit status, what it printed and its errors."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.argv", ["make_split", *flags])
    with pytest.raises(SystemExit) as exit_info:
        cli.run(make_split.main)
    printed = capsys.readouterr()
    return exit_info.value.code, printed.out, printed.err


FROM_RECORDS = ("--data_dir=.", "--split=train")


def test_draws_from_a_written_split(monkeypatch, capsys, data):
    status, out, _ = run(
        monkeypatch, capsys, data, *FROM_RECORDS, "--ratio=1/8", "--output=1-8.txt"
    )
    assert status == 0
    ids = (data / "1-8.txt").read_text().splitlines()
    assert len(set(ids)) == math.ceil(100 / 8) == 13
    assert ids == sorted(ids) and "without" not in ids
    assert set(ids) & {"im/013", "im/077"}
    assert set(ids) & {f"im/{i:03d}" for i in range(0, 100, 10)}
    lines = [line.split() for line in out.splitlines()]
    assert "1-8.txt: 13 of 100 images" in out
    assert ["images", "of", "all", "1-8"] in lines
    assert ["background", "100", "13"] in lines
    assert ["road", "10", str(sum(name.endswith("0") for name in ids))] in lines


def test_seeds(monkeypatch, capsys, data):
    drawn = {}
    for name, flags in {
        "again": ("--ratio=0.125",),
        "same": ("--ratio=1/8", "--seed=0"),
        "other": ("--ratio=1/8", "--seed=1"),
        "count": ("--count=13",),
    }.items():
        run(monkeypatch, capsys, data, *FROM_RECORDS, *flags, f"--output={name}")
        drawn[name] = (data / name).read_text()
    assert drawn["again"] == drawn["same"] == drawn["count"] != drawn["other"]


def test_several_are_nested(monkeypatch, capsys, data):
    flags = ("--ratio", "1/2", "1/4", "1/8", "--output=lists/mine_{}.txt")
    assert run(monkeypatch, capsys, data, *FROM_RECORDS, *flags)[0] == 0
    half, quarter, eighth = (
        set((data / "lists" / f"mine_1-{n}.txt").read_text().split()) for n in (2, 4, 8)
    )
    assert (len(half), len(quarter), len(eighth)) == (50, 25, 13)
    assert eighth < quarter < half


def test_ratios_round_as_the_published_splits_do():
    sizes = {
        ("voc", "train"): {2: 732, 4: 366, 8: 183, 16: 92},
        ("voc", "train_aug"): {2: 5291, 4: 2646, 8: 1323, 16: 662},
        ("cityscapes", "train"): {2: 1488, 4: 744, 8: 372, 16: 186},
    }
    for (dataset, whole), parts in sizes.items():
        total = len(splits.load(dataset, whole))
        for n, size in parts.items():
            assert math.ceil(make_split._ratio(f"1/{n}") * total) == size
    for n in (32, 64, 128, 256, 512):
        size = math.ceil(make_split._ratio(f"1/{n}") * 118287)
        assert size == len(splits.load("coco", f"1-{n}"))


def test_a_folder_of_masks(monkeypatch, capsys, tmp_path):
    for i in range(40):
        mask = np.resize([0, 255, 7 if i == 21 else 0], SIZE)
        trees.save_mask(tmp_path / "masks" / f"sub/{i:02d}_mask.png", mask)
    flags = ("--masks=masks", "--mask_suffix=_mask", "--output=out")
    status, out, _ = run(monkeypatch, capsys, tmp_path, *flags, "--count=4")
    assert status == 0
    assert "sub/21" in (tmp_path / "out").read_text().split()
    assert ["class", "7", "1", "1"] in [line.split() for line in out.splitlines()]
    (tmp_path / "some.txt").write_text("sub/03\nsub/04\nsub/21\n")
    flags = ("--masks=masks", "--mask_suffix=_mask", "--output=2", "--ids=some.txt")
    assert run(monkeypatch, capsys, tmp_path, *flags, "--ratio=1/2")[0] == 0
    names = (tmp_path / "2").read_text().split()
    assert len(names) == 2 and "sub/21" in names
    (tmp_path / "some.txt").write_text("sub/03\nx\n")
    _, _, error = run(monkeypatch, capsys, tmp_path, *flags, "--ratio=1/2")
    assert "1 ids of some.txt have no mask in masks; the first is 'x'" in error


def test_yes_no_masks(tmp_path):
    for i in range(3):
        trees.save_mask(tmp_path / f"{i}.png", np.resize([0, 255 * (i == 1)], SIZE))
    labeled = make_split.read_masks(str(tmp_path), None, 255)
    assert labeled.class_names == ["class 0", "class 255"]
    assert labeled.shown.tolist() == [[True, False], [True, True], [True, False]]


def test_lists_are_not_overwritten(monkeypatch, capsys, data):
    flags = (*FROM_RECORDS, "--count=5", "--output=list")
    run(monkeypatch, capsys, data, *flags)
    before = (data / "list").read_text()
    assert run(monkeypatch, capsys, data, *flags)[0] == 0  # The same list.
    status, _, error = run(monkeypatch, capsys, data, *flags, "--seed=5")
    assert status == 2 and "list already exists and contains another" in error
    assert (data / "list").read_text() == before
    flags += ("--seed=5", "--overwrite")
    assert run(monkeypatch, capsys, data, *flags)[0] == 0
    assert (data / "list").read_text() != before


def test_what_is_no_list_is_not_overwritten(monkeypatch, capsys, data):
    (data / "list").write_bytes(b"\x89PNG")
    flags = (*FROM_RECORDS, "--count=5", "--output=list")
    status, _, error = run(monkeypatch, capsys, data, *flags)
    assert status == 2 and "list already exists and contains another" in error
    assert (data / "list").read_bytes() == b"\x89PNG"


def test_a_place_where_no_list_can_be(monkeypatch, capsys, data):
    (data / "list").mkdir()
    flags = (*FROM_RECORDS, "--count=5", "--output=list", "--overwrite")
    status, _, error = run(monkeypatch, capsys, data, *flags)
    assert status == 2
    assert "list cannot be written" in error and "another --output." in error
    assert not (data / "list.tmp").exists()


def test_a_pipe_is_not_waited_for(monkeypatch, capsys, data):
    os.mkfifo(data / "list")
    flags = (*FROM_RECORDS, "--count=5", "--output=list")
    status, _, error = run(monkeypatch, capsys, data, *flags)
    assert status == 2 and "list cannot be written (it is not a regular file)" in error


def test_a_class_that_no_image_shows_is_told(monkeypatch, capsys, data):
    describe(data, ["background", "road", "car", "bus"])
    flags = (*FROM_RECORDS, "--count=9", "--output=list")
    status, out, _ = run(monkeypatch, capsys, data, *flags)
    assert status == 0
    assert "note: no image shows bus; the lists lack it too." in out


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            ("--count=1", "--min_images=1"),
            "1 images are too few .*: missing (road|car)",
        ),
        (("--count=4", "--min_images=3"), "4 images are too few .*each class 3 times"),
        (("--count=101",), "101 images cannot be drawn from 100"),
        (("--count=0",), "--count: 0: it has to be a whole number above 0"),
        (("--ratio=8",), "'8' is not a ratio such as 1/8"),
        (("--ratio=1/0",), "'1/0' is not a ratio"),
        (("--ratio", "1/2", "1/4"), "write {} in --output"),
        (("--count=5", "--split=val"), "No TFRecord shards match ./val"),
        (("--count=5", "--dataset=voc"), "written for another data set"),
    ],
)
def test_mistakes(monkeypatch, capsys, data, flags, message):
    status, _, error = run(
        monkeypatch, capsys, data, *FROM_RECORDS, "--output=list", *flags
    )
    assert status == 2
    (line,) = [line for line in error.splitlines() if "error: " in line]
    assert re.search(message, line)
    assert not (data / "list").exists()


def test_a_split_is_needed(monkeypatch, capsys, data):
    flags = ("--data_dir=.", "--count=5", "--output=list")
    status, _, error = run(monkeypatch, capsys, data, *flags)
    assert (status, error) == (
        2,
        "error: --data_dir needs --split, the split to draw from.\n",
    )


@pytest.mark.parametrize(
    "written, message",
    [
        ([record("a", 0), record("a", 0)], "Two records have the name 'a'"),
        ([record("a", 0), b"junk"], "Feature image/encoded is missing"),
        ([record("a", 0, mask=False)], "No image of the split 'train' in . has a mask"),
    ],
)
def test_bad_records(monkeypatch, capsys, tmp_path, written, message):
    with tf.io.TFRecordWriter(str(tmp_path / "train.tfrecord")) as writer:
        for one in written:
            writer.write(one)
    describe(tmp_path, ["background", "road"])
    flags = (*FROM_RECORDS, "--count=1", "--output=list")
    status, _, error = run(monkeypatch, capsys, tmp_path, *flags)
    assert status == 2
    assert message in error
    assert ("data_prep.verify --data_dir=." in error) == ("has a mask" not in message)
    with open(tmp_path / "train.tfrecord", "ab") as file:
        file.write(b"torn")
    _, _, error = run(monkeypatch, capsys, tmp_path, *flags)
    assert "is damaged. For details: python -m data_prep.verify" in error


def test_help_shows_an_example(monkeypatch, capsys, tmp_path):
    status, out, _ = run(monkeypatch, capsys, tmp_path, "--help")
    assert status == 0
    assert "    python -m data_prep.make_split --data_dir=" in out
