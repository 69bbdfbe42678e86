"""The pages about extending wss, followed to the letter in a copy of the project."""

import json
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


PAGES = ("a_backbone", "a_method", "an_augmentation", "a_dataset")
# Runs modules one after the other, so that TensorFlow is loaded once.
MODULES = """
import json, runpy, sys
import wss
import tensorflow as tf
for eagerly, module, *arguments in json.loads(sys.argv[1]):
    tf.config.run_functions_eagerly(eagerly)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
    print(end="\\f")
"""


@pytest.fixture(scope="module")
def printed(tmp_path_factory):
    """What the commands of all pages print, in a copy with the synthetic shapes.

    The method's run is a graph. The others take their steps operation by operation,
    which is quicker than to trace them.
    """
    project = tmp_path_factory.mktemp("project")
    for package in ("wss", "data_prep", "gin_configs"):
        shutil.copytree(ROOT / package, project / package)
    writer = Writer(str(project / "data" / "shapes"))
    shapes.write(writer, 32, 2, difficulty=shapes.Difficulty(size=33))
    gin_files = {page: follow(project, f"add_{page}.md") for page in PAGES}
    draw_roads(project / "raw" / "roads")
    commands = {
        "a_backbone": (True, *train(gin_files["a_backbone"])),
        "a_method": (False, *train(gin_files["a_method"], "--mode=train")),
        "an_augmentation": (True, *train(gin_files["an_augmentation"], "--mode=train")),
        "roads": (True, "data_prep.roads", "--split", "train", "val", "unlabeled"),
        "verify": (True, "data_prep.verify", "--data_dir=data/roads"),
        "a_dataset": (True, *train(gin_files["a_dataset"])),
    }
    return dict(zip(commands, run(project, list(commands.values()))))


def follow(project, page):
    """Writes the files that a page shows; returns the path of the last, a gin file."""
    text = (ROOT / "docs" / page).read_text()
    files = re.findall(
        r"^`(\S+/\S+\.\w+)`[^`]*?:\n\n```\w*\n(.*?)^```", text, re.M | re.S
    )
    for path, content in files:
        assert not (project / path).exists()  # The page adds a file.
        (project / path).write_text(content)
    return files[-1][0]


def draw_roads(folder):
    """The photos and masks of the page about data sets."""
    colors = np.array([(0, 0, 0), (255, 255, 255), (200, 0, 0), (9, 9, 9)], np.uint8)
    random = np.random.RandomState(0)
    for split in ("train", "val", "unlabeled"):
        for kind in ("photos",) if split == "unlabeled" else ("photos", "masks"):
            (folder / split / kind).mkdir(parents=True)
            for name in "ab":
                pixels = colors[random.randint(0, 4, [33, 33])]
                Image.fromarray(pixels).save(folder / split / kind / f"{name}.png")


def train(gin_file, *flags):
    """The command of a tiny run, in a folder of its own."""
    bindings = [f"--gin_bindings={binding}" for binding in TINY]
    folder = f"--model_dir=runs/{pathlib.Path(gin_file).stem}"
    return ["wss.train", f"--gin_file={gin_file}", folder, *bindings, *flags]


def run(project, commands):
    """What each command prints: whether eagerly, its module, its arguments."""
    result = subprocess.run(
        [sys.executable, "-c", MODULES, json.dumps(commands)],
        cwd=project,
        env={**os.environ, "PYTHONPATH": str(project), "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stdout[-1000:] + result.stderr[-3000:]
    return result.stdout.split("\f")[:-1]


def test_a_backbone(printed):
    assert "step 1/1" in printed["a_backbone"] and "mIoU" in printed["a_backbone"]


def test_a_method(printed):
    step = r"step +1/1 .*supervised \d.*entropy \d"
    assert re.search(step, printed["a_method"])


def test_augmentations(printed):
    assert "step 1/1" in printed["an_augmentation"]


def test_a_dataset(printed):
    assert "No problem was found." in printed["verify"]
    assert "building" in printed["verify"]
    assert "step 1/1" in printed["a_dataset"]
