"""COCO in its publisher's layout: masks, classes, splits, what is missing."""

import json

import numpy as np
import pytest

from data_prep import coco, splits
from tests.data_prep import trees
from wss import datasets
from wss.errors import UserError

COCO_IDS = {"person": 1, "bicycle": 2, "couch": 63, "toothbrush": 90}
HEIGHT, WIDTH = 40, 60


def box(x, y, width, height, name, image, crowd=False):
    outline = [[x, y, x + width, y, x + width, y + height, x, y + height]]
    if crowd:
        before = x * HEIGHT + y
        assert (y, height) == (0, HEIGHT)
        counts = [before, width * height, HEIGHT * WIDTH - before - width * height]
        outline = {"counts": counts, "size": [HEIGHT, WIDTH]}
    return {
        "image_id": image,
        "category_id": COCO_IDS[name],
        "segmentation": outline,
        "area": width * height,
        "iscrowd": int(crowd),
    }


@pytest.fixture
def tree(tmp_path):
    """Three training images, of which two show VOC's classes, one of them enough."""
    names = splits.load("coco", "1-512")[:3]
    annotations = [
        box(0, 0, 40, 30, "person", 0),
        box(10, 10, 10, 10, "toothbrush", 0),
        box(50, 0, 5, HEIGHT, "person", 0, crowd=True),
        box(0, 0, 10, 10, "couch", 1),
        box(5, 5, 10, 10, "bicycle", 1),
    ]
    content = {
        "images": [
            {"id": i, "file_name": f"{name}.jpg", "height": HEIGHT, "width": WIDTH}
            for i, name in enumerate(names)
        ],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for name, i in COCO_IDS.items()],
    }
    for part in ("train", "val"):
        for i, name in enumerate(names):
            path = tmp_path / "coco" / f"{part}2017" / f"{name}.jpg"
            trees.save_image(path, HEIGHT, WIDTH, i)
        path = tmp_path / "coco" / "annotations" / f"instances_{part}2017.json"
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(content))
    trees.save_image(tmp_path / "coco" / "unlabeled2017" / "000000000007.jpg")
    coco.load_annotations.cache_clear()
    return tmp_path, names


def run(monkeypatch, tree, *flags):
    monkeypatch.chdir(tree[0])
    monkeypatch.setattr("sys.argv", ["coco", "--coco_dir=coco", *flags])
    coco.main()
    return tree[0] / "data"


def test_masks_in_81_classes(monkeypatch, tree):
    out = run(monkeypatch, tree, "--split", "train", "val", "unlabeled") / "coco"
    assert trees.names(out, "train") == tree[1]
    first, second, third = (example["label"] for example in trees.decode(out, "train"))
    expected = np.zeros((HEIGHT, WIDTH), int)
    expected[0:30, 0:40] = 1
    expected[10:20, 10:20] = 80
    expected[:, 50:55] = 1
    np.testing.assert_array_equal(first, expected)
    assert second[7, 7] == 2  # The later one lies on top.
    assert second[2, 2] == datasets.get("coco").class_names.index("couch") == 58
    assert not third.any()
    assert trees.names(out, "unlabeled") == ["000000000007"]
    splits_written = trees.manifest(out)["splits"]
    assert splits_written["unlabeled"]["with_masks"] == 0
    assert splits_written["val"]["with_masks"] == 3


def test_extra_images_for_voc(monkeypatch, tree):
    out = run(monkeypatch, tree, "--classes=voc", "--split", "C_tr", "C_u") / "voc"
    assert trees.names(out, "C_tr") == tree[1][:1]
    label = trees.decode(out, "C_tr")[0]["label"]
    person = datasets.get("voc").class_names.index("person")
    assert np.unique(label).tolist() == [0, person]
    assert label[15, 15] == person  # VOC knows no toothbrush.
    assert trees.names(out, "C_u") == ["000000000007"]
    assert datasets.get("voc", str(out)).num_classes == 21


def test_every_voc_class_has_a_coco_name():
    names = datasets.get("coco").class_names[1:]
    mapped = {coco._VOC_NAMES.get(name, name) for name in names}
    assert set(datasets.get("voc").class_names[1:]) <= mapped


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--split", "1-512"), "229 images of the split '1-512' are not in"),
        (("--split", "C_tr"), "no split 'C_tr'.*--classes=voc: C_tr, C_u"),
        (("--split", "val", "--coco_dir=x"), "no x/val2017. Download val2017.zip from"),
    ],
)
def test_missing_data(monkeypatch, tree, flags, message):
    with pytest.raises(UserError, match=message):
        run(monkeypatch, tree, *flags)


def test_missing_or_other_annotations(monkeypatch, tree):
    path = tree[0] / "coco" / "annotations" / "instances_train2017.json"
    path.write_text(json.dumps({"images": []}))
    with pytest.raises(UserError, match="does not hold COCO's instance annotations"):
        run(monkeypatch, tree, "--split", "train")
    path.unlink()
    with pytest.raises(UserError, match="annotations_trainval2017.zip"):
        run(monkeypatch, tree, "--split", "train")


def test_annotations_that_cannot_be_drawn():
    broken = coco.Object(1, 1.0, {"counts": [1, 2], "size": [4, 4]})
    with pytest.raises(UserError, match="image 7 cannot be drawn: run lengths"):
        coco.draw_mask("7", coco.Annotated(4, 4, [broken]))
