"""The demo's picture."""

import numpy as np
from PIL import Image

from wss import demo


def test_every_trained_model_has_a_row(tmp_path, monkeypatch):
    def predictions(model_dir):
        shade = {"runs/a": 100, "runs/b": 200}[model_dir]
        values = {"images": 10, "truths": 20, "predictions": shade}.values()
        return [[np.full((5, 7, 3), value, np.uint8)] * 3 for value in values]

    monkeypatch.setattr(demo, "_predictions", predictions)
    demo.draw(str(tmp_path / "demo.png"), {"one": "runs/a", "another": "runs/b"})
    picture = np.array(Image.open(tmp_path / "demo.png"))
    cell = demo.ZOOM * (5 + 2 * demo.GAP), demo.ZOOM * (7 + 2 * demo.GAP)
    assert picture.shape == (4 * cell[0], demo.MARGIN + 3 * cell[1], 3)
    middles = picture[cell[0] // 2 :: cell[0], demo.MARGIN + cell[1] // 2 :: cell[1]]
    assert [list(row) for row in middles[..., 0]] == [
        [10] * 3,
        [20] * 3,
        [100] * 3,
        [200] * 3,
    ]
    assert (picture[: demo.ZOOM * demo.GAP] == 255).all()
