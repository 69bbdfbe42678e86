"""Elements of arrays in a JSON file, read in small pieces."""

import json

import pytest

from data_prep.sources import json_stream

CONTENT = {
    "info": {"year": 2017, "nested": [1, {"a": "]}"}]},
    "images": [{"file_name": 'straße "1" [x].jpg', "id": 1}, {"id": 2}],
    "empty": [],
    "annotations": [{"s": [[1.5, 2], [3]], "id": i} for i in range(40)],
    "numbers": [1, 23, 4567, -8.25e3],
    "last": None,
}


@pytest.fixture(params=[1, 7, 1000])
def chunk(request, monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK", request.param)


def read(path, text):
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return list(json_stream.elements(str(path)))


@pytest.mark.parametrize(
    "style", [{}, {"indent": 3}, {"ensure_ascii": False}, {"separators": (",", ":")}]
)
def test_all_elements_and_their_places(tmp_path, chunk, style):
    path = tmp_path / "a.json"
    found = read(path, json.dumps(CONTENT, **style))
    arrays = {}
    for element in found:
        arrays.setdefault(element.array, []).append(element.value)
        there = path.read_bytes()[element.start : element.start + element.length]
        assert json.loads(there) == element.value
    expected = {
        key: value
        for key, value in CONTENT.items()
        if isinstance(value, list) and value
    }
    assert arrays == expected
    assert list(arrays) == ["images", "annotations", "numbers"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "'{' expected at byte 0"),
        ("[1]", "'{' expected at byte 0"),
        ('{"a" [1]}', "':' expected at byte 5"),
        ('{"a": [1 2]}', "',' expected at byte 9"),
        ('{"a": [1, tru]}', "no value at byte 10: Expecting value"),
        ('{"a": [1, 2', "no value at byte 10: it does not end"),
        ('{"a": [{"b": 1}', "no value at byte 7: it does not end"),
        ('{"a": [{"b": 1}, ', "no value at byte 17: Expecting value"),
        ('{"a": [{"b": "x', "no value at byte 7: Unterminated string"),
        ('{"a": [1.x]}', "no value at byte 7: it does not end"),
        (b'{"a": ["\xe4"]}', "utf-8"),
    ],
)
def test_broken_files(tmp_path, chunk, text, message):
    with pytest.raises(json_stream.NotJsonError, match=message):
        read(tmp_path / "a.json", text)


def test_a_byte_order_mark(tmp_path, chunk):
    path = tmp_path / "a.json"
    (element,) = read(path, '{"a": [{"b": 1}]}'.encode("utf-8-sig"))
    assert element.value == {"b": 1}
    assert path.read_bytes()[element.start :][: element.length] == b'{"b": 1}'
    with pytest.raises(json_stream.NotJsonError, match="'{' expected at byte 0"):
        read(path, '{"a": [1]}'.encode("utf-16"))


def test_what_is_no_json_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(json_stream, "_CHUNK", 10)
    monkeypatch.setattr(json_stream, "_LONGEST", 100)
    with pytest.raises(ValueError, match="no value at byte 7"):
        read(tmp_path / "a.json", '{"a": [[' + "1, " * 1000 + "]]}")
