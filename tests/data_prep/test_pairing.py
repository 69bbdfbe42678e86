"""Masks that are found among photos."""

import numpy as np
import pytest

from data_prep import pairing
from tests.data_prep import trees
from wss.errors import UserError
from wss.image_io import discovery

FLAT = np.repeat([[0, 1, 2]], 9, axis=0).repeat(9, axis=1)


@pytest.mark.parametrize(
    "image, mask, both, alone",
    [
        (
            "images/x/a{}.jpg",
            "masks/x/a{}.png",
            "pass --images=./images --masks=./masks",
            "pass --images=./images.",
        ),
        (
            "a{}.jpg",
            "a{}_L.png",
            "add --masks=. --mask_pattern='{id}_L'",
            "add --image_pattern='{id}.jpg'",
        ),
        (
            "img_{}.jpg",
            "mask_{}.png",
            "add --masks=. --image_pattern='img_{id}' --mask_pattern='mask_{id}'",
            "add --image_pattern='img_{id}'",
        ),
        (
            "a{}.png",
            "a{}_mask.png",
            "add --masks=. --mask_pattern='{id}_mask'",
            "move the masks to another folder",
        ),
    ],
)
def test_masks_among_images(tmp_path, monkeypatch, image, mask, both, alone):
    monkeypatch.chdir(tmp_path)
    for i in range(50):
        trees.save_image(tmp_path / image.format(i), 24, 24, seed=i)
    for i in range(0, 50, 10):
        trees.save_mask(tmp_path / mask.format(i), FLAT)
    paths = discovery.find(".")
    with pytest.raises(UserError) as error:
        pairing.check_no_masks(".", list(paths), paths)
    assert str(error.value).startswith(
        f". contains masks besides images: 5 pairs such as ./{image.format(0)} and "
        f"./{mask.format(0)}. To write both, {both}; to write only the images, {alone}"
    )


def test_photos_whose_names_pair_are_no_masks(tmp_path):
    for i, name in enumerate(("left/a", "right/a", "labels/b", "shop/b", "c", "x/d")):
        trees.save_image(tmp_path / f"{name}.png", 24, 24, seed=i)
    trees.save_mask(tmp_path / "chart.png", FLAT)
    paths = discovery.find(str(tmp_path))
    pairing.check_no_masks(str(tmp_path), list(paths), paths)


def test_a_list_that_excludes_all_images(tmp_path):
    trees.save_image(tmp_path / "photos" / "a.jpg")
    exclude = tmp_path / "exclude.txt"
    exclude.write_text("a\n")
    with pytest.raises(UserError, match="exclude.txt excludes all images of .*photos"):
        pairing.choose_images(str(tmp_path / "photos"), exclude_file=str(exclude))
