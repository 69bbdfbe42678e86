"""Descriptions of data sets, and their agreement with the shards."""

import json

import numpy as np
import pytest

from wss.data import datasets
from wss.data.datasets.spec import DatasetSpec, pascal_palette
from wss.errors import UserError


def write_manifest(folder, **changes):
    content = {
        "name": "mine",
        "class_names": ["sky", "road", "tree"],
        "ignore_label": 254,
        "splits": {"train": {"examples": 5, "with_masks": 3, "shards": 1}},
        **changes,
    }
    (folder / "dataset.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "name, classes, first, last",
    [
        ("voc", 21, "background", "tvmonitor"),
        ("coco", 81, "background", "toothbrush"),
        ("camvid", 11, "sky", "bicyclist"),
        ("cityscapes", 19, "road", "bicycle"),
        ("ade20k", 150, "wall", "flag"),
        ("shapes", 5, "background", "star"),
    ],
)
def test_classes(name, classes, first, last):
    spec = datasets.get(name)
    assert spec.name == name
    assert spec.num_classes == len(set(spec.class_names)) == classes
    assert (spec.class_names[0], spec.class_names[-1]) == (first, last)
    assert spec.palette.shape == (classes, 3)
    assert spec.palette.dtype == np.uint8
    twice = name == "ade20k"  # Road and skyscraper have the same gray.
    assert len(np.unique(spec.palette, axis=0)) == classes - twice
    assert spec.ignore_label == 255


def test_pascal_colours():
    palette = pascal_palette(256)
    assert palette[[0, 1, 2, 15, 20, 255]].tolist() == [
        [0, 0, 0],
        [128, 0, 0],
        [0, 128, 0],
        [192, 128, 128],
        [0, 64, 128],
        [224, 224, 192],
    ]


def test_names_are_the_files():
    assert datasets.names() == [
        "ade20k",
        "camvid",
        "cityscapes",
        "coco",
        "folder",
        "shapes",
        "voc",
    ]
    with pytest.raises(UserError, match="no data set 'vok'. Known: ade20k, camvid"):
        datasets.get("vok")


def test_a_palette_of_another_size():
    with pytest.raises(ValueError, match="2 classes, but a palette"):
        DatasetSpec("toy", ("a", "b"), palette=np.zeros((3, 3)))


def test_a_folder_describes_itself(tmp_path):
    write_manifest(tmp_path)
    spec = datasets.get("folder", str(tmp_path))
    assert spec.name == "mine"
    assert spec.class_names == ("sky", "road", "tree")
    assert spec.ignore_label == 254
    assert spec.split_sizes == {"train": 5}
    assert spec.palette.tolist() == pascal_palette(3).tolist()


def test_a_folder_without_description(tmp_path):
    with pytest.raises(
        UserError, match="There is no dataset.json.*python -m data_prep.folder"
    ):
        datasets.get("folder", str(tmp_path))
    with pytest.raises(UserError, match="There is no dataset.json"):
        datasets.get("folder")


def test_shards_of_other_tools_have_no_description(tmp_path):
    assert datasets.get("voc", str(tmp_path)).num_classes == 21


def test_shards_of_another_data_set(tmp_path):
    write_manifest(tmp_path, ignore_label=255)
    with pytest.raises(UserError, match="'mine', classes: 3.*'voc' .classes: 21"):
        datasets.get("voc", str(tmp_path))
    write_manifest(tmp_path, class_names=["class"] * 21)
    with pytest.raises(UserError, match="ignore label: 254.*ignore label: 255"):
        datasets.get("voc", str(tmp_path))


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "is empty"),
        (b"\0" * 300, "is damaged: it is not text"),
        (b"\x93\xff\xfe", "is damaged: it is not text"),
        (b"[1]", "is damaged, or another program's: it is not what wss writes"),
        (
            b'{"name": "mine"}',
            "is damaged, or another program's: it is not what wss writes",
        ),
        (b'{"name": "mine", "class_names": "ab"', "is damaged"),
    ],
)
def test_broken_descriptions(tmp_path, content, reason):
    (tmp_path / "dataset.json").write_bytes(content)
    with pytest.raises(UserError, match=f"dataset.json {reason}.* --overwrite") as e:
        datasets.get("folder", str(tmp_path))
    assert str(e.value).count("\n") == 0
    assert "If another program did, give data_prep another --output_dir" in str(e.value)
    assert "remove" not in str(e.value)
    spec = DatasetSpec("mine", ("a", "b"))
    spec.write(str(tmp_path / "classes.json"))
    assert DatasetSpec.read(str(tmp_path / "classes.json")).class_names == ("a", "b")
    (tmp_path / "classes.json").write_bytes(content)
    with pytest.raises(UserError, match=f"classes.json {reason}.* or move it away"):
        DatasetSpec.read(str(tmp_path / "classes.json"))


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": []},
        {"class_names": "sky"},
        {"class_names": [1, 2]},
        {"ignore_label": "255"},
        {"ignore_label": -1},
        {"splits": []},
        {"splits": {"val": {"examples": 2, "options": {"image_bits": "12"}}}},
        {"splits": {"val": {"examples": 2, "options": [1]}}},
        {"splits": {"train": {}}},
    ],
)
def test_descriptions_with_other_values(tmp_path, changes):
    write_manifest(tmp_path, **changes)
    with pytest.raises(UserError, match="dataset.json is damaged"):
        datasets.get("folder", str(tmp_path))


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": []},
        {"classes": [{"id": 1, "name": "a", "colour": [0, 0, 0]}]},
        {"classes": [{"id": 0, "name": 1, "colour": [0, 0, 0]}]},
        {"classes": [{"id": 0, "name": "a", "colour": [0, 0, 256]}]},
        {"classes": [{"id": 0, "name": "a", "colour": [0, 0]}]},
        {"ignore_label": "255"},
        {"image_bits": 17},
    ],
)
def test_classes_with_other_values(tmp_path, changes):
    path = tmp_path / "classes.json"
    written = DatasetSpec("mine", ("a", "b"), image_bits=12).to_json()
    path.write_text(json.dumps(written))
    assert DatasetSpec.read(str(path)).to_json() == written
    path.write_text(json.dumps({**written, **changes}))
    with pytest.raises(UserError, match="classes.json is damaged"):
        DatasetSpec.read(str(path))


def test_the_bits_of_photos_are_part_of_the_description(tmp_path):
    splits = {
        "train": {"examples": 5, "with_masks": 5},
        "val": {"examples": 2, "with_masks": 2, "options": {"image_bits": 12}},
    }
    write_manifest(tmp_path, splits=splits)
    spec = datasets.get("folder", str(tmp_path))
    assert spec.image_bits == 12
    spec.write(str(tmp_path / "classes.json"))
    assert DatasetSpec.read(str(tmp_path / "classes.json")).image_bits == 12
    write_manifest(tmp_path)
    spec = datasets.get("folder", str(tmp_path))
    assert spec.image_bits is None and "image_bits" not in spec.to_json()


def test_another_order_of_a_data_sets_classes_is_refused(tmp_path):
    names = list(datasets.get("shapes").class_names)
    write_manifest(tmp_path, class_names=names, ignore_label=255)
    assert list(datasets.get("shapes", str(tmp_path)).class_names) == names
    names[1], names[2] = names[2], names[1]
    write_manifest(tmp_path, class_names=names, ignore_label=255)
    with pytest.raises(UserError, match="square, disk, .* instead of .*disk, square"):
        datasets.get("shapes", str(tmp_path))
