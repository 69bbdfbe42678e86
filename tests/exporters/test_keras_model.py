"""wss.load reads exported files, refuses damaged ones, and runs nothing from them."""

import json
import os
import shutil
import zipfile
from unittest import mock

import numpy as np
import pytest

import wss
from tests import trained
from wss import export
from wss.errors import UserError
from wss.exporters import comparison

IMAGE = np.random.RandomState(0).randint(0, 256, [20, 30, 3]).astype(np.uint8)


@pytest.fixture(scope="module")
def exported(model_dir, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported")
    flags = [f"--model_dir={model_dir}", f"--output_dir={path}", "--formats", "keras"]
    small = mock.patch.object(comparison, "made_up_images", lambda _: [IMAGE])
    with small, trained.eagerly():
        assert export.main(flags) == 0
    return path


def copied(exported, tmp_path, *names):
    for name in ("model.keras", *names):
        shutil.copy(exported / name, tmp_path)
    return tmp_path / "model.keras"


def damaged(path):
    """Changes a byte in the middle of the weights."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewritten(path, **changes):
    """Changes entries of config.json."""
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    config = {**json.loads(contents["config.json"]), **changes}
    contents["config.json"] = json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)


def test_a_file_and_its_folder_predict_as_the_run(exported, model_dir):
    with trained.eagerly():
        expected = wss.load(str(model_dir)).predictor.probabilities(IMAGE).numpy()
        for path in (exported, exported / "model.keras"):
            loaded = wss.load(str(path))
            found = loaded.predictor.probabilities(IMAGE)
            np.testing.assert_array_equal(found, expected)
    assert loaded.spec.class_names[1] == "disk"


@pytest.mark.parametrize("sheet", ["model_card.md", "SHA256SUMS"])
def test_another_checksum_than_the_listed_one(exported, tmp_path, sheet):
    path = copied(exported, tmp_path, sheet)
    wss.load(str(path))
    damaged(path)
    with pytest.raises(UserError, match=f"not the file that {tmp_path}/{sheet} desc"):
        wss.load(str(path))


def test_a_damaged_file_alone(exported, tmp_path):
    path = copied(exported, tmp_path)
    damaged(path)
    with pytest.raises(UserError, match="is damaged, or no model.keras of wss.exp"):
        wss.load(str(path))
    os.truncate(path, 1000)
    with pytest.raises(
        UserError, match=r"\(File is not a zip file\)\. Download or exp"
    ):
        wss.load(str(path))


def test_other_files(exported, tmp_path):
    (tmp_path / "model.tflite").write_bytes(b"x")
    with pytest.raises(UserError, match="model.tflite is neither"):
        wss.load(str(tmp_path / "model.tflite"))
    with pytest.raises(UserError, match="is not the folder of a run"):
        wss.load(str(tmp_path / "nothing.keras"))


def test_a_network_of_other_weights(exported, tmp_path):
    path = copied(exported, tmp_path)
    with zipfile.ZipFile(path) as file:
        written = json.loads(file.read("config.json"))["config"]
    written["network"]["aspp_channels"] = 16
    rewritten(path, config=written)
    with pytest.raises(UserError, match="is damaged, or no model.keras"):
        wss.load(str(path))


def test_nothing_that_a_file_names_is_run(exported, tmp_path, monkeypatch):
    (tmp_path / "evil.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    path = copied(exported, tmp_path)
    evil = {"module": "evil", "class_name": "run", "config": {}}
    rewritten(path, compile_config={"optimizer": evil}, module="evil")
    assert wss.load(str(path)).spec.num_classes == 5
    rewritten(path, class_name="run")
    with pytest.raises(UserError, match="of another program, run"):
        wss.load(str(path))
