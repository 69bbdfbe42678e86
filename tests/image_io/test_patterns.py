"""Patterns of file names."""

import pytest

from wss.errors import UserError
from wss.image_io.patterns import Pattern


@pytest.mark.parametrize(
    "pattern, path, expected",
    [
        ("{id}", "sub/a.jpg", "sub/a"),
        ("{id}_mask", "a_mask.png", "a"),
        ("{id}_mask", "_mask.png", None),
        ("{id}_mask", "a.png", None),
        ("label_{id}", "sub/label_1.png", "sub/1"),
        ("label_{id}.png", "label_1.png", "1"),
        ("label_{id}.png", "label_1.jpg", None),
        ("{id}.png", "a.b.png", "a.b"),
        ("{id}_json/label", "x/a_json/label.png", "x/a"),
        ("{id}_json/label", "x/a_json/label_viz.png", None),
        ("gt/{id}", "gt/a.png", "a"),
        ("gt\\{id}", "x/gt/a.png", "x/a"),
        ("a.b[{id}]", "a.b[7].png", "7"),
        ("u\u0308_{id}", "\u00fc_1.png", "1"),
    ],
)
def test_ids(pattern, path, expected):
    assert Pattern(pattern).id_of(path) == expected


@pytest.mark.parametrize("text", ["", "label_", "{id}_{id}", "{ID}"])
def test_patterns_without_a_place_for_the_id(text):
    with pytest.raises(UserError, match=f"pattern '{text}' must contain {{id}} once"):
        Pattern(text)
