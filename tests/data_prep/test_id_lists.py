"""Lists of image ids: all the ways in which they are written."""

import unicodedata

import pytest

from data_prep import id_lists
from wss.errors import UserError
from wss.image_io.patterns import Pattern

IDS = ["a", "sub/\u00fc b", "#7", "x.1"]
KNOWN = id_lists.Known("photos", {name: f"photos/{name}.jpg" for name in IDS})


def read(tmp_path, text, known=KNOWN, encoding="utf-8"):
    path = tmp_path / "ids.txt"
    path.write_bytes(text.encode(encoding))
    return id_lists.read_ids(str(path), known)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(
    "lines",
    [
        ["a", "sub/\u00fc b", "x.1"],
        ["a.jpg", "./sub/\u00fc b.JPG ", "", "x.1.jpg"],
        ["photos/a.jpg", "photos\\sub\\\u00fc b", "photos/x.1"],
        ["# mine", "a", "sub\\\u00fc b.jpg", "#", "x.1"],
    ],
)
def test_lists_that_are_understood(tmp_path, lines, encoding, form):
    text = unicodedata.normalize(form, "\r\n".join(lines))
    expected = ["a", "sub/\u00fc b", "x.1"]
    assert read(tmp_path, text, encoding=encoding) == expected


def test_an_id_that_looks_like_a_comment(tmp_path):
    assert read(tmp_path, "#7.jpg\n#8\n") == ["#7"]


def test_names_of_a_pattern(tmp_path):
    known = KNOWN._replace(pattern=Pattern("img_{id}"))
    assert read(tmp_path, "img_a.jpg\nsub/img_\u00fc b\n", known) == IDS[:2]


@pytest.mark.parametrize(
    "text, message",
    [
        ("filename\na\n", "1 ids of .*ids.txt have no image in photos.*'filename'"),
        ("a,0\nb,1\n", "2 ids of .*'a,0'. An id is the path of the image.*such as 'a'"),
        ("a\nphotos/a.jpg\n", "ids.txt names 'a' more than once"),
        (" \n", "ids.txt is empty"),
    ],
)
def test_lists_that_are_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, text)


def test_a_list_of_comments_only(tmp_path):
    with pytest.raises(UserError, match="ids.txt has only comments"):
        read(tmp_path, "# none\n#\n")


def test_lists_of_names_only(tmp_path):
    (tmp_path / "ids.txt").write_text("a\nb\na\n")
    with pytest.raises(UserError, match="ids.txt names 'a' more than once"):
        id_lists.read_plain(str(tmp_path / "ids.txt"))
