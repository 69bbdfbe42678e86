"""Reading back: what is counted, what is found wrong and where, what is only noted."""

import hashlib
import json
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep import cli, verify
from data_prep.validation import reading
from data_prep.writer import Writer
from data_prep.writing.examples import Example, encode_png, serialize
from tests.data_prep import trees
from wss.data import datasets, keys, tfrecords
from wss.data.datasets import manifest
from wss.data.datasets.spec import DatasetSpec

SPEC = DatasetSpec("toy", ("background", "road", "car"))
MASK = np.array([[0, 0, 1, 255], [0, 1, 1, 0]], np.uint8)


def example(name, mask=MASK, seed=None, **replaced):
    """A record of a random 4 x 2 image, with features replaced or (None) left out."""
    seed = sum(name.encode()) if seed is None else seed
    pixels = np.random.default_rng(seed).integers(0, 256, (2, 4, 3), np.uint8)
    image = encode_png(pixels)
    record = tf.train.Example.FromString(
        serialize(Example(name, image, "png", 2, 4, mask))
    )
    for key, value in replaced.items():
        key = getattr(keys, key)
        record.features.feature.pop(key, None)
        if isinstance(value, bytes):
            record.features.feature[key].bytes_list.value.append(value)
        elif value is not None:
            record.features.feature[key].int64_list.value.append(value)
    return record.SerializeToString()


def write(folder, split, *shards):
    """Writes the shards of a split, each a list of serialized records."""
    folder.mkdir(exist_ok=True)
    for i, shard in enumerate(shards):
        name = f"{split}-{i:05d}-of-{len(shards):05d}.tfrecord"
        with tf.io.TFRecordWriter(str(folder / name)) as writer:
            for record in shard:
                writer.write(record)


def describe(folder, **splits):
    """Writes a manifest; a split is the number of its examples, or a dictionary."""
    manifest = {
        "name": SPEC.name,
        "class_names": SPEC.class_names,
        "ignore_label": SPEC.ignore_label,
        "splits": {
            split: {"examples": entry} if isinstance(entry, int) else entry
            for split, entry in splits.items()
        },
    }
    (folder / "dataset.json").write_text(json.dumps(manifest))


def run(monkeypatch, capsys, folder, *flags):
    """Runs the command; returns its exit status, its lines and those of errors."""
    monkeypatch.setattr("sys.argv", ["verify", f"--data_dir={folder}", *flags])
    with pytest.raises(SystemExit) as exit_info:
        cli.run(verify.main)
    printed = capsys.readouterr()
    lines = [line.strip() for line in printed.out.splitlines()]
    return exit_info.value.code, lines, printed.err


def findings(lines, kind):
    return [line[len(kind) + 2 :] for line in lines if line.startswith(f"{kind}: ")]


def test_a_data_set_as_the_writer_makes_it(monkeypatch, capsys, tmp_path):
    writer = Writer(str(tmp_path), workers=1, num_shards=2)
    for split, items in {"train": ["a", "bb", "ccc"], "val": ["dddd", "eeeee"]}.items():
        writer.write_split(split, SPEC, items, _read)
    capsys.readouterr()
    status, lines, _ = run(monkeypatch, capsys, tmp_path)
    assert status == 0
    assert lines[0] == f"{tmp_path}: data set 'toy', 3 classes, ignore label 255"
    assert lines[2:9] == [
        "train: 3 images in 2 shards, 3 with masks, 0 without",
        "width 4 / 5 / 6, height 2 / 2 / 2 pixels (min / median / max); 3 different "
        "sizes",
        "id  class                pixels    share    images",
        "0  background               15   50.00%         3",
        "1  road                     12   40.00%         3",
        "2  car                       0    0.00%         0",
        "255  (ignored)                 3   10.00%         3",
    ]
    assert findings(lines, "problem") == []
    assert findings(lines, "note") == ["1 of 3 classes never occur: 2 (car)."] * 2
    assert lines[-1] == "No problem was found."
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert sheet.format == "PNG"


def _read(name):
    """The image of the n-th name is n columns wider than 3."""
    pixels = np.full((2, 3 + len(name), 3), 200 + len(name), np.uint8)
    mask = np.zeros(pixels.shape[:2], np.uint8)
    mask[:, :3] = [[0, 1, 0], [0, 1, 255]]
    mask[:, 3:] = [[0], [1]]
    return Example(name, encode_png(pixels), "png", *mask.shape, mask)


def test_every_broken_record_is_named_and_the_others_are_read(
    monkeypatch, capsys, tmp_path
):
    small = encode_png(np.zeros((2, 2), np.uint8))
    colors = encode_png(np.zeros((2, 4, 3), np.uint8))
    broken = {
        "good": example("good"),
        "no example": b"\xff\xff\xff\x07abc",
        "no image": example("no image", ENCODED=None),
        "no picture": example("no picture", ENCODED=b"\xff\xd8\xff\xe0 not a jpeg"),
        "bad mask": example("bad mask", LABEL_ENCODED=small[:-30]),
        "small mask": example("small mask", LABEL_ENCODED=small),
        "colored mask": example("colored mask", LABEL_ENCODED=colors),
        "kind": example("kind", HEIGHT=b"two"),
        "size": example("size", WIDTH=7),
        "value": example("value", np.where(MASK == 255, 30, MASK)),
        "image label": example("image label", None, CLASS_IDS=3),
        "last": example("last"),
    }
    write(tmp_path, "train", [example("first")], list(broken.values()))
    describe(tmp_path, train={"examples": 13, "with_masks": 9, "shards": 2})
    status, lines, _ = run(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert lines[2] == (
        "train: 6 images in 2 shards, 5 with masks, 1 without, 7 broken records"
    )
    number = {name: f"record {i}" for i, name in enumerate(broken)}
    shard = "train-00001-of-00002.tfrecord"
    of = {name: f"{name} ({shard}, {number[name]})" for name in broken}
    expected = {
        "no example": f"{shard}, record 1: not a serialized tf.train.Example.",
        "no image": "Feature image/encoded is missing or neither JPEG nor PNG in "
        f"record {of['no image']}.",
        "no picture": "Feature image/encoded is damaged and cannot be "
        f"decoded, in record {of['no picture']}.",
        "bad mask": "Feature image/segmentation/class/encoded is damaged and "
        f"cannot be decoded, in record {of['bad mask']}.",
        "small mask": "The image has 2 x 4 pixels, but the mask 2 x 2 in record "
        f"{of['small mask']}.",
        "colored mask": "Feature image/segmentation/class/encoded is not an 8-bit "
        f"gray PNG of class ids in record {of['colored mask']}.",
        "kind": f"{shard}, record 7: feature image/height does not have the type "
        "that training reads.",
        "size": f"{shard}, record 8 ('size'): the record says 7 x 2 pixels, but the "
        "image has 4 x 2 pixels.",
        "value": f"{shard}, record 9 ('value'): its mask has 30 in 1 pixels. Classes "
        "are 0..2, 255 is ignored.",
        "image label": f"{shard}, record 10 ('image label'): its image-level label 3 "
        "is not a class.",
    }
    problems = findings(lines, "problem")
    assert [line.rstrip(".") for line in problems[1:]] == [
        line.rstrip(".") for line in expected.values()
    ]
    assert problems[0].startswith(
        "Masks have values that are not classes: 30 (1 images)."
    )
    assert "30  (no class)                1    2.50%         1" in lines
    assert lines[-1].startswith("11 problems")


def test_damaged_files_are_read_as_far_as_can_be(monkeypatch, capsys, tmp_path):
    write(
        tmp_path, "train", *([example(f"{i}{j}") for j in range(4)] for i in range(4))
    )
    paths = trees.shards(tmp_path, "train")
    checksum, length, torn = (bytearray(path.read_bytes()) for path in paths[:3])
    offsets = [tfrecords.find_frames(str(path)).offsets for path in paths]
    checksum[offsets[0][1] + 40] ^= 1  # A bit of record 1's data.
    length[offsets[1][2]] ^= 1  # A bit of record 2's length.
    for path, content in zip(paths, (checksum, length, torn[:-5])):
        path.write_bytes(content)
    describe(tmp_path, train={"examples": 16, "shards": 4})
    status, lines, _ = run(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert lines[2].startswith("train: 12 images in 4 shards")
    assert lines[2].endswith("2 broken records")
    after = tfrecords.find_frames(str(paths[1])).end
    rest = (
        ", so the rest of this shard cannot be read. It is cut off, or the length of "
        "the previous record is damaged."
    )
    assert findings(lines, "problem") == [
        f"{paths[1].name}, record 3 (byte {after}): there is no complete record{rest}",
        f"{paths[2].name}, record 3 (byte {offsets[2][3]}): there is no complete "
        f"record{rest}",
        "There are 14 examples, but dataset.json says 16.",
        f"{paths[0].name}, record 1: the record does not match its checksums, so its "
        "bytes have changed.",
        f"{paths[1].name}, record 2: the record does not match its checksums, so its "
        "bytes have changed.",
    ]


def test_what_is_no_record_file(monkeypatch, capsys, tmp_path):
    (tmp_path / "train-00000-of-00002.tfrecord").write_bytes(b"")
    (tmp_path / "train-00001-of-00002.tfrecord").write_bytes(b"text")
    status, lines, _ = run(monkeypatch, capsys, tmp_path, "--dataset=voc")
    assert status == 1
    assert findings(lines, "problem") == [
        "train-00001-of-00002.tfrecord, record 0 (byte 0): there is no "
        "complete record, so the rest of this shard cannot be read. It is cut off, or "
        "the length of the previous record is damaged.",
        "There are no records.",
    ]


def test_a_shard_that_cannot_be_opened(monkeypatch, capsys, tmp_path):
    (tmp_path / "train-00000-of-00001.tfrecord").mkdir()
    status, _, error = run(monkeypatch, capsys, tmp_path, "--dataset=voc")
    assert status == 2
    assert "of-00001.tfrecord is not a regular file. Write the split again" in error


def test_one_of_many_alike(monkeypatch, capsys, tmp_path):
    write(tmp_path, "train", [example(str(i), MASK + 3) for i in range(5)])
    describe(tmp_path, train=5)
    status, lines, _ = run(monkeypatch, capsys, tmp_path, "--max_problems=2")
    problems = findings(lines, "problem")
    assert [line[:40] for line in problems[1:3]] == [
        "train-00000-of-00001.tfrecord, record 0 ",
        "train-00000-of-00001.tfrecord, record 1 ",
    ]
    assert problems[3] == "3 more in records; --max_problems=6 shows all."
    assert lines[-1].startswith("6 problems")


def test_names_that_occur_twice(monkeypatch, capsys, tmp_path):
    write(tmp_path, "train", [example("a"), example("b")], [example("a", seed=3)])
    describe(tmp_path, train=3)
    status, lines, _ = run(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert findings(lines, "problem") == [
        "train-00000-of-00002.tfrecord, record 0 and train-00001-of-00002.tfrecord, "
        "record 0 have the same name 'a'."
    ]


@pytest.mark.parametrize(
    "files, problem",
    [
        (["00000-of-00003", "00002-of-00003"], "1 of 3 shards are missing: 00001."),
        (
            ["00000-of-00001", "00000-of-00002", "00001-of-00002"],
            "The shards are from conversions into 1 and 2 shards. Remove "
            "those of the older conversion.",
        ),
        (
            ["00000-of-00001", "00001-of-00001"],
            "There are more shards than their names say: "
            "train-00000-of-00001.tfrecord, train-00001-of-00001.tfrecord.",
        ),
        ([], "dataset.json describes this split, but it has no shards."),
    ],
)
def test_shards_that_do_not_belong_together(
    monkeypatch, capsys, tmp_path, files, problem
):
    for name in files:
        with tf.io.TFRecordWriter(str(tmp_path / f"train-{name}.tfrecord")) as writer:
            writer.write(example(name))
    describe(tmp_path, train=len(files))
    status, lines, _ = run(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert problem in findings(lines, "problem")


def test_other_than_the_manifest(monkeypatch, capsys, tmp_path):
    write(tmp_path, "train", [example("a")], [example("b", None)])
    write(tmp_path, "more", [example("c")])
    first, second = trees.shards(tmp_path, "train")
    files = {
        first.name: {"sha256": hashlib.sha256(first.read_bytes()).hexdigest()},
        second.name: {"sha256": "0" * 64},
    }
    entry = {"examples": 3, "with_masks": 2, "shards": 1, "files": files}
    entry["skipped"] = [{"name": "x", "reason": "x.jpg cannot be read."}]
    describe(tmp_path, train=entry)
    status, lines, _ = run(monkeypatch, capsys, tmp_path)
    assert status == 1
    assert findings(lines, "problem") == [
        f"The sha256 of {second.name} differs from dataset.json: it is not the file "
        "that was written.",
        "There are 2 examples, but dataset.json says 3.",
        "There are 2 shards, but dataset.json says 1.",
        "There are 1 with masks, but dataset.json says 2.",
    ]
    notes = findings(lines, "note")
    assert (
        "1 images were left out when the split was written; the first is 'x': x.jpg "
        "cannot be read." in notes
    )
    assert (
        "1 of 2 images have no mask: the split cannot be LABELED_SPLIT or EVAL_SPLIT."
        in notes
    )
    assert (
        "dataset.json does not list this split: another program wrote it, or its "
        "conversion is unfinished." in notes
    )


def test_what_is_only_noted(monkeypatch, capsys, tmp_path):
    write(tmp_path, "train", [example("a", MASK * 0 + 1), example("b", None, seed=1)])
    write(tmp_path, "val", [example("c", seed=1), example("d"), example("e", seed=1)])
    write(tmp_path, "plain", [example("", None)])
    (tmp_path / ".extra.partial").mkdir()
    describe(tmp_path, train=2, val=3, plain=1)
    status, lines, _ = run(monkeypatch, capsys, tmp_path)
    assert status == 0
    notes = findings(lines, "note")
    for note in (
        "1 images have no name (image/filename).",
        "The masks show only 1 (road). Are these yes/no masks whose 255 means class 1?",
        "1 images are copies of others in the split.",
        "2 of 3 images of 'val' are also in 'train'; the first is "
        "val-00000-of-00001.tfrecord, record 0. After training on 'train', the "
        "evaluation is too optimistic.",
        ".extra.partial is an unfinished conversion of the split 'extra': run its "
        "command again to resume it, or remove the folder.",
    ):
        assert note in notes, note
    assert "plain: 1 images in 1 shard, 0 with masks, 1 without" in lines


def test_images_that_are_nearly_black(monkeypatch, capsys, tmp_path):
    dark = [encode_png(np.full((2, 4, 3), value, np.uint8)) for value in (3, 10)]
    dark = [example(str(i), ENCODED=image) for i, image in enumerate(dark)]
    write(tmp_path, "train", [*dark, example("bright")])
    describe(tmp_path, train=3)
    status, lines, _ = run(monkeypatch, capsys, tmp_path)
    assert status == 0
    (note,) = (one for one in findings(lines, "note") if "black" in one)
    assert "2 of 3 images are nearly black: the brightest value is 10 of 255." in note
    assert "data_prep.folder --image_bits" in note


def test_masks_without_any_class(monkeypatch, capsys, tmp_path):
    write(tmp_path, "train", [example("a", MASK * 0 + 255)])
    describe(tmp_path, train=1)
    status, lines, _ = run(monkeypatch, capsys, tmp_path)
    assert status == 1
    (problem,) = findings(lines, "problem")
    assert problem.startswith("No pixel of any mask has a class")


def test_shards_of_other_programs_need_the_name_of_their_data_set(
    monkeypatch, capsys, tmp_path
):
    with tf.io.TFRecordWriter(str(tmp_path / "val.tfrecord")) as writer:
        writer.write(example("a"))
    status, _, error = run(monkeypatch, capsys, tmp_path)
    assert status == 2
    assert error.startswith(f"error: There is no dataset.json in {tmp_path}")
    assert "--dataset=... (" in error and "folder" not in error
    status, lines, _ = run(monkeypatch, capsys, tmp_path, "--dataset=voc")
    assert status == 0
    assert "1 images; the published split has 1449." in findings(lines, "note")
    assert "1  aeroplane                  3   37.50%         1" in lines


def test_records_of_the_original_tools(monkeypatch, capsys, tmp_path):
    """Names of its shards have no ending in some of its tools."""
    for i in range(2):
        path = tmp_path / f"4_clean-{i:05d}-of-00002"
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(example(str(i)))
    status, lines, _ = run(monkeypatch, capsys, tmp_path, "--dataset=voc")
    assert status == 0
    assert "4_clean: 2 images in 2 shards, 2 with masks, 0 without" in lines


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--split=test",), "There is no split 'test' in .*. Known: train"),
        (("--dataset=camvid",), "written for another data set"),
        (("--data_dir=nowhere",), "There are no shards .* in nowhere"),
    ],
)
def test_misuse(monkeypatch, capsys, tmp_path, flags, message):
    write(tmp_path, "train", [example("a")])
    describe(tmp_path, train=1)
    status, _, error = run(monkeypatch, capsys, tmp_path, *flags)
    assert status == 2
    assert error.startswith("error: ")
    assert re.search(message, error)


def test_only_an_unfinished_conversion(monkeypatch, capsys, tmp_path):
    (tmp_path / ".train.partial").mkdir()
    status, _, error = run(monkeypatch, capsys, tmp_path)
    assert status == 2
    assert ".train.partial is an unfinished conversion of the split 'train'" in error


def test_chosen_splits_and_another_place_for_the_sheet(monkeypatch, capsys, tmp_path):
    write(tmp_path, "train", [example("a")])
    write(tmp_path, "val", [example("b")])
    describe(tmp_path, train=1, val=1)
    sheet = tmp_path / "look" / "here"  # A PNG, whatever its name.
    flags = ("--split", "val", f"--contact_sheet={sheet}")
    status, lines, _ = run(monkeypatch, capsys, tmp_path, *flags)
    assert status == 0
    assert not any(line.startswith("train:") for line in lines)
    (note,) = [note for note in findings(lines, "note") if "sheet" in note]
    assert "could not be saved" in note and "--contact_sheet=" in note
    sheet.parent.mkdir()
    status, lines, _ = run(monkeypatch, capsys, tmp_path, *flags)
    assert f"Look at {sheet}: are the masks right?" in lines
    with Image.open(sheet) as image:
        assert image.format == "PNG"
    assert not (tmp_path / "contact_sheet.png").exists()


def test_the_sheet_replaces_no_picture_of_a_user(monkeypatch, capsys, tmp_path):
    write(tmp_path, "train", [example("a")])
    describe(tmp_path, train=1)
    sheet = tmp_path / "contact_sheet.png"
    sheet.write_bytes(b"mine")
    _, lines, _ = run(monkeypatch, capsys, tmp_path)
    (note,) = [note for note in findings(lines, "note") if "sheet" in note]
    assert f"could not be saved ({sheet} was not written by this command)" in note
    assert sheet.read_bytes() == b"mine"
    sheet.unlink()
    for _ in range(2):  # It replaces its own.
        _, lines, _ = run(monkeypatch, capsys, tmp_path)
        assert f"Look at {sheet}: are the masks right?" in lines


def test_a_named_data_set_keeps_its_colours(tmp_path):
    camvid = datasets.get("camvid")
    described = {
        "name": "camvid",
        "class_names": list(camvid.class_names),
        "ignore_label": 255,
        "splits": {},
    }
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    found = reading.find_spec(str(tmp_path), None, manifest.read(str(tmp_path)))
    assert found is camvid
    described["class_names"] = ["sky", "road"]
    (tmp_path / "dataset.json").write_text(json.dumps(described))
    found = reading.find_spec(str(tmp_path), None, manifest.read(str(tmp_path)))
    assert found.class_names == ("sky", "road")


def test_help_shows_an_example(monkeypatch, capsys, tmp_path):
    status, lines, _ = run(monkeypatch, capsys, tmp_path, "--help")
    assert status == 0
    assert any("python -m data_prep.verify --data_dir=" in line for line in lines)
