"""The demo's picture."""

import io

import numpy as np
from PIL import Image

from wss import demo


def test_every_trained_model_has_a_row(monkeypatch):
    def predictions(model_dir):
        shade = {"runs/a": 100, "runs/b": 200}[model_dir]
        values = {"images": 10, "truths": 20, "predictions": shade}.values()
        return [[np.full((5, 7, 3), value, np.uint8)] * 3 for value in values]

    monkeypatch.setattr(demo, "_predictions", predictions)
    drawn = demo.draw({"one": "runs/a", "another": "runs/b"})
    picture = np.array(Image.open(io.BytesIO(drawn)))
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


def test_a_picture_of_the_users_own_stays(tmp_path, monkeypatch, capsys):
    commands = []
    monkeypatch.setattr(demo, "_run", lambda *command: commands.append(command))
    monkeypatch.setattr(demo, "draw", lambda model_dirs: b"drawn")
    monkeypatch.setattr(demo, "_table", lambda model_dirs: "")
    flags = [f"--output_dir={tmp_path}"]
    path = tmp_path / "demo.png"
    path.write_bytes(b"mine")
    assert demo.main(flags) == 2
    assert f"{path}. Choose another --output_dir" in capsys.readouterr().err
    assert path.read_bytes() == b"mine" and not commands
    assert demo.main([*flags, "--overwrite"]) == 0
    assert path.read_bytes() == b"drawn"
    monkeypatch.setattr(demo, "draw", lambda model_dirs: b"anew")
    assert demo.main(flags) == 0  # Its own figure.
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("next     your own photos") and ".[imagenet]" in last
    assert path.read_bytes() == b"anew"
