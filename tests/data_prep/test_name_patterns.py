"""Patterns that are proposed where names do not pair."""

import pytest

from data_prep import name_patterns


def propose(tmp_path, images, masks, **kwargs):
    for folder, names in (("images", images), ("masks", masks)):
        for name in names:
            path = tmp_path / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return name_patterns.propose(
        str(tmp_path / "images"), str(tmp_path / "masks"), **kwargs
    )


def numbered(text, count=12):
    return [text.format(i) for i in range(count)]


@pytest.mark.parametrize(
    "image, mask, patterns",
    [
        ("img_{}.jpg", "label_{}.png", ("img_{id}", "label_{id}")),
        ("IMG_{}.jpg", "img_{}.png", ("IMG_{id}", "img_{id}")),
        ("a{}.jpg", "a{}_mask.png", ("{id}", "{id}_mask")),
        ("a{}.jpg", "a{}_json/img.png", ("{id}", "{id}_json/img")),
        ("a{}/photo.jpg", "a{}/mask.png", ("{id}/photo", "{id}/mask")),
        ("train/a{}.jpg", "gt/a{}.png", ("train/{id}", "gt/{id}")),
        ("a{}.jpg", "a{}.jpg.png", ("{id}", "{id}.jpg")),
        ("a{}.png.jpg", "a{}.png", ("{id}.png", "{id}")),
        ("2024-{}_rgb.jpg", "2024-{}_gt.png", ("{id}_rgb", "{id}_gt")),
    ],
)
def test_the_patterns_that_pair_most(tmp_path, image, mask, patterns):
    text = propose(tmp_path, numbered(image), numbered(mask))
    flags = [f"--{kind}_pattern='{p}'" for kind, p in zip(("image", "mask"), patterns)]
    flags = [flag for flag in flags if not flag.endswith("='{id}'")]
    assert text == (
        f"Add {' '.join(flags)} if these are their masks: this pairs 12 of 12 files in "
        f"{tmp_path}/masks with an image."
    )


def test_masks_are_told_from_what_lies_beside_them(tmp_path):
    kinds = ("img.png", "label.png", "label_viz.png")
    masks = [name for kind in kinds for name in numbered("a{}_json/" + kind)]
    text = propose(tmp_path, numbered("a{}.jpg"), masks)
    assert text.startswith("Add --mask_pattern='{id}_json/label' if")


def test_nothing_is_proposed_that_does_not_help(tmp_path):
    assert not propose(tmp_path, ["a.jpg", "b.jpg"], ["x.png", "y.png"])
    assert not propose(
        tmp_path / "2", numbered("a{}.jpg"), numbered("a{}.png", 5), pairs_now=5
    )


def test_capital_letters(tmp_path):
    text = propose(tmp_path, ["Cat.jpg"], ["cat.png"])
    assert text.startswith("The names 'Cat' and 'cat' differ only in case")


def test_images_and_masks_in_one_folder(tmp_path):
    for name in numbered("img_{}.jpg") + numbered("label_{}.png"):
        (tmp_path / name).touch()
    text = name_patterns.propose(str(tmp_path), str(tmp_path))
    assert "--image_pattern='img_{id}' --mask_pattern='label_{id}'" in text


@pytest.mark.parametrize("images, masks", [(".", "masks"), ("photos", ".")])
def test_one_folder_in_the_other(tmp_path, images, masks):
    for kind in ("photos", "masks"):
        (tmp_path / kind).mkdir()
        for name in numbered("a{}.png"):
            (tmp_path / kind / name).touch()
    text = name_patterns.propose(str(tmp_path / images), str(tmp_path / masks))
    kind = "image_pattern='photos" if images == "." else "mask_pattern='masks"
    assert text.startswith(f"Add --{kind}/{{id}}' if")


def test_numbers_in_names_pair_no_images_and_masks(tmp_path):
    for name in [*numbered("p{}.jpg"), *numbered("p{}.png")]:
        (tmp_path / name).touch()
    assert not name_patterns.propose(str(tmp_path), str(tmp_path))


def test_folders_of_one_name_belong_together(tmp_path):
    for part in ("train", "val"):
        for name in numbered(f"{part}/a{{}}.png"):
            for kind in ("images", "labels"):
                (tmp_path / kind / part).mkdir(parents=True, exist_ok=True)
                (tmp_path / kind / name).touch()
    for part in ("train", "val"):
        images, labels = f"{tmp_path}/images/{part}", f"{tmp_path}/labels"
        text = name_patterns.propose(images, labels)
        assert text.startswith(f"Add --mask_pattern='{part}/{{id}}' if")
