"""Outlines and brush masks in Label Studio's JSON export."""

import numpy as np
import pytest

from data_prep.exports import label_studio_outlines
from tests.data_prep.exports import tree
from wss.errors import UserError

SIZE = {"original_width": tree.WIDTH, "original_height": tree.HEIGHT}


def percent(left, top, right, bottom):
    """Corners in pixels as percent of the photo."""
    x, y = 100 / tree.WIDTH, 100 / tree.HEIGHT
    return {"left": left * x, "top": top * y, "right": right * x, "bottom": bottom * y}


def polygon(label, *corners):
    box = percent(*corners)
    points = [[box[x], box[y]] for x in ("left", "right") for y in ("top", "bottom")]
    points[2:] = points[:1:-1]
    return {"points": points, "polygonlabels": [label], "closed": True}


def rectangle(label, *corners, rotation=0):
    box = percent(*corners)
    width, height = box["right"] - box["left"], box["bottom"] - box["top"]
    place = {"x": box["left"], "y": box["top"], "width": width, "height": height}
    return {**place, "rotation": rotation, "rectanglelabels": [label]}


def packed(mask):
    """Run lengths as in Label Studio; of mask [height, width], bool."""
    values = np.zeros((*mask.shape, 4), np.uint8)
    values[..., 3] = 255 * mask
    values = values.ravel()
    bits = f"{values.size:032b}{7:05b}" + "".join(f"{n - 1:04b}" for n in (3, 4, 8, 16))
    for i, row in enumerate(np.split(values, mask.shape[0])):
        if row.any():  # One value for each pixel, in two parts of the 8 bit kind.
            for part in np.split(row, 2):
                bits += f"0{2:02b}{part.size - 1:08b}"
                bits += "".join(f"{value:08b}" for value in part)
        else:
            bits += f"1{2 + i % 2:02b}" + format(
                row.size - 1, "016b" if i % 2 else "08b"
            )
            bits += f"{0:08b}"
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def brush(label, mask):
    return {"format": "rle", "rle": packed(mask), "brushlabels": [label]}


def task(number, image, *values, **others):
    results = [{**SIZE, "value": value, **others} for value in values]
    annotations = [{"id": 5, "result": [{"value": {"choices": ["ugly"]}}, *results]}]
    return {"id": number, "data": {"image": image}, "annotations": annotations}


@pytest.fixture
def write(monkeypatch, tmp_path):
    """Writes tasks about the photos a, b and c, and the data set."""

    def written(*tasks):
        tree.save_photos(tmp_path / "photos", "a", "b", "c")
        tree.save_json(tmp_path / "project.json", tasks)
        return tree.run(
            monkeypatch, tmp_path, "--images=photos", "--masks=project.json"
        )

    return written


FIRST, SECOND = (3, 2, 12, 7), (20, 10, 24, 14)


def test_polygons_boxes_and_brush_masks(write, tmp_path, capsys):
    blocks = tree.blocks(1, 2)
    found, splits = write(
        task(
            1,
            "/data/upload/1/0a1b2c3d-a.jpg",
            polygon("car", *FIRST),
            rectangle("road", *SECOND),
        ),
        task(2, "b.jpg", brush("car", blocks == 1), brush("road", blocks == 2)),
        task(3, "c.jpg"),
    )
    assert tree.class_names(tmp_path) == ["background", "car", "road"]
    for name in "ab":
        np.testing.assert_array_equal(found[name], blocks)
    assert splits["unlabeled"] == ["c"]
    assert (
        "Label Studio's outlines (project.json): 2 of 3 ph" in capsys.readouterr().out
    )


def test_the_short_format_and_the_order(write):
    shapes = [polygon("car", *FIRST), polygon("road", 3, 2, 5, 4)]
    short = [{**SIZE, **shape} for shape in shapes]
    found, _ = write(
        {"id": 1, "image": "a.jpg", "label": short, "annotator": 1},
        task(2, "b.jpg", *shapes[::-1]),
    )
    expected = tree.blocks(1, 0)
    np.testing.assert_array_equal(found["b"], expected)
    expected[2:5, 3:6] = 2
    np.testing.assert_array_equal(found["a"], expected)


def test_photos_of_one_name_in_two_folders(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "x/a", "y/a")
    tasks = [
        task(1, "/data/local-files/?d=photos/x/a.jpg", polygon("car", *FIRST)),
        task(2, "/data/local-files/?d=photos/y/a.jpg", polygon("road", *SECOND)),
    ]
    tree.save_json(tmp_path / "p.json", tasks)
    flags = ("--images=photos", "--masks=p.json", "--val_ratio=0")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    np.testing.assert_array_equal(found["x/a"], tree.blocks(1, 0))
    np.testing.assert_array_equal(found["y/a"], tree.blocks(0, 2))


def test_labels_of_plain_controls(write, capsys):
    """<Polygon> with <Labels>; <KeyPointLabels> has no outline."""
    plain = polygon("car", *FIRST)
    plain["labels"] = plain.pop("polygonlabels")
    point = {"x": 1, "y": 1, "width": 1, "keypointlabels": ["car"]}
    found, _ = write(
        task(1, "a.jpg", plain, point, type="labels"),
        task(2, "b.jpg", polygon("car", *FIRST)),
    )
    np.testing.assert_array_equal(found["a"], tree.blocks(1, 0))
    assert "left out labels that have no outline: 1 labels" in capsys.readouterr().out


def test_a_task_with_two_images(write):
    both = {"id": 1, "data": {"before": "b.jpg", "image": "a.jpg"}}
    shapes = task(1, "", polygon("car", *FIRST), to_name="image")["annotations"]
    found, _ = write(
        {**both, "annotations": shapes}, task(2, "c.jpg", polygon("car", *FIRST))
    )
    assert found["a"] is not None and found["b"] is None
    unknown = task(1, "", polygon("car", *FIRST))["annotations"]
    with pytest.raises(UserError, match="task 1 has several photos .before, image."):
        write({**both, "annotations": unknown}, task(2, "c.jpg"))


@pytest.mark.parametrize(
    "number, message",
    [
        (3, "'task 1' and 'task 3', but there is only one image 'a'"),
        (1, "two different tasks with the number 1"),
    ],
)
def test_two_tasks_of_one_photo_are_refused(write, number, message):
    with pytest.raises(UserError, match=message):
        write(
            task(1, "a.jpg", polygon("car", *FIRST)),
            task(2, "b.jpg", polygon("car", *FIRST)),
            task(number, "/upload/0a1b2c3d-a.jpg", polygon("road", *SECOND)),
        )


def test_a_rotated_box_and_an_ellipse():
    # Turned clockwise by 90 degrees about its top left corner: 5 wide, 9 high.
    box = {**rectangle("car", 12, 2, 21, 7, rotation=90), "kind": "rectangle"}
    mask = label_studio_outlines._covered(box, tree.HEIGHT, tree.WIDTH)
    expected = np.zeros_like(mask)
    expected[2:12, 7:13] = True
    np.testing.assert_array_equal(mask, expected)
    ellipse = {"kind": "ellipse", "x": 50, "y": 50, "radiusX": 20, "radiusY": 10}
    upright = label_studio_outlines._covered(ellipse, 100, 100)
    assert upright.sum() == pytest.approx(np.pi * 20 * 10, rel=0.08)
    assert upright[50, 69] and not upright[69, 50]
    turned = label_studio_outlines._covered({**ellipse, "rotation": 90}, 100, 100)
    assert turned[69, 50] and not turned[50, 69]


def test_the_last_annotation_counts(write, capsys):
    both = task(1, "a.jpg", polygon("road", *SECOND))
    newer = task(1, "a.jpg", polygon("car", *FIRST))["annotations"]
    cancelled = [{**both["annotations"][0], "was_cancelled": True}]
    both["annotations"] += [*newer, *cancelled]
    found, _ = write(both, task(2, "b.jpg", polygon("car", *FIRST)))
    np.testing.assert_array_equal(found["a"], tree.blocks(1, 0))
    assert "1 tasks have several annotations; the last" in capsys.readouterr().out


BROKEN = {**brush("car", tree.blocks(1, 2) > 0), "rle": [0, 0, 0, 9]}


@pytest.mark.parametrize(
    "broken, message",
    [
        (task(1, "x.jpg", polygon("car", *FIRST)), "first is 'x'"),
        (task(1, "a.jpg", {**polygon("car", *FIRST), "polygonlabels": []}), "0 labels"),
        (task(1, "a.jpg", polygon("car", *FIRST), image_rotation=90), "was rotated in"),
        (
            task(1, "a.jpg", polygon("car", *FIRST), original_width=None),
            "no size of the",
        ),
        (task(1, "a.jpg", BROKEN), "its runs do not fill 30 x 20 pixels"),
    ],
)
def test_mistakes(write, tmp_path, broken, message):
    with pytest.raises(UserError, match=message):
        write(broken, task(2, "b.jpg", polygon("car", *FIRST)))
    assert not (tmp_path / "out" / "dataset.json").exists()
