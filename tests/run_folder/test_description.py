"""Folders of trainings: what their checkpoints mean, and that a refusal leaves them."""

import contextlib
import hashlib
import json
import os
import shutil

import pytest
import tensorflow as tf

from data_prep import shapes
from data_prep.writer import Writer
from tests.trained import TINY, eagerly
from wss import eval, export, predict, train, vis
from wss.data import datasets
from wss.data.datasets.spec import DatasetSpec
from wss.run_folder import checkpoints, description
from wss.training import loop

pytestmark = pytest.mark.usefixtures("plain_backbone", "eagerly")

SHORT = [
    "MODEL_VARIANT = 'plain'",
    "BATCH_SIZE = 2",
    "TRAIN_STEPS = 2",
    "CHECKPOINT_INTERVAL = 1",
]


def write_data(folder, seed=0):
    writer = Writer(str(folder), overwrite=True)
    with contextlib.redirect_stdout(None):
        difficulty = shapes.Difficulty(size=33)
        shapes.write(writer, 32, 2, seed=seed, difficulty=difficulty)
    return folder


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))


def run(data_dir, model_dir, *bindings, flags=()):
    bindings = [*TINY, *SHORT, f"DATA_DIR = '{data_dir}'", *bindings]
    bindings += ["Experiment.dataset = 'folder'"]
    return train.main(
        [
            "--gin_file=supervised/shapes.gin",
            f"--model_dir={model_dir}",
            *(f"--gin_bindings={binding}" for binding in bindings),
            *flags,
        ]
    )


@pytest.fixture(scope="module")
def finished(plain_backbone, data_dir, tmp_path_factory):
    """A run of two steps."""
    model_dir = tmp_path_factory.mktemp("runs") / "finished"
    with eagerly():
        assert run(data_dir, model_dir) == 0
    return model_dir


@pytest.fixture
def trained(finished, tmp_path):
    """A copy of the run that may be changed."""
    return shutil.copytree(finished, tmp_path / "run")


@pytest.fixture
def others(data_dir, tmp_path):
    """A copy of the run's data that may be changed."""
    return shutil.copytree(data_dir, tmp_path / "others")


def change_manifest(folder, **changes):
    path = folder / "dataset.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, **changes}))


def digest(folder):
    """Names and contents of all files below a folder."""
    return {
        os.path.join(place, name): hashlib.sha256(
            open(os.path.join(place, name), "rb").read()
        ).hexdigest()
        for place, _, names in os.walk(folder)
        for name in names
    }


@contextlib.contextmanager
def refused(capsys, folder, *parts):
    """Commands inside end with one line with these parts; the folder is unchanged."""
    before = digest(folder)
    capsys.readouterr()
    yield
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert lines and len(lines) == len(error.splitlines()), error
    for line in lines:
        for part in parts:
            assert part in line
    assert digest(folder) == before


OLD = "0 background, 1 disk, 2 square, 3 triangle, 4 star there"


@pytest.mark.parametrize(
    "changes, difference",
    [
        (
            {"class_names": ["background", "square", "disk", "triangle", "star"]},
            f"{OLD} and 0 background, 1 square, 2 disk, 3 triangle, 4 star here",
        ),
        (
            {"class_names": ["background", "disk", "square", "triangle"]},
            f"{OLD} and 0 background, 1 disk, 2 square, 3 triangle here",
        ),
        ({"ignore_label": 254}, "ignore label 255 there and 254 here"),
    ],
    ids=["order", "number", "ignore label"],
)
def test_other_classes(trained, others, capsys, changes, difference):
    change_manifest(others, **changes)
    elsewhere = f"--gin_bindings=DATA_DIR = '{others}'"
    with refused(capsys, trained, difference, "another --model_dir"):
        assert run(others, trained) == 2
        assert run(others, trained, flags=["--mode=train"]) == 2
        assert run(others, trained, flags=["--mode=eval"]) == 2
        assert eval.main([f"--model_dir={trained}", elsewhere]) == 2
        out = f"--output_dir={trained.parent / 'looks'}"
        assert vis.main([f"--model_dir={trained}", elsewhere, out]) == 2
    spec = DatasetSpec.read(str(trained / "classes.json"))
    assert spec.class_names == datasets.get("shapes").class_names


def test_one_class(others, capsys):
    change_manifest(others, class_names=["background"])
    with refused(capsys, others.parent, "has one class only, background"):
        assert run(others, others.parent / "new") == 2


def test_other_images(trained, data_dir, others, capsys):
    write_data(others, seed=1)
    elsewhere = f"--gin_bindings=DATA_DIR = '{others}'"
    with refused(capsys, trained, "val-00000-of-00001.tfrecord ", "DATA_DIR"):
        assert run(others, trained) == 2
        assert eval.main([f"--model_dir={trained}", elsewhere]) == 2
    # As advised, as a split of another name, which is then recorded.
    os.rename(
        others / "val-00000-of-00001.tfrecord", others / "new-00000-of-00001.tfrecord"
    )
    new = "--gin_bindings=EVAL_SPLIT = 'new'"
    assert eval.main([f"--model_dir={trained}", elsewhere, new]) == 0
    shutil.copy(
        data_dir / "val-00000-of-00001.tfrecord",
        others / "new-00000-of-00001.tfrecord",
    )
    with refused(capsys, trained, "new-00000-of-00001.tfrecord had "):
        assert eval.main([f"--model_dir={trained}", elsewhere, new]) == 2
    assert run(data_dir, trained) == 0  # It resumes.
    assert set(json.loads((trained / "data.json").read_text())) >= {"val", "new"}


def test_moved_images_are_the_same(trained, others):
    assert run(others, trained) == 0
    os.remove(others / "dataset.json")
    path = others / "1-32-00000-of-00001.tfrecord"
    record = description.data_record.of(str(others), ["1-32"])
    assert record == {"1-32": {path.name: {"bytes": path.stat().st_size}}}
    old = json.loads((trained / "data.json").read_text())
    assert description.data_record.differences(old, record) == []


def test_the_record_of_a_run_names_its_images(finished, data_dir):
    manifest = json.loads((data_dir / "dataset.json").read_text())
    expected = {split: manifest["splits"][split]["files"] for split in ("1-32", "val")}
    for written in expected.values():
        for entry in written.values():
            del entry["examples"]
    for path in (finished / "data.json", finished / "run.json"):
        content = json.loads(path.read_text())
        assert content.get("data", content) == expected


def test_a_checkpoint_of_another_training(trained, finished, capsys, tmp_path):
    path = trained / "classes.json"
    path.write_text(path.read_text().replace("star", "moon"))
    photos = tmp_path / "photos"
    photos.mkdir()
    shutil.copy("docs/pictures/demo.png", photos / "demo.png")
    flags = [f"--model_dir={finished}", f"--checkpoint={trained}/ckpt-2"]
    out = f"--output_dir={tmp_path / 'out'}"
    with refused(capsys, tmp_path, "4 moon there", "4 star here"):
        assert predict.main([*flags, out, f"--images={photos}"]) == 2
        assert export.main([*flags, out, "--formats", "tf1"]) == 2
        assert eval.main(flags) == 2
        assert vis.main([*flags, out]) == 2


def test_last_layers_of_other_classes(trained, data_dir, capsys):
    path = trained / "classes.json"
    path.write_text(path.read_text().replace("star", "moon"))
    bindings = [f"INIT_CHECKPOINT = '{trained}/ckpt-2'", "TRAIN_STEPS = 1"]
    last = "Experiment.initialize_last_layer = True"
    with refused(capsys, trained.parent, "4 moon there", "Leave out"):
        assert run(data_dir, trained.parent / "new", *bindings, last) == 2
    assert run(data_dir, trained.parent / "new", *bindings) == 0


DAMAGED = (b"", b"\x00" * 50, b"\x93\xff")


@pytest.mark.parametrize("name", ["classes.json", "config.gin", "data.json"])
def test_damaged_files_of_a_folder(trained, data_dir, capsys, tmp_path, name):
    out = [f"--model_dir={trained}", f"--output_dir={tmp_path / 'out'}"]
    parts = (capsys, trained, str(trained / name), "Put back a copy, or move it away")
    for content in DAMAGED:
        (trained / name).write_bytes(content)
        with refused(*parts):
            assert eval.main([f"--model_dir={trained}"]) == 2
    with refused(*parts):
        assert run(data_dir, trained) == 2
        assert vis.main(out) == 2
        if name != "data.json":
            images = "--images=docs/pictures/demo.png"
            assert predict.main([*out, images]) == 2
            assert export.main([*out, "--formats", "tf1"]) == 2
    (trained / name).unlink()
    assert run(data_dir, trained) == 0
    assert eval.main([f"--model_dir={trained}"]) == 0
    assert (trained / name).stat().st_size


def test_a_damaged_description_of_the_data(trained, others, capsys):
    elsewhere = f"--gin_bindings=DATA_DIR = '{others}'"
    out = f"--output_dir={trained.parent / 'looks'}"
    parts = (capsys, trained, f"{others}/dataset.json is ", "--overwrite")
    for content in DAMAGED:
        (others / "dataset.json").write_bytes(content)
        with refused(*parts):
            assert eval.main([f"--model_dir={trained}", elsewhere]) == 2
    with refused(*parts):
        assert run(others, trained) == 2
        assert vis.main([f"--model_dir={trained}", elsewhere, out]) == 2
    (others / "dataset.json").unlink()
    write_data(others)
    assert run(others, trained) == 0


@pytest.mark.parametrize(
    "name, size, message",
    [
        ("ckpt-2.data-00000-of-00001", 5000, "cannot be read"),
        ("ckpt-2.index", 0, "cannot be read"),
        ("weights.h5", None, "weights.h5 is no file of Keras, or a damaged one"),
        ("model.safetensors", None, "safetensors is no file of safetensors, or a"),
        ("hostile.pth", None, "hostile.pth is not read: it wants to build builtins.ev"),
        ("gone.pth", None, "gone.pth cannot be read"),
        ("notes.txt", None, "notes.txt is not a TensorFlow checkpoint"),
        ("gone", None, "There is no checkpoint"),
    ],
)
def test_a_damaged_start(trained, data_dir, capsys, monkeypatch, name, size, message):
    (trained / "weights.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    (trained / "notes.txt").write_text("hello")
    (trained / "model.safetensors").write_bytes(b"\x40" + bytes(7) + b'{"a": ')
    (trained / "hostile.pth").write_bytes(b"\x80\x04cbuiltins\neval\n(V0\ntR.")
    if size is not None:
        (trained / name).write_bytes((trained / name).read_bytes()[:size])
    built = []
    monkeypatch.setattr(loop, "build_method", built.append)
    with refused(capsys, trained.parent, message):
        given = f"INIT_CHECKPOINT = '{trained / name}'"
        assert run(data_dir, trained.parent / "new", given) == 2
    assert not built


def test_no_weight_that_fits_leaves_no_folder(data_dir, tmp_path, capsys):
    tf.train.Checkpoint(other=tf.Variable(1.0)).write(str(tmp_path / "other"))
    given = f"INIT_CHECKPOINT = '{tmp_path / 'other'}'"
    with refused(capsys, tmp_path, "No variable of the checkpoint"):
        assert run(data_dir, tmp_path / "new", given) == 2
    assert not (tmp_path / "new").exists()


def test_a_start_that_is_gone_when_a_run_goes_on(trained, data_dir):
    path = trained / "config.gin"
    text = path.read_text()
    assert "INIT_CHECKPOINT = None" in text
    path.write_text(text.replace("INIT_CHECKPOINT = None", "INIT_CHECKPOINT = 'gone'"))
    assert run(data_dir, trained, "INIT_CHECKPOINT = 'gone'") == 0


def test_a_damaged_list_of_checkpoints_names_none(trained, data_dir):
    for content in (b"", b"\x93\xff", b"model_checkpoint_path: 3"):
        (trained / "checkpoint").write_bytes(content)
        assert checkpoints.find(str(trained), "latest") == str(trained / "ckpt-2")
    assert eval.main([f"--model_dir={trained}"]) == 0
    assert run(data_dir, trained) == 0


def test_the_settings_of_a_folder_can_be_gone_on_with(trained, data_dir, capsys):
    with refused(capsys, trained, f"--gin_file={trained / 'config.gin'}"):
        assert run(data_dir, trained, "SEED = 5") == 2
    path = f"--gin_file={trained / 'config.gin'}"
    assert train.main([path, f"--model_dir={trained}"]) == 0


@pytest.mark.parametrize("name", ["run [lr=0.1]", "a*b", "a?b", "a\\b"])
def test_a_path_that_cannot_be_read_back(trained, data_dir, capsys, name):
    path = trained.parent / name
    out = f"--output_dir={path}"
    with refused(capsys, trained.parent, "part of a pattern"):
        assert run(data_dir, path) == 2
        export_flags = [f"--model_dir={trained}", out, "--formats", "tf1"]
        assert export.main(export_flags) == 2
        new = trained.parent / "new"
        assert run(data_dir, new, f"INIT_CHECKPOINT = {str(path)!r}") == 2
    trained.rename(path)
    with refused(capsys, path, "rename"):
        assert run(data_dir, path) == 2
        assert eval.main([f"--model_dir={path}"]) == 2
        assert eval.main([f"--model_dir={path}", "--continuous"]) == 2
        assert predict.main([f"--model_dir={path}", out, "--images=docs/pictures"]) == 2
    path.rename(trained)
    assert eval.main([f"--model_dir={trained}"]) == 0


def test_odd_paths_that_can_be_read_back(data_dir, tmp_path):
    folder = tmp_path / "a]b {c} d\ne, 'f' \"g\" ä%20"
    moved = shutil.copytree(data_dir, folder / "data [x] * ? \\")
    for _ in range(2):
        # Strings in gin are Python's.
        assert run("", folder / "run", f"DATA_DIR = {str(moved)!r}") == 0
    assert eval.main([f"--model_dir={folder / 'run'}"]) == 0


def test_a_rate_that_was_too_high(data_dir, tmp_path, capsys):
    flags = ["--mode=train"]
    # Intact until the checkpoint of step 2.
    slow = ["learning_rate.slow_start_steps = 2", "CHECKPOINT_INTERVAL = 2"]
    slow += ["TRAIN_STEPS = 6", "run_training.log_interval = 1"]
    high, lower = ([*slow, f"learning_rate.base = {base}"] for base in (1e30, 1e-4))
    assert run(data_dir, tmp_path / "a", *high, flags=flags) == 2
    error = capsys.readouterr().err
    assert "Train into another --model_dir with a smaller learning_rate.base" in error
    taken = error.split("until then, ")[1].split(" start from")[0].split(" and ")
    assert taken[0] == f"INIT_CHECKPOINT = '{tmp_path}/a/ckpt-2'"
    with refused(capsys, tmp_path, "learning_rate.base is"):
        assert run(data_dir, tmp_path / "a", *lower, flags=flags) == 2
    assert run(data_dir, tmp_path / "b", *taken, *lower, flags=flags) == 0
    assert run(data_dir, tmp_path / "c", *lower, flags=flags) == 0


def test_a_best_without_a_last_one(trained, data_dir, capsys):
    for path in trained.glob("ckpt-2.*"):
        path.rename(trained / path.name.replace("ckpt", "best"))
    for path in [*trained.glob("ckpt-*"), trained / "checkpoint"]:
        path.unlink()
    with refused(capsys, trained, "no ckpt-*", f"INIT_CHECKPOINT = '{trained}/best-2'"):
        assert run(data_dir, trained) == 2
    advice = [f"INIT_CHECKPOINT = '{trained}/best-2'"]
    advice += ["Experiment.initialize_last_layer = True"]
    assert run(data_dir, trained.parent / "new", *advice) == 0


def test_settings_that_cannot_be_compared(trained, data_dir, capsys):
    path = trained / "config.gin"
    assert run(data_dir, trained) == 0
    assert "warning" not in capsys.readouterr().err
    path.unlink()
    assert run(data_dir, trained) == 0
    assert f"warning: there is no {path}" in capsys.readouterr().err
    assert path.stat().st_size


def test_files_of_the_users_own(data_dir, tmp_path, capsys):
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("classes.json", "config.gin", "run.json", "metrics.json"):
        (folder / name).write_text("# my own")
        with refused(capsys, folder, f"would replace {folder / name}, ", "rename"):
            assert run(data_dir, folder) == 2
        (folder / name).rename(folder / "mine.txt")
    assert run(data_dir, folder) == 0
    # A run may replace files of earlier runs if nobody has changed them.
    for path in [*folder.glob("ckpt-*"), *folder.glob("best-*"), folder / "checkpoint"]:
        path.unlink()
    assert run(data_dir, folder, "SEED = 5") == 0
    assert (folder / "mine.txt").read_text() == "# my own"
