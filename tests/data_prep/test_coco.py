"""COCO in its publisher's layout: masks, classes, splits, what is missing."""

import importlib.util
import json
import os

import numpy as np
import pytest

from data_prep import coco, coco_annotations, coco_masks, splits
from tests.data_prep import trees
from wss.data import datasets
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
    coco_annotations.load.cache_clear()
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
    assert second[7, 7] == 2  # The later one is on top.
    assert second[2, 2] == datasets.get("coco").class_names.index("couch") == 58
    assert not third.any()
    assert trees.names(out, "unlabeled") == ["000000000007"]
    splits_written = trees.manifest(out)["splits"]
    assert splits_written["unlabeled"]["with_masks"] == 0
    assert splits_written["val"]["with_masks"] == 3


def test_extra_images_for_voc(monkeypatch, capsys, tree):
    out = run(monkeypatch, tree, "--classes=voc", "--split", "C_tr", "C_u") / "voc"
    printed = capsys.readouterr().out
    assert "Left out 2 of 3 images that show no more than 1000 pixels of voc" in printed
    assert "1 of 4 categories of" in printed and "first is 'toothbrush'" in printed
    assert trees.names(out, "C_tr") == tree[1][:1]
    label = trees.decode(out, "C_tr")[0]["label"]
    person = datasets.get("voc").class_names.index("person")
    assert np.unique(label).tolist() == [0, person]
    assert label[15, 15] == person  # VOC has no toothbrush.
    assert trees.names(out, "C_u") == ["000000000007"]
    assert datasets.get("voc", str(out)).num_classes == 21


def test_the_rest_of_a_draw(monkeypatch, tree):
    folder = tree[0] / "coco"
    trees.save_image(folder / "train2017" / "000000000001.jpg", HEIGHT, WIDTH, 5)
    path = folder / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    about = {"file_name": "000000000001.jpg", "height": HEIGHT, "width": WIDTH}
    content["images"].append({"id": 9, **about})
    path.write_text(json.dumps(content))
    out = run(monkeypatch, tree, "--split", "1-512_rest") / "coco"
    assert trees.names(out, "1-512_rest") == ["000000000001"]


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


def annotations_of(tree, part="train"):
    path = tree[0] / "coco" / "annotations" / f"instances_{part}2017.json"
    return path, json.loads(path.read_text())


def test_missing_or_other_annotations(monkeypatch, tree):
    path, _ = annotations_of(tree)
    path.unlink()
    with pytest.raises(UserError, match="annotations_trainval2017.zip"):
        run(monkeypatch, tree, "--split", "train")
    path.write_text("not json")
    with pytest.raises(
        UserError, match="is not a JSON file .*Download or export it again"
    ):
        run(monkeypatch, tree, "--split", "train")
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(UserError, match="annotation file .* is not a regular file"):
        run(monkeypatch, tree, "--split", "train")


def without(key):
    return lambda content: content.pop(key)


def changed(array, **values):
    return lambda content: content[array][1].update(values)


@pytest.mark.parametrize(
    "change, message",
    [
        (without("images"), "nothing is listed under 'images'"),
        (without("annotations"), "nothing is listed under 'annotations'"),
        (without("categories"), "nothing is listed under 'categories'"),
        (changed("images", id=0), "is listed twice"),
        (
            changed("images", height=None),
            "has no instance annotations in COCO's format",
        ),
        (
            changed("images", file_name=None),
            r"\(None is not a name\). In COCO's format",
        ),
        (changed("annotations", image_id=None), r"\(None is not an id\)"),
        (changed("images", width=-60), "has no size"),
        (changed("annotations", category_id=91), r"\(there is no category 91\)"),
        (
            lambda content: [
                each.pop("segmentation") for each in content["annotations"]
            ],
            "no object has a 'segmentation': boxes have no outlines",
        ),
        (
            lambda content: [
                each.update(image_id=9) for each in content["annotations"]
            ],
            "no 'image_id' of the annotations is the id of an image",
        ),
    ],
)
def test_annotations_of_something_else(monkeypatch, tree, change, message):
    path, content = annotations_of(tree)
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match=message) as error:
        run(monkeypatch, tree, "--split", "train")
    assert "Unpack" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["annotations"][1].pop("area"),
        changed("annotations", area=[480]),
        changed("annotations", area=float("nan")),
    ],
)
def test_only_the_choice_by_area_needs_areas(monkeypatch, tree, change):
    path, content = annotations_of(tree)
    change(content)
    content["annotations"][1]["category_id"] = COCO_IDS["person"]
    path.write_text(json.dumps(content))
    out = run(monkeypatch, tree, "--split", "train") / "coco"
    assert trees.decode(out, "train")[0]["label"][15, 15] == 1
    with pytest.raises(
        UserError, match="'area' of each object in the image '.*', which"
    ):
        run(monkeypatch, tree, "--classes=voc", "--split", "C_tr")


def test_own_categories_in_the_layout_of_coco(monkeypatch, tree):
    for part in ("train", "val"):
        path, content = annotations_of(tree, part)
        content["categories"][0]["name"] = "unicorn"
        path.write_text(json.dumps(content))
    with pytest.raises(
        UserError, match="'unicorn' is not a class of COCO. Add --classes="
    ):
        run(monkeypatch, tree, "--split", "train", "--classes=coco")
    out = run(monkeypatch, tree, "--split", "train", "unlabeled", "val") / "own"
    names = ["background", "unicorn", "bicycle", "couch", "toothbrush"]
    assert trees.manifest(out)["class_names"] == names
    assert sorted(trees.manifest(out)["splits"]) == ["train", "unlabeled", "val"]
    assert trees.decode(out, "train")[0]["label"][15, 15] == 4


def test_arrays_in_any_order_and_style(monkeypatch, tree):
    before = trees.contents(run(monkeypatch, tree, "--split", "train") / "coco")
    path, content = annotations_of(tree)
    content = {key: content[key] for key in reversed(sorted(content))}
    path.write_text(json.dumps({"info": {"year": 2017}, **content}, indent=2))
    coco_annotations.load.cache_clear()
    after = run(monkeypatch, tree, "--split", "train", "--overwrite") / "coco"
    (name,) = (name for name in before if name.endswith("tfrecord"))
    assert before[name] == (after / name).read_bytes()


def test_objects_of_images_that_are_not_listed(monkeypatch, capsys, tree):
    path, content = annotations_of(tree)
    content["annotations"].insert(1, {**content["annotations"][1], "image_id": 10**15})
    path.write_text(json.dumps(content))
    trees.save_image(tree[0] / "coco" / "train2017" / "more.jpg")
    out = run(monkeypatch, tree, "--split", "train") / "coco"
    assert trees.names(out, "train") == tree[1]
    assert trees.decode(out, "train")[0]["label"][15, 15] == 80
    printed = capsys.readouterr().out
    assert "1 objects in" in printed and "that it does not list" in printed
    assert "1 images in coco/train2017 are not in" in printed
    assert "the first is 'more'" in printed


def test_compressed_crowds_and_empty_outlines(monkeypatch, tree):
    path, content = annotations_of(tree)
    content["annotations"][1]["segmentation"] = []
    crowd = {"counts": "0P[2", "size": [HEIGHT, WIDTH]}  # All pixels.
    content["annotations"][3].update(segmentation=crowd, iscrowd=1)
    path.write_text(json.dumps(content))
    out = run(monkeypatch, tree, "--split", "train") / "coco"
    first, second, _ = (example["label"] for example in trees.decode(out, "train"))
    assert 80 not in first and first[15, 15] == 1
    assert np.unique(second).tolist() == [2, 58]
    assert second[-1, -1] == 58


def draw(*objects, height=4, width=4):
    """Draws the mask of an image with these objects, each (class id, segmentation)."""
    return coco_masks.draw(objects, height, width, "7", "a.json")


def test_later_objects_are_drawn_over_earlier_ones():
    upper, left = [[0, 0, 4, 0, 4, 2, 0, 2]], [[0, 0, 1, 0, 1, 4, 0, 4]]
    mask = draw((3, upper), (5, left), (4, []))
    assert mask.tolist() == [[5, 3, 3, 3]] * 2 + [[5, 0, 0, 0]] * 2
    assert mask.dtype == np.uint8


@pytest.mark.parametrize(
    "segmentation", [{"counts": [1, 2], "size": [4, 4]}, {}, None, [[1, 2, 3]], "x"]
)
def test_annotations_that_cannot_be_drawn(segmentation):
    with pytest.raises(UserError, match="image 7 in a.json cannot be drawn .*Correct"):
        draw((3, segmentation))


def test_without_pycocotools(monkeypatch, tree):
    """Only annotated splits need it; they report it before reading anything."""
    find_spec = importlib.util.find_spec

    def find_all_but_pycocotools(name, *args):
        return None if name == "pycocotools" else find_spec(name, *args)

    monkeypatch.setattr(importlib.util, "find_spec", find_all_but_pycocotools)
    for flags in (
        ("--split", "unlabeled", "train"),
        ("--split=x", "--images=none", "--annotations=none.json"),
    ):
        with pytest.raises(UserError, match=r"pip install -e '\.\[coco\]'"):
            run(monkeypatch, tree, *flags)
    assert not (tree[0] / "data").exists()
    out = run(monkeypatch, tree, "--split", "unlabeled") / "coco"
    assert trees.names(out, "unlabeled") == ["000000000007"]
