"""docs/your_own_dataset.md: its commands are run as they stand there."""

import json
import pathlib
import re
import runpy
import shlex
import subprocess

import numpy as np
import pytest
from PIL import Image

from data_prep import colormaps
from tests.data_prep import trees
from wss import config, runs, train  # noqa: F401  (what gin files configure)
from wss.data.datasets.spec import DatasetSpec
from wss.training import fitting

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "your_own_dataset.md"
# Smaller settings for a quick test, from random weights.
SMALLER = (
    "TRAIN_STEPS = 2",
    "BATCH_SIZE = 2",
    "CROP_SIZE = 33",
    "EVAL_CROP_SIZE = 65",
    "MODEL_VARIANT = 'resnet_v1_18_quarter_beta'",
    "INIT_CHECKPOINT = None",
    "FROZEN_BATCH_NORM = 'none'",
)
PHOTOS, MASKS = 16, 10


def blocks(heading):
    """The code blocks under a heading of the page, indented or not."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^ *```\n(.*?)^ *```$", section, re.DOTALL | re.MULTILINE)
    assert found
    return ["\n".join(map(str.strip, block.strip().splitlines())) for block in found]


def run(monkeypatch, command):
    """Runs a shell command; our own in this process, to save the imports."""
    words = shlex.split(command.replace("\\\n", " "))
    if words[:2] != ["python", "-m"]:
        subprocess.run(command, shell=True, check=True)
        return
    monkeypatch.setattr("sys.argv", words[2:])
    try:
        runpy.run_module(words[2], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        assert not end.code, command


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Photos of different sizes, in folders; some with masks."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for i in range(PHOTOS):
        name = f"day {i % 2}/photo {i}"
        height, width = rng.integers(40, 64, 2).tolist()
        trees.save_image(tmp_path / "photos" / f"{name}.jpg", height, width, seed=i)
        if i < MASKS:
            mask = np.full((height, width), 255)
            mask[5:-5, 5:-5] = 0
            mask[10:20, 10:20], mask[25:30, 25:30] = 1, 2
            trees.save_mask(tmp_path / "masks" / f"{name}.png", mask)
    return tmp_path


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_three_commands_from_photos_to_a_model(photos, monkeypatch, capsys):
    prepare, _, train_on_it, _, predict = blocks("Three commands")
    (photos / "masks" / "labels.txt").write_text("background\nroad\nbuilding\n")
    run(monkeypatch, prepare)
    assert capsys.readouterr().out.strip().splitlines()[-3:] == [
        "Train, with crops of up to 65 pixels, and measure on 65:",
        f"{train_on_it} \\",
        "    --gin_bindings=\"DATA_DIR = 'data/mine'\"",
    ]
    bindings = [f"--gin_bindings={binding}" for binding in SMALLER]
    run(monkeypatch, f"{train_on_it} {shlex.join(bindings)}")
    run(monkeypatch, predict)
    data = photos / "data" / "mine"
    assert (data / "contact_sheet.png").exists()
    splits = {
        split: set(trees.names(data, split))
        for split in ("val", "labeled", "unlabeled")
    }
    assert {split: len(names) for split, names in splits.items()} == {
        "val": MASKS // 5,
        "labeled": MASKS - MASKS // 5,
        "unlabeled": PHOTOS - MASKS,
    }
    assert len(set().union(*splits.values())) == PHOTOS
    assert trees.manifest(data)["class_names"] == ["background", "road", "building"]
    metrics = json.loads((photos / "runs" / "folder" / "metrics.json").read_text())
    assert metrics["step"] == 2
    assert list((photos / "runs" / "folder").rglob("events.out.tfevents.*"))
    assert list((photos / "predicted").rglob("*.png"))


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_one_split_at_a_time(photos, monkeypatch):
    (photos / "classes.txt").write_text("background\nroad\nbuilding\n")
    (photos / "val.txt").write_text("day 0/photo 0\nday 1/photo 1\n")
    for command in blocks("One split at a time")[0].split("\npython"):
        run(
            monkeypatch, command if command.startswith("python") else f"python{command}"
        )
    names = {
        split: len(trees.names(photos / "data" / "mine", split))
        for split in ("val", "labeled", "unlabeled")
    }
    assert names == {"val": 2, "labeled": MASKS - 2, "unlabeled": PHOTOS - 2}


def trainings(command):
    """The flags of the wss.train commands among shell commands."""
    for line in command.replace("\\\n", " ").splitlines():
        words = shlex.split(line)
        if words[:3] == ["python", "-m", "wss.train"]:
            yield words[3:]


@pytest.mark.parametrize(
    "heading, count", [("Better models", 2), ("Photos with image-level labels", 1)]
)
def test_other_trainings_are_well_formed(heading, count):
    found = [flags for block in blocks(heading) for flags in trainings(block)]
    assert len(found) == count
    for flags in found:
        options = train._parser().parse_args(flags)
        choose = fitting.chooser([])
        config.load(options.gin_file, options.gin_bindings, choose)


def test_the_colormap(photos):
    (photos / "colors.txt").write_text(blocks("Masks")[0])
    spec = DatasetSpec("mine", ("background", "road", "building"))
    colormap = colormaps.load("colors.txt", spec)
    assert colormap.colors == (
        *((0, 0, 0, 0), (128, 64, 128, 1), (157, 234, 50, 1), (70, 70, 70, 2)),
        (255, 255, 255, 255),
    )


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
def test_the_image_level_labels(photos, monkeypatch):
    labels, commands = blocks("Photos with image-level labels")
    for name in ("a/b", "a/c"):
        trees.save_image(photos / "photos" / f"{name}.jpg")
    (photos / "tagged.txt").write_text("a/b\na/c\n")
    (photos / "labels.csv").write_text(labels)
    (photos / "classes.txt").write_text("background\nroad\nbuilding\n")
    run(monkeypatch, commands.split("\npython -m wss")[0])
    decoded = trees.decode(photos / "data" / "mine", "tagged")
    assert [example["class_ids"].tolist() for example in decoded] == [[1, 2], [0]]


def test_the_number_of_pixels_that_is_too_large():
    assert f"more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} million" in (
        PAGE.read_text().replace("\n", " ")
    )
