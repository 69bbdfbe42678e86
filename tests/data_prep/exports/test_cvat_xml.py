"""CVAT's own format."""

import numpy as np
import pytest

from tests.data_prep.exports import tree
from wss.errors import UserError

POLYGON = (
    '<polygon label="car" source="manual" occluded="0" '
    'points="3.00,2.00;12.00,2.00;12.00,7.00;3.00,7.00" z_order="0"></polygon>'
)
BOX = (
    '<box label="road" source="manual" occluded="0" xtl="20.00" ytl="10.00" '
    'xbr="24.00" ybr="14.00" z_order="0"></box>'
)
# Rows 2 to 7, columns 3 to 12, without its first two pixels and its last one.
MASK = (
    '<mask label="car" source="manual" occluded="0" rle="2, 57, 1" left="3" top="2" '
    'width="10" height="6" z_order="1"></mask>'
)


def save(folder, *shapes, more=""):
    """Three images with these shapes, and one without any."""
    images = "".join(
        f'<image id="{i}" name="day/{i}.jpg" width="{tree.WIDTH}" '
        f'height="{tree.HEIGHT}">{"".join(shapes if i < 3 else ())}</image>'
        for i in range(4)
    )
    labels = "".join(f"<label><name>{n}</name></label>" for n in ("road", "car"))
    folder.mkdir(exist_ok=True)
    (folder / "annotations.xml").write_text(
        '<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>'
        f"<meta><job><labels>{labels}</labels></job></meta>{images}{more}</annotations>"
    )
    tree.save_photos(folder.parent / "photos", *(f"day/{i}" for i in range(5)))


@pytest.mark.parametrize("masks", ["export", "export/annotations.xml"])
def test_outlines(monkeypatch, capsys, tmp_path, masks):
    save(tmp_path / "export", POLYGON, BOX)
    flags = ("--images=photos", f"--masks={masks}")
    found, splits = tree.run(monkeypatch, tmp_path, *flags)
    assert tree.class_names(tmp_path) == ["background", "road", "car"]
    for i in range(3):
        np.testing.assert_array_equal(found[f"day/{i}"], tree.blocks(2, 1))
    assert splits["unlabeled"] == ["day/3", "day/4"]
    printed = capsys.readouterr().out
    assert "CVAT's outlines (export/annotations.xml): 3 of 5 photos" in printed


def test_masks_and_their_order(monkeypatch, tmp_path):
    over = POLYGON.replace("car", "road").replace('z_order="0"', 'z_order="2"')
    save(tmp_path / "export", MASK)
    flags = ("--images=photos", "--masks=export")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    expected = tree.blocks(2, 0)
    expected[2, 3:5] = expected[7, 12] = 0
    np.testing.assert_array_equal(found["day/0"], expected)
    save(tmp_path / "export", over, MASK)
    found, _ = tree.run(monkeypatch, tmp_path, *flags, "--overwrite")
    np.testing.assert_array_equal(found["day/0"], tree.blocks(1, 0))


def test_ellipses(monkeypatch, tmp_path):
    shape = '<ellipse label="car" cx="15" cy="10" rx="8" ry="4" z_order="0"></ellipse>'
    save(tmp_path / "export", shape)
    flags = ("--images=photos", "--masks=export")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    assert found["day/0"][[10, 10, 6], [8, 22, 15]].tolist() == [2, 2, 2]
    assert found["day/0"][[7, 15, 10], [8, 15, 24]].tolist() == [0, 0, 0]


def test_rotated_shapes(monkeypatch, tmp_path):
    """Clockwise about the center: 5 x 3 pixels become 3 x 5."""
    save(tmp_path / "export", BOX.replace('ybr="14.00"', 'ybr="12.00" rotation="90"'))
    flags = ("--images=photos", "--masks=export")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    rows, columns = np.nonzero(found["day/0"])
    assert (rows.min(), rows.max()) == (9, 13)
    assert (columns.min(), columns.max()) == (21, 23)
    ellipse = '<ellipse label="car" cx="15" cy="10" rx="8" ry="4" rotation="90"/>'
    save(tmp_path / "export", ellipse)
    found, _ = tree.run(monkeypatch, tmp_path, *flags, "--overwrite")
    assert found["day/0"][[10, 3, 17], [12, 15, 15]].tolist() == [2, 2, 2]
    assert found["day/0"][[10, 10], [8, 22]].tolist() == [0, 0]


def test_shapes_without_outline_are_told(monkeypatch, capsys, tmp_path):
    points = '<points label="car" points="1,1"/>'
    save(tmp_path / "export", POLYGON.replace('"car"', '" car "'), points)
    flags = ("--images=photos", "--masks=export")
    found, _ = tree.run(monkeypatch, tmp_path, *flags)
    assert tree.class_names(tmp_path) == ["background", "road", "car"]
    np.testing.assert_array_equal(found["day/0"], tree.blocks(2, 0))
    assert "left out shapes that have no outline: 3 points" in capsys.readouterr().out


@pytest.mark.parametrize(
    "shape, more, message",
    [
        (POLYGON.replace('"car"', '""'), "", "'day/0.jpg' .* has a shape without lab"),
        (POLYGON.replace('z_order="0"', 'z_order="x"'), "", "is broken"),
        (POLYGON.replace("3.00,2.00", "nan,2"), "", "a point is not a number"),
        (BOX.replace('="2', '="200'), "", "outside the photo of 30 x 20 pixels"),
        (
            POLYGON,
            f'<image id="9" name="day/0.png" width="9" height="9">{POLYGON}</image>',
            "'day/0.jpg' and 'day/0.png', but there is only one image 'day/0'",
        ),
        (
            POLYGON.replace("points", "x"),
            "",
            "'day/0.jpg' in .* is broken .*points' is miss",
        ),
        (POLYGON.replace("3.00,2.00", "3;2"), "", "cannot be drawn|is broken"),
        (MASK.replace("57", "5"), "", "runs do not fill 10 x 6 pixels"),
        (POLYGON, '<track id="0" label="car"></track>', "has tracks of a video"),
        (POLYGON, "<", "annotations.xml is damaged"),
        (
            POLYGON,
            f'<image id="9" name="x.jpg" width="9" height="9">{POLYGON}</image>',
            "1 images with outlines in .* first is 'x.jpg'",
        ),
    ],
)
def test_mistakes(monkeypatch, tmp_path, shape, more, message):
    save(tmp_path / "export", shape, more=more)
    with pytest.raises(UserError, match=message):
        tree.run(monkeypatch, tmp_path, "--images=photos", "--masks=export")
    assert not (tmp_path / "out" / "dataset.json").exists()
