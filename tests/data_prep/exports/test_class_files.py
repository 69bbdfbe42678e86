"""Files with class names beside masks."""

import pytest

from data_prep.exports import class_files
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError


def test_the_folder_goes_before_its_parent(tmp_path):
    (tmp_path / "masks").mkdir()
    assert class_files.find(str(tmp_path / "masks")) is None
    (tmp_path / "classes.txt").write_text("sky\nroad\n")
    assert class_files.find(str(tmp_path / "masks")).names == ["sky", "road"]
    (tmp_path / "masks" / "labels.txt").write_text("a\nb\n")
    assert class_files.find(str(tmp_path / "masks")).names == ["a", "b"]
    assert class_files.find(str(tmp_path / "masks"), has_names=True) is None


def test_colors(tmp_path):
    path = tmp_path / "labelmap.txt"
    path.write_text("road:1,2,3::\nbackground:0,0,0::\n__ignore__:9,9,9::\n")
    found = class_files.find(str(tmp_path), has_names=True)
    assert found.names == ["background", "road"]
    spec = DatasetSpec("mine", ("background", "road"))
    colors = found.labels(spec).colormap.colors
    assert colors == ((1, 2, 3, 1), (0, 0, 0, 0), (9, 9, 9, 255))


@pytest.mark.parametrize(
    "text, names",
    [
        ('{"class_names": ["a", "b"]}', ["a", "b"]),
        ('{"labels": {"b": 1, "a": 0, "ignore": 2}}', ["a", "b"]),
        ('{"labels": {"1": "b", "0": "a"}}', ["a", "b"]),
    ],
)
def test_descriptions(tmp_path, text, names):
    (tmp_path / "dataset.json").write_text(text)
    assert class_files.find(str(tmp_path)).names == names


@pytest.mark.parametrize(
    "text", ["{", "[]", "{}", '{"class_names": [1]}', '{"labels": {"a": 0, "b": 2}}']
)
def test_broken_descriptions(tmp_path, text):
    (tmp_path / "dataset.json").write_text(text)
    with pytest.raises(UserError, match="dataset.json does not name classes"):
        class_files.find(str(tmp_path))
