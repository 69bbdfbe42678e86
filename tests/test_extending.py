"""The pages about extending wss, followed to the letter in a copy of the project."""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from data_prep import shapes
from data_prep.writer import Writer

ROOT = pathlib.Path(__file__).parents[1]
TINY = (
    "CROP_SIZE = 33",
    "EVAL_CROP_SIZE = 65",
    "BATCH_SIZE = 2",
    "TRAIN_STEPS = 1",
    "MODEL_VARIANT = 'plain'",  # Of docs/add_a_backbone.md; quick to trace.
    "DeepLabV3Plus.aspp_channels = 8",
    "DeepLabV3Plus.decoder_channels = 8",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A copy with the synthetic shapes, to which each test adds its page's files."""
    folder = tmp_path_factory.mktemp("project")
    for package in ("wss", "data_prep", "gin_configs"):
        shutil.copytree(ROOT / package, folder / package)
    writer = Writer(str(folder / "data" / "shapes"))
    shapes.write(writer, 32, 2, difficulty=shapes.Difficulty(size=33))
    return folder


@pytest.fixture(scope="module")
def plain(project):
    """The gin file of the page about backbones."""
    *_, gin_file = follow(project, "add_a_backbone.md")
    return gin_file


def follow(project, page):
    """Writes the files that a page shows; returns their paths."""
    text = (ROOT / "docs" / page).read_text()
    files = re.findall(
        r"^`(\S+/\S+\.\w+)`[^`]*?:\n\n```\w*\n(.*?)^```", text, re.M | re.S
    )
    for path, content in files:
        assert not (project / path).exists()  # The page adds a file.
        (project / path).write_text(content)
    return [path for path, _ in files]


def run(project, module, *arguments):
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
    return result.stdout


def train(project, gin_file, *flags):
    bindings = [f"--gin_bindings={binding}" for binding in TINY]
    folder = f"--model_dir={project / 'runs' / pathlib.Path(gin_file).stem}"
    return run(
        project, "wss.train", f"--gin_file={gin_file}", folder, *bindings, *flags
    )


def test_a_backbone(project, plain):
    printed = train(project, plain)
    assert "step 1/1" in printed and "mIoU" in printed


@pytest.mark.usefixtures("plain")
def test_a_method(project):
    *_, gin_file = follow(project, "add_a_method.md")
    printed = train(project, gin_file, "--mode=train")
    assert re.search(r"step +1/1 .*supervised \d.*entropy \d", printed)


@pytest.mark.usefixtures("plain")
def test_augmentations(project):
    *_, gin_file = follow(project, "add_an_augmentation.md")
    assert "step 1/1" in train(project, gin_file, "--mode=train")


@pytest.mark.usefixtures("plain")
def test_a_dataset(project):
    *_, gin_file = follow(project, "add_a_dataset.md")
    colors = np.array([(0, 0, 0), (255, 255, 255), (200, 0, 0), (9, 9, 9)], np.uint8)
    random = np.random.RandomState(0)
    for split in ("train", "val", "unlabeled"):
        folder = project / "raw" / "roads" / split
        for kind in ("photos",) if split == "unlabeled" else ("photos", "masks"):
            (folder / kind).mkdir(parents=True)
            for name in "ab":
                pixels = colors[random.randint(0, 4, [33, 33])]
                Image.fromarray(pixels).save(folder / kind / f"{name}.png")
    run(project, "data_prep.roads", "--split", "train", "val", "unlabeled")
    checked = run(project, "data_prep.verify", "--data_dir=data/roads")
    assert "No problem was found." in checked and "building" in checked
    train(project, gin_file)
