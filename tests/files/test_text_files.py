"""Text files of all systems and editors."""

import os

import pytest

from wss.errors import UserError
from wss.files import text_files

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_texts_of_all_systems(tmp_path, encoding, line_end):
    path = tmp_path / "a.txt"
    path.write_bytes(line_end.join(["ü", "", " a\x0cb\u2028c"]).encode(encoding))
    assert text_files.read_text(str(path)) == "ü\n\n a\x0cb\u2028c"
    assert text_files.read_lines(str(path)) == [(1, "ü"), (3, "a\x0cb\u2028c")]


def test_big_endian_texts(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("\ufeffü".encode("utf-16-be"))
    assert text_files.read_text(str(path)) == "ü"


@pytest.mark.parametrize(
    "text",
    [
        "# réseau\nA = 1\n",
        "A = 'x#y'  # été\n",
        "# l'été d'avant\r\nA = 1",
        "A = 1 # é",
    ],
)
def test_comments_may_be_in_another_encoding(tmp_path, text):
    path = tmp_path / "a.gin"
    path.write_bytes(text.encode("latin-1"))
    read = text_files.read_text(str(path)).split("\n")
    expected = text.replace("\r", "").split("\n")
    assert [len(line) for line in read] == [len(line) for line in expected]
    for ours, theirs in zip(read, expected):
        assert ours == theirs or "\ufffd" in ours


@pytest.mark.parametrize(
    "content, message",
    [
        (
            "road\nstraße\n".encode("latin-1"),
            r"a.txt, line 2: 'stra.e' is not in UTF-8",
        ),
        ("A = 'é # x'\n".encode("latin-1"), "line 1: .* is not in UTF-8. Save the"),
        (b"\x89PNG\r\n\x1a\n\0", "a.txt is not text. Save it as UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "a.txt is not text"),
        (bytes(range(256)), "a.txt is not text"),
        ("ab".encode("utf-16-le"), "a.txt is not text"),
        (b"\xff\xfea", "a.txt is not text"),
    ],
)
def test_what_is_no_text(tmp_path, content, message):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(UserError, match=message):
        text_files.read_text(str(tmp_path / "a.txt"))


def test_texts_that_are_not_there(tmp_path):
    with pytest.raises(UserError, match="missing.txt cannot be read .No such file"):
        text_files.read_text(str(tmp_path / "missing.txt"))
    with pytest.raises(UserError, match="cannot be read .Is a directory"):
        text_files.read_text(str(tmp_path))
    with pytest.raises(UserError, match="ram://no/a.txt cannot be read"):
        text_files.read_text("ram://no/a.txt")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has none")
def test_pipes_do_not_wait_for_ever(tmp_path):
    os.mkfifo(tmp_path / "a.txt")
    with pytest.raises(UserError, match="a.txt is a pipe. Give a text file"):
        text_files.read_text(str(tmp_path / "a.txt"))


def test_devices_do_not_last_for_ever():
    with pytest.raises(UserError, match="/dev/zero is a device. Give a text file"):
        text_files.read_text("/dev/zero")


def test_pipes_of_the_shell():
    reader, writer = os.pipe()
    os.write(writer, b"a\nb\n")
    os.close(writer)
    assert text_files.read_text(f"/dev/fd/{reader}") == "a\nb\n"
    os.close(reader)
