"""Image-level labels: lines of classes, tables of 0 and 1, and what is neither."""

import pytest

from data_prep import id_lists, image_labels
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

SPEC = DatasetSpec("toy", ("background", "road", "water, deep"))
KNOWN = id_lists.Known(
    "photos", {name: f"photos/{name}.jpg" for name in ("a", "b", "#c")}
)


def read(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return image_labels.read(str(path), SPEC, KNOWN)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a,road\nb,0", {"a": [1], "b": [0]}),
        ("a.jpg;road\nb.jpg;background;2", {"a": [1], "b": [0, 2]}),
        ("a\troad,0\nphotos/b.jpg\t2\n", {"a": [1, 0], "b": [2]}),
        ("# mine\na, road\n#c,0", {"a": [1], "#c": [0]}),
        ('"a.jpg","road, background"\nb,"water, deep"', {"a": [1, 0], "b": [2]}),
        ("a,1\nb,0", {"a": [1], "b": [0]}),
        ("a,0,1\nb,1", {"a": [0, 1], "b": [1]}),
        ("file,road,background\na,1,0\nb.jpg,1,1", {"a": [1], "b": [1, 0]}),
        ('f,"water, deep",road\na, 1, 0\n', {"a": [2]}),
        ("file,road\na,1", {"a": [1]}),
    ],
)
def test_labels_that_are_understood(tmp_path, text, expected):
    assert read(tmp_path, text) == expected


@pytest.mark.parametrize(
    "text, message",
    [
        ("a,1,0,1\nb,0,0,1", "may be a table.*'image,background,road,water, deep'"),
        ("a,0,1\nb,0,1", "may be a table with one column of 0 and 1 per class"),
        ("a,1,0,1\nb,2", "line 1: a class is named twice"),
        ("file,label\na,road", "line 1: no image has the id 'file'.*remove the line"),
        (
            "file,sky,road\na,1,0",
            "line 1: no image has the id 'file'.*background, ro",
        ),
        ("file,road\na,0", "line 2: 'a' has no class"),
        ("file,background,road\na,1", "line 2: 1 columns follow.* names 2 classes"),
        ("file,background,road\na,1,0.5", "line 2: '1,0.5' are not all 0 or 1"),
        ("file,background,road\na,1,0\nb,True,False", "line 3: 'True,False' are not"),
        ("file,road,road\na,1,0", "line 1 names 'road' more than once"),
        ("a,road\na,0", "labels.csv names 'a' more than once"),
        ("a,Road", "line 1: there is no class 'Road'"),
        ("a,ignore", "line 1: 'ignore' is not a class. Remove it"),
        ("a,255", "line 1: 'ignore' is not a class"),
        ("a\nb,1", "line 1: 'a' is not an image's id and its classes"),
        ("a,road\nx,road", "1 ids of .* have no image in photos; the first is 'x'"),
        ("# nothing", "names no image"),
        ("a," + "x" * 200_000, "line 1: field larger than field limit"),
    ],
)
def test_labels_that_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text)
