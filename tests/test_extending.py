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

ROOT = pathlib.Path(__file__).parents[1]
TINY = (
    "CROP_SIZE = 33",
    "EVAL_CROP_SIZE = 65",
    "BATCH_SIZE = 2",
    "TRAIN_STEPS = 1",
    "MODEL_VARIANT = 'resnet_v1_18_quarter_beta'",
    "DeepLabV3Plus.aspp_channels = 8",
    "DeepLabV3Plus.decoder_channels = 8",
)


@pytest.fixture(scope="module")
def shapes_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shapes")
    run(
        ROOT,
        "data_prep.shapes",
        f"--output_dir={folder}",
        "--num_images=32",
        "--num_val=2",
    )
    return folder


@pytest.fixture
def project(tmp_path):
    for package in ("wss", "data_prep", "gin_configs"):
        shutil.copytree(ROOT / package, tmp_path / package)
    return tmp_path


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


def train(project, gin_file, *bindings):
    bindings = [f"--gin_bindings={binding}" for binding in (*TINY, *bindings)]
    return run(project, "wss.train", f"--gin_file={gin_file}", *bindings)


def test_a_method(project, shapes_dir):
    *_, gin_file = follow(project, "add_a_method.md")
    shutil.copytree(shapes_dir, project / "data" / "shapes")
    printed = train(project, gin_file)
    assert re.search(r"step +1/1 .*supervised \d.*entropy \d", printed)


def test_a_backbone(project, shapes_dir):
    *_, gin_file = follow(project, "add_a_backbone.md")
    shutil.copytree(shapes_dir, project / "data" / "shapes")
    train(project, gin_file, "MODEL_VARIANT = 'plain'")


def test_augmentations(project, shapes_dir):
    *_, gin_file = follow(project, "add_an_augmentation.md")
    shutil.copytree(shapes_dir, project / "data" / "shapes")
    train(project, gin_file)


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
