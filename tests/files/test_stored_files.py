"""Small files that a fault has emptied or filled with anything."""

import os

import pytest

from wss.errors import UserError
from wss.files import stored_files


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"\0\0\0", "damaged: it is not text"),
        (b"\x80abc", "damaged: it is not text"),
        (b"[1, 2", "damaged, or another program's: it is not what wss writes there"),
        (b'"x"', "damaged, or another program's: it is not what wss writes there"),
        (
            b"[" * 100000,
            "damaged, or another program's: it is not what wss writes there",
        ),
    ],
)
def test_damage_is_one_line(tmp_path, content, reason):
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(UserError) as error:
        stored_files.read_json(str(path), dict, "Remove it.")
    assert str(error.value) == f"{path} is {reason}. Remove it."


def test_what_is_whole_is_read(tmp_path):
    path = tmp_path / "some.json"
    path.write_bytes(b"\xef\xbb\xbf" + '{"ä": 1}'.encode())
    assert stored_files.read_json(str(path), dict, "") == {"ä": 1}
    assert stored_files.read_text(str(path), "") == '{"ä": 1}'


def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "some.json")
    with pytest.raises(
        UserError, match="some.json cannot be read: it is not a regular"
    ):
        stored_files.read_json(str(tmp_path / "some.json"), dict, "")
