"""Photos, and exports of labeling tools to write beside them."""

import json
import pathlib

import numpy as np
from PIL import Image

from data_prep import folder
from tests.data_prep import trees

HEIGHT, WIDTH = 20, 30


def save_photos(where: pathlib.Path, *names: str) -> None:
    for i, name in enumerate(names):
        trees.save_image(where / f"{name}.jpg", HEIGHT, WIDTH, seed=i)


def save_colors(path: pathlib.Path, mask: np.ndarray, colors) -> None:
    """Saves a mask in RGB, as CVAT does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.array(colors, np.uint8)[mask]).save(path)


def save_json(path: pathlib.Path, content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def blocks(first: int, second: int) -> np.ndarray:
    """A mask of 0 with two blocks: rows 2..7, columns 3..12; rows 10..14, 20..24."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[2:8, 3:13], mask[10:15, 20:25] = first, second
    return mask


def run(monkeypatch, tmp_path, *flags):
    """Writes to `out`; returns {photo: its mask or None}, and {split: photos}."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["folder", "--output_dir=out", *flags])
    folder.main()
    splits = trees.manifest(tmp_path / "out")["splits"]
    found, names = {}, {}
    for split in splits:
        decoded = trees.decode(tmp_path / "out", split)
        names[split] = [one["name"].decode() for one in decoded]
        for one in decoded:
            label = one["label"] if one["has_label"] else None
            found[one["name"].decode()] = label
    return found, names


def class_names(tmp_path):
    return trees.manifest(tmp_path / "out")["class_names"]
