"""COCO's format with own categories, as tools write it."""

import numpy as np
import pytest

from tests.data_prep.exports import tree
from wss.errors import UserError

pytest.importorskip("pycocotools")

CATEGORIES = [
    {"id": 2, "name": "road", "supercategory": ""},
    {"id": 1, "name": "car", "supercategory": ""},
]


def polygon(first, last, top, bottom):
    return [[first, top, last, top, last, bottom, first, bottom]]


def runs():
    """Uncompressed run lengths, by columns, of the first block."""
    flat = (tree.blocks(1, 0) == 1).T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    bounds = [0, *changes.tolist(), len(flat)]
    return {"counts": np.diff(bounds).tolist(), "size": [tree.HEIGHT, tree.WIDTH]}


def content(*file_names, empty=()):
    """A car as polygon and a road as polygon or run lengths in each image."""
    annotations = []
    for i, name in enumerate(file_names):
        if name in empty:
            continue
        car = runs() if i % 2 else polygon(3, 13, 2, 8)
        for category, outline in ((1, car), (2, polygon(20, 25, 10, 15))):
            one = {"id": len(annotations) + 1, "image_id": i, "iscrowd": 0}
            one.update(category_id=category, segmentation=outline, area=9, bbox=[])
            annotations.append(one)
    size = {"height": tree.HEIGHT, "width": tree.WIDTH}
    images = [{"id": i, "file_name": n, **size} for i, n in enumerate(file_names)]
    return {
        "info": {},
        "licenses": [],
        "categories": CATEGORIES,
        "images": images,
        "annotations": annotations,
    }


@pytest.mark.parametrize(
    "path, flag",
    [
        ("result.json", "--masks=result.json"),  # Label Studio
        ("export/annotations/instances_default.json", "--masks=export"),  # CVAT
        ("photos/_annotations.coco.json", "--from=coco"),
    ],
)
def test_outlines(monkeypatch, capsys, tmp_path, path, flag):
    names = [f"{name}.jpg" for name in "abcde"]
    tree.save_photos(tmp_path / "photos", *"abcdef")
    tree.save_json(tmp_path / path, content(*names, empty=["e.jpg"]))
    found, splits = tree.run(monkeypatch, tmp_path, "--images=photos", flag)
    assert tree.class_names(tmp_path) == ["background", "car", "road"]
    for name in "abcd":
        np.testing.assert_array_equal(found[name], tree.blocks(1, 2))
    assert splits["unlabeled"] == ["e", "f"]
    printed = capsys.readouterr().out
    assert "4 of 6 photos in photos have objects, the others count as unl" in printed


def test_parts(monkeypatch, tmp_path):
    for part in ("train", "valid", "test"):
        tree.save_photos(tmp_path / part, "0", "1")
        path = tmp_path / part / "_annotations.coco.json"
        tree.save_json(path, content("0.jpg", "1.jpg"))
    found, splits = tree.run(monkeypatch, tmp_path, "--images=.", "--from=coco")
    assert splits == {
        "labeled": ["train/0", "train/1"],
        "val": ["valid/0", "valid/1"],
        "test": ["test/0", "test/1"],
    }
    np.testing.assert_array_equal(found["test/1"], tree.blocks(1, 2))


def test_the_group_of_roboflow(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "a", "b")
    found = content("a.jpg", "b.jpg")
    found["categories"] = [
        {"id": 0, "name": "things", "supercategory": "none"},
        {"id": 1, "name": "car", "supercategory": "things"},
        {"id": 2, "name": "road", "supercategory": "things"},
    ]
    tree.save_json(tmp_path / "photos" / "_annotations.coco.json", found)
    tree.run(monkeypatch, tmp_path, "--images=photos")
    assert tree.class_names(tmp_path) == ["background", "car", "road"]


def test_names_of_uploaded_files(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "day/a", "b")
    names = ("images/0a1b2c3d-a.jpg", "../../upload/3/ffffffff-b.jpg")
    tree.save_json(tmp_path / "result.json", content(*names))
    flags = ("--images=photos", "--masks=result.json")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    for name in ("day/a", "b"):
        np.testing.assert_array_equal(found[name], tree.blocks(1, 2))


def test_a_file_of_another_kind(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "a")
    tree.save_json(tmp_path / "result.json", {"what": "else"})
    with pytest.raises(UserError, match="result.json is none of the files that are kn"):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=result.json")


@pytest.mark.parametrize(
    "change, flags, message",
    [
        ({}, ("--class_names=few.txt",), "result.json: there is no class 'road'"),
        ({}, ("--class_names=no_bg.txt",), "class 0 is 'car'.* background first"),
        ({"images": []}, (), "nothing is listed under 'images'"),
        (
            {},
            ("--map", "1=0", "--class_names=all.txt"),
            "--map is for the labels in mask files",
        ),
        ({}, ("--from=cvat",), "expected labelmap.txt and a folder Segmentation"),
    ],
)
def test_mistakes(monkeypatch, tmp_path, change, flags, message):
    (tmp_path / "few.txt").write_text("background\ncar\n")
    (tmp_path / "no_bg.txt").write_text("car\nroad\nbackground\n")
    (tmp_path / "all.txt").write_text("background\ncar\nroad\n")
    tree.save_photos(tmp_path / "photos", *"abc")
    tree.save_json(
        tmp_path / "result.json", {**content("a.jpg", "b.jpg", "c.jpg"), **change}
    )
    with pytest.raises(UserError, match=message):
        tree.run(
            monkeypatch, tmp_path, "--images=photos", "--masks=result.json", *flags
        )
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_photos_that_are_missing(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "a")
    tree.save_json(tmp_path / "result.json", content("a.jpg", "b.jpg", "c.jpg"))
    with pytest.raises(UserError, match="2 images with objects in .* first is 'b'"):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=result.json")


@pytest.mark.parametrize("second", ["other.json", "instances_val.json"])
def test_a_photo_in_two_files_is_refused(monkeypatch, tmp_path, second):
    """The second file would silently take the place of the first."""
    tree.save_photos(tmp_path / "photos", *"abc")
    tree.save_json(tmp_path / "export" / "instances_train.json", content("a.jpg"))
    tree.save_json(tmp_path / "export" / second, content("b.jpg", "a.jpg"))
    message = "both have objects of the photo 'a'"
    with pytest.raises(UserError, match=message):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=export")
    assert not (tmp_path / "out").exists()


def test_objects_that_cover_no_pixel(monkeypatch, tmp_path):
    """Coordinates from 0 to 1, as some tools write them."""
    tree.save_photos(tmp_path / "photos", *"ab")
    export = content("a.jpg", "b.jpg")
    for one in export["annotations"][:2]:
        one["segmentation"] = [[0.1, 0.1, 0.4, 0.1, 0.4, 0.4]]
    tree.save_json(tmp_path / "result.json", export)
    flags = ("--images=photos", "--masks=result.json", "--val_ratio=0")
    message = "No object of the image a in result.json covers one of its 30 x 20 pixels"
    with pytest.raises(UserError, match=message):
        tree.run(monkeypatch, tmp_path, *flags)


def test_categories_for_ignored_pixels(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", *"ab")
    export = content("a.jpg", "b.jpg")
    export["categories"] = [{"id": 1, "name": "car"}, {"id": 2, "name": "Ignore"}]
    tree.save_json(tmp_path / "result.json", export)
    flags = ("--images=photos", "--masks=result.json")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    assert tree.class_names(tmp_path) == ["background", "car"]
    np.testing.assert_array_equal(found["a"], tree.blocks(1, 255))
