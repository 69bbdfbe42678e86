"""The files of images that annotation files and exports list."""

import pytest

from data_prep import listed_images
from wss.errors import UserError

KNOWN = ("a", "x/b", "y/b", "x/c")


@pytest.mark.parametrize(
    "name, image",
    [
        ("a", "a"),
        ("/data/photos/a", "a"),
        ("photos/x/b", "x/b"),
        ("c", "x/c"),
        ("b", None),  # There are two.
        ("z/b", None),
    ],
)
def test_paths_may_begin_above_the_folder_or_omit_folders(name, image):
    entries = [listed_images.in_any_folder("one", name)]
    assert listed_images.find(entries, KNOWN, "export.json") == [image]


def test_two_entries_of_one_image_are_refused():
    entries = [listed_images.Listed(name, [name]) for name in ("x/a", "y/a")]
    message = "export.json lists 'x/a' and 'y/a', but there is only one image 'a'"
    with pytest.raises(UserError, match=message):
        listed_images.find(entries, ["a"], "export.json")


def test_an_image_in_another_folder_is_told(capsys):
    names = ("photos/x/b", "c", "z/c", "z/a")
    entries = [listed_images.in_any_folder(name, name) for name in names]
    listed_images.note_elsewhere(entries, ["x/b", None, "x/c", "a"], "e.json")
    printed = capsys.readouterr().out
    assert "1 images are in other folders than e.json says" in printed
    assert "'z/c', and 'x/c' is taken" in printed
