"""Lists of class names as people and tools write them: understood, or refused."""

import pytest

from data_prep import class_names
from wss.errors import UserError

ROADS = ["background", "road", "car"]


def read(tmp_path, text):
    path = tmp_path / "classes.txt"
    path.write_text(text, encoding="utf-8")
    return class_names.read(str(path))


@pytest.mark.parametrize(
    "text",
    [
        "background\nroad\ncar\n",
        "# my classes\nbackground\n  # the rest\nroad\n\ncar",
        "Pixel Value, Class\n0, background\n1, road\n2, car\n",
        "0 background\n1 road\n2 car",
        "0: background\n1: road\n2: car",
        "names:\n  0: background\n  1: road\n  2: car",
        "0,background\n2,car\n1,road",
        "0\tbackground\n1\troad\n2\tcar",
        "0;background\n1;road\n2;car",
        "0. background\n1. road\n2. car",
        "0 - background\n1 - road\n2 - car",
        "background 0\nroad 1\ncar 2",
        "class,id\nroad,1\nbackground,0\ncar,2",
        "__ignore__\nbackground\nroad\ncar",
        "__ignore__\n0 background\n1 road\n2 car",
    ],
)
def test_lists_that_are_understood(tmp_path, text):
    assert read(tmp_path, text) == ROADS


def test_what_was_understood_is_told(tmp_path, capsys):
    read(tmp_path, "\n".join(ROADS))
    assert not capsys.readouterr().out
    read(tmp_path, "__ignore__\n_background_\nroad\n")
    assert capsys.readouterr().out == (
        f"{tmp_path}/classes.txt: __ignore__ is not a class and is left out. The "
        "classes are 0 _background_, 1 road.\n"
    )
    read(tmp_path, "1 road\n0 sky\n")
    assert "the numbers are class ids. The classes are 0 sky, 1 road.\n" in (
        capsys.readouterr().out
    )


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2"],
        ["background", "2 wheeler", "4 wheeler"],
        ["lane 0", "lane 1", "lane 2"],
        ["lane 1", "lane 2"],
        ["background", "road, street", "driver's seat", "object--vehicle", "ü (big)"],
        ["_background_", "void", "label", "N/A", "traffic-light", "class: car"],
    ],
)
def test_names_stay_as_they_are(tmp_path, names):
    assert read(tmp_path, "\n".join(names)) == names


@pytest.mark.parametrize(
    "text, message",
    [
        ("# nothing\n", "classes.txt names no classes"),
        ("__ignore__\n", "names no classes"),
        ("sky\nroad\nsky\n", "names 'sky' more than once"),
        ("class\nsky\nroad", "line 1: 'class' looks like the heading of a column"),
        ("Name\nsky\nroad", "line 1: 'Name' looks like the heading"),
        (
            "1 sky\n2 road",
            "line 2: in '2 road' the number 2 is not a class id: these are 0 to 1",
        ),
        ("sky 1\nroad 2", "in 'road 2' the number 2 is not a class id"),
        ("0 sky\n2 road", "the number 2 is not a class id"),
        ("0: sky\n1: road\n255: void", "line 3: in '255: void' the number 255 is"),
        ("1 sky\n1 road\n3 car", "line 2: in '1 road' the number 1 is"),
        (
            "sky,road,car",
            "line 1: 'sky,road,car' has several columns. Write only the names",
        ),
        ("name,r,g,b\nsky,0,0,0\nroad,1,1,1", "line 2: .* have several columns"),
        ("0,sky,0,0,0\n1,road,9,9,9", "line 1: 'sky,0,0,0' and all other lines have"),
        ("128 64 128 road\n0 0 0 sky", "the number 128 is not a class id"),
        ("filename, sky, road\na.jpg, 1, 0\n", "line 1: .* have several columns"),
        ("sky\nignore\n", "line 2: 'ignore' stands for ignored pixels.*--map 1=ignore"),
        ("sky\n__ignore__\n", "line 2: '__ignore__' stands for ignored pixels"),
        ("sky 0 0 0\nroad 128 64 0", "the number 0 is not a class id"),
        ("sky  # above\nroad", "line 1: 'sky  # above' is not the name"),
        ("// mine\nsky\nroad", "line 1: '// mine' is not the name"),
        ("0 sky\nroad\n2 car", "line 1: '0 sky' is not the name"),
        ("sky 0 0 0\nroad", "line 1: 'sky 0 0 0' is not the name"),
        (
            '[\n"sky",\n"road"\n]',
            r"line 1: '\[' is not the name of a class. Write only",
        ),
        ('"sky"\n"road"', "line 1: '\"sky\"' is not the name"),
        ("- sky\n- road", "line 1: '- sky' is not the name"),
        ("sky,\nroad\n", "line 1: 'sky,' is not the name"),
        ("item {\n id: 1\n}", "line 1: 'item {' is not the name"),
        ("sky\troad\n", "is not the name"),
        ("sky:0,0,0::\nroad:1,1,1::", "several columns"),
        ("sky\na/b.jpg\n", "line 2: 'a/b.jpg' is not the name"),
        (
            "sky\n0\n",
            "line 2: the name '0' of class 1 could be mistaken for a class id",
        ),
        ("1\n2\n", "line 1: the name '1' of class 0 could be mistaken for a class id"),
    ],
)
def test_lists_that_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text)
