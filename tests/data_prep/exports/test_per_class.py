"""A mask file for each class of a photo."""

import numpy as np
import pytest

from tests.data_prep import trees
from tests.data_prep.exports import tree
from wss.errors import UserError


@pytest.mark.parametrize(
    "name", ["{label}/{photo}", "{photo}/{label}", "{photo}_{label}", "{photo}-{label}"]
)
@pytest.mark.parametrize("yes", [1, 255])
def test_layouts(monkeypatch, capsys, tmp_path, name, yes):
    photos = ["IMG_1", "IMG_2", "IMG_3", "IMG_4"]
    tree.save_photos(tmp_path / "photos", *photos)
    for photo in photos[:3]:
        for label, mask in (
            ("big_car", tree.blocks(1, 0)),
            ("road", tree.blocks(0, 1)),
        ):
            path = tmp_path / "masks" / f"{name.format(label=label, photo=photo)}.png"
            trees.save_mask(path, mask * yes)
    flags = ("--images=photos", "--masks=masks")
    found, splits = tree.run(monkeypatch, tmp_path, *flags)
    assert tree.class_names(tmp_path) == ["background", "big_car", "road"]
    for photo in photos[:3]:
        np.testing.assert_array_equal(found[photo], tree.blocks(1, 2))
    assert splits["unlabeled"] == ["IMG_4"]
    assert "Masks of single classes: 3 of 4 photos" in capsys.readouterr().out


def test_the_longest_name_of_a_photo_counts(monkeypatch, capsys, tmp_path):
    """a_1_road is road in a_1, not 1_road in a; b_road belongs to no photo."""
    tree.save_photos(tmp_path / "photos", "a", "a_1")
    for name in ("a_car", "a_1_car", "a_1_road", "b_road"):
        mask = tree.blocks(1, 0) if "car" in name else tree.blocks(0, 255)
        trees.save_mask(tmp_path / "masks" / f"{name}.png", mask)
    flags = ("--images=photos", "--masks=masks", "--val_ratio=0")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    assert tree.class_names(tmp_path) == ["background", "car", "road"]
    np.testing.assert_array_equal(found["a"], tree.blocks(1, 0))
    np.testing.assert_array_equal(found["a_1"], tree.blocks(1, 2))
    printed = capsys.readouterr().out
    assert "left out 1 masks that belong to no photo in photos; the first is" in printed


def save_two(tmp_path, one, other):
    tree.save_photos(tmp_path / "photos", "a", "b")
    for photo in "ab":
        trees.save_mask(tmp_path / "masks" / photo / "car.png", one)
        trees.save_mask(tmp_path / "masks" / photo / "road.png", other)


def test_the_higher_class_is_on_top(monkeypatch, tmp_path):
    save_two(tmp_path, tree.blocks(1, 0), tree.blocks(1, 1))
    (tmp_path / "masks" / "classes.txt").write_text("background\nroad\ncar\n")
    found, _ = tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=masks")
    np.testing.assert_array_equal(found["a"], tree.blocks(2, 1))


def test_a_changed_mask_is_noticed(monkeypatch, tmp_path):
    save_two(tmp_path, tree.blocks(1, 0), tree.blocks(0, 1))
    flags = ("--images=photos", "--masks=masks")
    tree.run(monkeypatch, tmp_path, *flags)
    moved = np.roll(tree.blocks(0, 1), 1, axis=0)
    trees.save_mask(tmp_path / "masks" / "b" / "road.png", moved)
    with pytest.raises(UserError, match="have changed since .*b/road.png"):
        tree.run(monkeypatch, tmp_path, *flags)


@pytest.mark.parametrize(
    "other, names, message",
    [
        (np.zeros((4, 4)), "background\nroad\ncar\n", "of one photo differ in size"),
        (tree.blocks(0, 1), "background\nroad\n", "masks of 'car', which .* not list"),
    ],
)
def test_mistakes(monkeypatch, tmp_path, other, names, message):
    save_two(tmp_path, tree.blocks(1, 0), other)
    (tmp_path / "masks" / "classes.txt").write_text(names)
    with pytest.raises(UserError, match=message):
        flags = ("--images=photos", "--masks=masks", "--val_ratio=0")
        tree.run(monkeypatch, tmp_path, *flags)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_a_mask_with_several_values(monkeypatch, tmp_path):
    save_two(tmp_path, tree.blocks(1, 0), tree.blocks(0, 1))
    trees.save_mask(tmp_path / "masks" / "a" / "road.png", tree.blocks(1, 2))
    with pytest.raises(UserError, match="a/road.png has 3 values .* not a yes/no mask"):
        flags = ("--images=photos", "--masks=masks", "--val_ratio=0")
        tree.run(monkeypatch, tmp_path, *flags)


def test_renderings_of_masks_are_no_classes(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "a", "b")
    for photo in "ab":
        trees.save_mask(tmp_path / "masks" / f"{photo}_ids.png", tree.blocks(1, 2))
        trees.save_image(tmp_path / "masks" / f"{photo}_color.png", 20, 30)
    flags = ("--images=photos", "--masks=masks")
    with pytest.raises(UserError, match="No photo in photos has a mask in masks"):
        tree.run(monkeypatch, tmp_path, *flags)
    found, _ = tree.run(monkeypatch, tmp_path, *flags, "--mask_suffix=_ids")
    np.testing.assert_array_equal(found["a"], tree.blocks(1, 2))


def test_parts_of_a_data_set_are_no_classes(monkeypatch, tmp_path):
    tree.save_photos(tmp_path / "photos", "a", "b")
    trees.save_mask(tmp_path / "masks" / "train" / "a.png", tree.blocks(1, 0))
    trees.save_mask(tmp_path / "masks" / "val" / "b.png", tree.blocks(1, 0))
    with pytest.raises(UserError, match="No photo in photos has a mask in masks"):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=masks")
