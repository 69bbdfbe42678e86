"""Label Studio's brush masks."""

import numpy as np
import pytest

from tests.data_prep import trees
from tests.data_prep.exports import tree
from wss.errors import UserError


def save(folder, task, label, mask, annotation=7, number=0):
    name = f"task-{task}-annotation-{annotation}-by-1-tag-{label}-{number}.png"
    trees.save_mask(folder / name, mask * 255)


def task(number, image, minimal=False):
    if minimal:
        return {"id": number, "image": image, "annotator": 1, "tag": []}
    return {"id": number, "data": {"image": image}, "annotations": [{"id": 7}]}


@pytest.fixture
def export(tmp_path):
    """Photos a to d; a to c are tasks 11 to 13."""
    tree.save_photos(tmp_path / "photos", "a", "b", "my photo", "d")
    for number in (11, 12, 13):
        save(tmp_path / "brush", number, "big car", tree.blocks(1, 0))
        save(tmp_path / "brush", number, "road-side", tree.blocks(0, 1))
    return tmp_path


@pytest.mark.parametrize("minimal", [False, True])
def test_brush_masks(monkeypatch, capsys, export, minimal):
    images = [
        "/data/upload/3/0a1b2c3d-a.jpg",
        "/data/local-files/?d=photos/b.jpg",
        "s3://bucket/my%20photo.jpg",
    ]
    tasks = [task(11 + i, image, minimal) for i, image in enumerate(images)]
    tree.save_json(export / "brush" / "project-3.json", tasks)
    flags = ("--images=photos", "--masks=brush")
    found, splits = tree.run(monkeypatch, export, *flags)
    assert tree.class_names(export) == ["background", "big car", "road-side"]
    for name in ("a", "b", "my photo"):
        np.testing.assert_array_equal(found[name], tree.blocks(1, 2))
    assert splits["unlabeled"] == ["d"]
    assert "Label Studio's brush masks: 3 of 4 photos" in capsys.readouterr().out


def test_the_last_annotation_counts(monkeypatch, capsys, export):
    save(export / "brush", 11, "big car", tree.blocks(0, 1), annotation=12)
    save(export / "brush", 11, "big car", tree.blocks(1, 0), annotation=12, number=1)
    tasks = [task(11, "a.jpg"), task(12, "b.jpg"), task(13, "d.jpg")]
    tree.save_json(export / "brush" / "project.json", tasks)
    flags = ("--images=photos", "--masks=brush")
    found, _ = tree.run(monkeypatch, export, *flags)
    np.testing.assert_array_equal(found["a"], tree.blocks(1, 1))
    assert "1 tasks have several annotations; the last" in capsys.readouterr().out


@pytest.mark.parametrize(
    "tasks, message",
    [
        (None, "Export the project as JSON too"),
        ([task(11, "a.jpg"), task(12, "x.jpg")], "2 tasks with masks .* first is 'x'"),
    ],
)
def test_mistakes(monkeypatch, export, tasks, message):
    if tasks:
        tree.save_json(export / "brush" / "project.json", tasks)
    with pytest.raises(UserError, match=message):
        tree.run(monkeypatch, export, "--images=photos", "--masks=brush")
    assert not (export / "out" / "dataset.json").exists()
