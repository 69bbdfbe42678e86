"""labelme's JSON files and folders."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.data_prep import trees
from tests.data_prep.exports import tree
from wss.errors import UserError


def shape(label, kind, *points, **more):
    return {
        "label": label,
        "points": [list(point) for point in points],
        "group_id": None,
        "description": "",
        "shape_type": kind,
        "flags": {},
        **more,
    }


def save(path, *shapes, image="", **more):
    content = {
        "version": "5.4.1",
        "flags": {},
        "shapes": list(shapes),
        "imagePath": image or f"{path.stem}.jpg",
        "imageData": None,
        "imageHeight": tree.HEIGHT,
        "imageWidth": tree.WIDTH,
        **more,
    }
    tree.save_json(path, content)


CAR = shape("car", "polygon", (3, 2), (12, 2), (12, 7), (3, 7))
ROAD = shape("road", "rectangle", (24, 14), (20, 10))


def test_outlines_beside_the_photos(monkeypatch, capsys, tmp_path):
    tree.save_photos(tmp_path / "photos", *(f"day/{i}" for i in range(6)))
    for i in range(4):
        save(tmp_path / "photos" / "day" / f"{i}.json", CAR, ROAD)
    save(tmp_path / "photos" / "day" / "5.json")
    found, splits = tree.run(monkeypatch, tmp_path, "--images=photos")
    assert tree.class_names(tmp_path) == ["background", "car", "road"]
    for i in range(4):
        np.testing.assert_array_equal(found[f"day/{i}"], tree.blocks(1, 2))
    assert splits["unlabeled"] == ["day/4", "day/5"]
    printed = capsys.readouterr().out
    assert "labelme's outlines: 4 of 6 photos in photos have some." in printed
    assert "files left out" not in printed
    assert "left out 0 JSON files without photo, and 1 without outlines" in printed


def test_labels_in_another_folder(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "sub/a", "sub/b", "c")
    save(tmp_path / "json" / "a.json", ROAD, CAR, image="..\\photos\\sub\\a.jpg")
    save(tmp_path / "json" / "one.json", CAR, image="b.jpg")
    save(tmp_path / "json" / "c.json", shape("__ignore__", "rectangle", (0, 0), (9, 9)))
    (tmp_path / "json" / "labels.txt").write_text(
        "__ignore__\n_background_\nroad\ncar\n"
    )
    flags = ("--images=photos", "--masks=json", "--val_ratio=0")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    assert tree.class_names(tmp_path) == ["_background_", "road", "car"]
    np.testing.assert_array_equal(found["sub/a"], tree.blocks(2, 1))
    np.testing.assert_array_equal(found["sub/b"], tree.blocks(2, 0))
    assert (found["c"][:10, :10] == 255).all() and found["c"][10:].max() == 0


def test_photos_of_one_name_in_two_folders(monkeypatch, tmp_path):
    """`imagePath` tells them apart, in files that lie in one folder."""
    tree.save_photos(tmp_path / "photos", "x/a", "y/a")
    save(tmp_path / "json" / "0.json", CAR, ROAD, image="..\\photos\\x\\a.jpg")
    save(tmp_path / "json" / "1.json", ROAD, image="../photos/y/a.jpg")
    flags = ("--images=photos", "--masks=json", "--val_ratio=0")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    np.testing.assert_array_equal(found["x/a"], tree.blocks(1, 2))
    np.testing.assert_array_equal(found["y/a"], tree.blocks(0, 2))


def test_two_files_of_one_photo_are_refused(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "a", "b")
    save(tmp_path / "json" / "a.json", CAR)
    save(tmp_path / "json" / "old" / "a.json", ROAD)
    with pytest.raises(UserError, match="a.json' and .*old/a.json', but there is only"):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=json")


def test_a_file_that_names_another_photo_is_told(monkeypatch, capsys, tmp_path):
    tree.save_photos(tmp_path / "photos", "a", "b", "c")
    save(tmp_path / "photos" / "a.json", CAR, image="b.jpg")
    save(tmp_path / "photos" / "c.json", CAR, image="gone.jpg")
    found, _ = tree.run(monkeypatch, tmp_path, "--images=photos")
    np.testing.assert_array_equal(found["a"], tree.blocks(1, 0))
    assert "1 JSON files name another photo as 'imagePath'" in capsys.readouterr().out


def encoded(mask):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


@pytest.mark.parametrize(
    "one, inside, outside",
    [
        (shape("x", "polygon", (2, 2), (9, 2), (2, 9)), [(3, 3), (2, 8)], [(8, 8)]),
        (shape("x", "circle", (15, 10), (15, 14)), [(10, 15), (14, 15)], [(14, 19)]),
        (shape("x", "line", (2, 10), (28, 10)), [(10, 15), (7, 15)], [(17, 15)]),
        (
            shape("x", "linestrip", (2, 5), (9, 5), (9, 19)),
            [(5, 4), (18, 9)],
            [(5, 20)],
        ),
        (shape("x", "point", (9, 9)), [(9, 9), (13, 9)], [(15, 9)]),
        (
            shape("x", "mask", (5, 4), (7, 5), mask=encoded(np.eye(2, 3) > 0)),
            [(4, 5), (5, 6)],
            [(4, 6), (4, 7), (5, 7), (6, 6)],
        ),
        (shape("x", None, (0, 0), (29, 0), (29, 19), (0, 19)), [(0, 0), (19, 29)], []),
    ],
    ids=lambda value: value["shape_type"] if isinstance(value, dict) else "",
)
def test_kinds_of_shapes(monkeypatch, tmp_path, one, inside, outside):
    tree.save_photos(tmp_path / "photos", "a")
    save(tmp_path / "photos" / "a.json", one, imageHeight=None, imageWidth=None)
    found, _ = tree.run(monkeypatch, tmp_path, "--images=photos", "--val_ratio=0")
    assert found["a"].shape == (tree.HEIGHT, tree.WIDTH)
    assert all(found["a"][place] == 1 for place in inside)
    assert all(found["a"][place] == 0 for place in outside)


def test_folders_with_their_own_numbers(monkeypatch, tmp_path):
    """Each folder numbers its own labels: 1 is a car in one and a road in another."""
    tree.save_photos(tmp_path / "photos", "a", "b", "c")
    for name, labels, mask in (
        ("a", "car\nroad", tree.blocks(1, 2)),
        ("b", "road\ncar", tree.blocks(2, 1)),
    ):
        folder = tmp_path / "json" / f"{name}_json"
        trees.save_mask(folder / "label.png", mask, palette=True)
        trees.save_image(folder / "img.png", tree.HEIGHT, tree.WIDTH)
        trees.save_image(folder / "label_viz.png", tree.HEIGHT, tree.WIDTH)
        (folder / "label_names.txt").write_text(f"_background_\n{labels}\n")
    flags = ("--images=photos", "--masks=json")
    found, splits = tree.run(monkeypatch, tmp_path, *flags)
    assert tree.class_names(tmp_path) == ["_background_", "car", "road"]
    for name in "ab":
        np.testing.assert_array_equal(found[name], tree.blocks(1, 2))
    assert splits["unlabeled"] == ["c"]


@pytest.mark.parametrize(
    "one, message",
    [
        (
            shape("car", "circle", (1, 1)),
            "'car' in .*a.json cannot be drawn .*a circle",
        ),
        (shape("car", "cube", (1, 1)), "a cube with 1 points"),
        (shape(None, "point", (1, 1)), "a.json has a shape without label"),
        (shape("car", "point", (99, 99)), "is outside the photo of 30 x 20 pixels"),
        (shape("car", "circle", (1, 1), (1, float("nan"))), "a point is not a number"),
        (shape("car", "rectangle", (1, 1), (1e12, 1e12)), "or far from the photo"),
        (shape("bike", "point", (1, 1)), "label 'bike', which .*labels.txt does not"),
        (shape("car", "mask", (1, 1), mask="!"), "cannot be drawn"),
    ],
)
def test_mistakes(monkeypatch, capsys, tmp_path, one, message):
    tree.save_photos(tmp_path / "photos", "a", "b")
    (tmp_path / "labels.txt").write_text("_background_\ncar\nroad\n")
    save(tmp_path / "photos" / "a.json", one)
    save(tmp_path / "photos" / "b.json", CAR)
    with pytest.raises(UserError, match=message):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--val_ratio=0")
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_no_photo(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "a")
    save(tmp_path / "json" / "b.json", CAR)
    with pytest.raises(UserError, match="No JSON file of labelme in json has outlines"):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=json")
