"""Annotations in COCO's format as labeling tools export them."""

import json

import numpy as np
import pytest
from PIL import Image

from data_prep import coco, coco_annotations
from tests.data_prep import trees
from wss.data import datasets
from wss.errors import UserError

HEIGHT, WIDTH = 40, 60


def export(tmp_path, categories, images=("a.jpg", "sub/b.jpg")):
    """An export of a labeling tool: an object of each category in each image."""
    for i, name in enumerate(images):
        trees.save_image(tmp_path / "photos" / name, HEIGHT, WIDTH, i)
    annotations = [
        {
            "image_id": image,
            "category_id": key,
            "segmentation": [[10 * k, 0, 10 * k + 10, 0, 10 * k + 10, 40, 10 * k, 40]],
        }
        for image in range(len(images))
        for k, key in enumerate(categories)
    ]
    listed = [
        {"id": i, "file_name": name, "height": HEIGHT, "width": WIDTH}
        for i, name in enumerate(images)
    ]
    categories = [{"id": key, "name": name} for key, name in categories.items()]
    content = {
        "images": listed,
        "annotations": annotations,
        "categories": categories,
    }
    path = tmp_path / "export.json"
    path.write_text(json.dumps(content), encoding="utf-8-sig")
    coco_annotations.load.cache_clear()
    return content


def convert(monkeypatch, tmp_path, *flags):
    monkeypatch.chdir(tmp_path)
    command = ["coco", "--images=photos", "--annotations=export.json", "--split=train"]
    monkeypatch.setattr("sys.argv", [*command, "--output_dir=coco", *flags])
    coco.main()
    return tmp_path / "coco"


@pytest.mark.parametrize(
    "categories, names, columns",
    [
        ({7: "car", 2: "road"}, ["background", "road", "car"], [2, 1]),
        ({"7": "car", "12": "road"}, ["background", "car", "road"], [1, 2]),
        ({"b": "car", "a": "road"}, ["background", "road", "car"], [2, 1]),
        ({1: "person"}, ["background", "person"], [1]),
        ({0: "Background", 1: "stra\u00dfe"}, ["background", "stra\u00dfe"], [0, 1]),
        ({0: "car", 1: "car", 2: "road"}, ["background", "car", "road"], [1, 1, 2]),
    ],
)
def test_own_categories(monkeypatch, tmp_path, categories, names, columns):
    export(tmp_path, categories)
    out = convert(monkeypatch, tmp_path)
    assert trees.manifest(out)["class_names"] == names
    assert datasets.get("folder", str(out)).class_names == tuple(names)
    assert trees.names(out, "train") == ["a", "sub/b"]
    for example in trees.decode(out, "train"):
        assert example["label"][0, 5::10][: len(columns)].tolist() == columns
        assert (example["label"][:, 10 * len(columns) :] == 0).all()


@pytest.mark.parametrize(
    "file_names",
    [
        ["a.jpg", "sub/b.jpg"],
        ["images/photos/a.jpg", "images/photos/sub/b.jpg"],
        ["C:\\data\\a.jpg", "C:\\data\\sub\\b.jpg"],
        ["./a.jpg", "b.jpg"],
        ["a.png", "elsewhere/b.JPG"],
    ],
)
def test_file_names_of_tools(monkeypatch, tmp_path, file_names):
    content = export(tmp_path, {1: "road"})
    for image, name in zip(content["images"], file_names):
        image["file_name"] = name
    (tmp_path / "export.json").write_text(json.dumps(content))
    out = convert(monkeypatch, tmp_path)
    assert trees.names(out, "train") == ["a", "sub/b"]
    assert (trees.decode(out, "train")[1]["label"][:, :10] == 1).all()


def test_ids_that_are_texts_in_one_place(monkeypatch, tmp_path):
    content = export(tmp_path, {1: "road"})
    for image in content["images"]:
        image["id"] = str(image["id"])
    content["annotations"][0]["image_id"] = 0.0
    content["annotations"][1]["category_id"] = "1"
    (tmp_path / "export.json").write_text(json.dumps(content))
    out = convert(monkeypatch, tmp_path)
    for example in trees.decode(out, "train"):
        assert (example["label"][:, :10] == 1).all()


def test_outlines_of_tools(monkeypatch, tmp_path, capsys):
    content = export(tmp_path, {1: "road"})
    first, second = content["annotations"]
    first["segmentation"] = first["segmentation"][0]
    content["annotations"].append({**second, "segmentation": []})
    (tmp_path / "export.json").write_text(json.dumps(content))
    out = convert(monkeypatch, tmp_path)
    for example in trees.decode(out, "train"):
        assert (example["label"][:, :10] == 1).all()
    assert (
        "Left out 1 objects without outline in export.json" in capsys.readouterr().out
    )


def test_a_category_for_ignored_pixels(monkeypatch, tmp_path):
    export(tmp_path, {1: "road", 2: "Ignore"})
    out = convert(monkeypatch, tmp_path)
    assert trees.manifest(out)["class_names"] == ["background", "road"]
    label = trees.decode(out, "train")[0]["label"]
    assert label[0, [5, 15, 25]].tolist() == [1, 255, 0]


def test_images_of_another_size_than_was_annotated(monkeypatch, tmp_path):
    content = export(tmp_path, {1: "road"})
    content["images"][0].update(height=10**4, width=10**4)
    (tmp_path / "export.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match="a.jpg has 60 x 40 pixels, but 10000 x"):
        convert(monkeypatch, tmp_path)
    content["images"][0].update(height=10**9, width=10**9)
    (tmp_path / "export.json").write_text(json.dumps(content))
    coco_annotations.load.cache_clear()
    with pytest.raises(UserError, match="image a has no size: 1000000000 x 1000000000"):
        convert(monkeypatch, tmp_path)


def test_images_without_objects_are_told(monkeypatch, tmp_path, capsys):
    content = export(tmp_path, {1: "road"})
    content["annotations"].pop()
    (tmp_path / "export.json").write_text(json.dumps(content))
    labels = [
        each["label"] for each in trees.decode(convert(monkeypatch, tmp_path), "train")
    ]
    assert labels[0].any() and not labels[1].any()
    assert "1 of 2 images show no object and are written as" in capsys.readouterr().out


def test_photos_that_a_tool_turned_upright(monkeypatch, tmp_path):
    content = export(tmp_path, {1: "road"}, images=["a.jpg", "b.jpg"])
    for name in ("a.jpg", "b.jpg"):
        exif = Image.Exif()
        exif[0x0112] = 6  # To be rotated by 90 degrees.
        pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / name, exif=exif)
    content["images"][1].update(height=WIDTH, width=HEIGHT)
    text = json.dumps(content)
    (tmp_path / "export.json").write_text(text)
    coco_annotations.load.cache_clear()
    stored, upright = trees.decode(convert(monkeypatch, tmp_path), "train")
    assert stored["image"].shape == (HEIGHT, WIDTH, 3)
    assert upright["image"].shape == (WIDTH, HEIGHT, 3)
    assert (upright["label"][:40, :10] == 1).all()


@pytest.mark.parametrize(
    "change, flags, message",
    [
        ({}, ("--split", "val"), "together, with one --split"),
        ({}, ("--annotations=no.json",), "There is no no.json.*--annotations"),
        (
            {"images": [{"id": 0, "file_name": "x.jpg", "height": 40, "width": 60}]},
            (),
            "1 images that export.json lists are not in photos; the first is 'x'. Put",
        ),
        (
            {
                "images": [
                    {"id": i, "file_name": f"{i}/a.jpg", "height": 40, "width": 60}
                    for i in range(2)
                ]
            },
            (),
            "lists '0/a' and '1/a', but there is only one image 'a'",
        ),
    ],
)
def test_exports_that_are_refused(monkeypatch, tmp_path, change, flags, message):
    content = export(tmp_path, {1: "road"})
    (tmp_path / "export.json").write_text(json.dumps({**content, **change}))
    with pytest.raises(UserError, match=message):
        convert(monkeypatch, tmp_path, *flags)
    assert not (tmp_path / "coco").exists()


def test_edited_annotations_are_noticed(monkeypatch, tmp_path):
    content = export(tmp_path, {1: "road"})
    convert(monkeypatch, tmp_path)
    content["annotations"][0]["segmentation"][0][0] = 9  # As many bytes as before.
    (tmp_path / "export.json").write_text(json.dumps(content), encoding="utf-8-sig")
    coco_annotations.load.cache_clear()
    with pytest.raises(UserError, match="made from other images or options"):
        convert(monkeypatch, tmp_path)
