"""The command that shows trainings, on tiny ones."""

import json
import os
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from data_prep import shapes
from data_prep.writer import Writer
from tests import trained
from wss import eval, vis
from wss.errors import UserError

pytestmark = pytest.mark.usefixtures("plain_backbone", "eagerly")

CLASSES = ("background", "disk", "square", "triangle", "star")


def make(folder, *bindings, **options):
    trained.make(folder, "MODEL_VARIANT = 'plain'", *bindings, **options)


@pytest.fixture(scope="module")
def runs(plain_backbone, tmp_path_factory):
    """The folders of a supervised run and a PseudoSeg run."""
    folder = tmp_path_factory.mktemp("trained")
    data_dir = str(folder / "data")
    shapes.write(Writer(data_dir), 32, 6, difficulty=shapes.Difficulty(size=32))
    make(folder / "supervised", data_dir=data_dir)
    make(folder / "pseudoseg", data_dir=data_dir, gin_file="shapes.gin")
    return folder


def run(output_dir, *flags):
    return vis.main([f"--output_dir={output_dir}", *map(str, flags)])


def size(path):
    with Image.open(path) as image:
        return image.size


def test_two_trainings_side_by_side(runs, tmp_path, capsys):
    flags = ["--model_dir", runs / "supervised", runs / "pseudoseg"]
    flags += ["--names", "base <line>", "Pseudo & Seg", "--best=2", "--worst=1"]
    assert run(tmp_path, *flags, "--classes", "star", "2") == 0
    printed = capsys.readouterr().out
    page = (tmp_path / "report.html").read_text()
    assert all(name in page for name in CLASSES)
    assert "base &lt;line&gt;" in page and "<line>" not in page
    links = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert 'id="best-images"' in page and 'id="worst-images"' in page

    images = sorted(os.listdir(tmp_path / "panels"))
    assert len(images) == 3
    folder = tmp_path / "panels" / images[0]
    own = ["confidence.png", "error.png", "prediction.png"]
    own += ["prediction_square.png", "prediction_star.png"]
    assert sorted(os.listdir(folder / "base_line_")) == own
    made = {"CAM.png", "attention.png", "pseudo_label.png", "CAM_star.png"}
    assert made <= set(os.listdir(folder / "Pseudo_Seg"))
    paths = list(folder.rglob("*.png"))
    assert len(paths) == 2 + 5 + 5 + 3 + 6
    assert {size(path) for path in paths} == {(32, 32)}
    figure = 4 * 248, 26 + 3 * 248  # And a margin.
    assert size(tmp_path / "figure.png") == pytest.approx(figure, abs=15)

    # What wss.eval counts.
    assert eval.main([f"--model_dir={runs / 'pseudoseg'}"]) == 0
    metrics = json.loads((runs / "pseudoseg" / "metrics.json").read_text())
    assert f"Pseudo & Seg: mIoU {100 * metrics['mean_iou']:.2f} at step 7" in printed
    for value in metrics["class_iou"].values():
        assert value is None or f"{100 * value:.2f}" in page


def test_images_by_name(runs, tmp_path):
    flags = ["--model_dir", runs / "supervised"]
    assert run(tmp_path, *flags, "--images", "1000004", "--first", "1") == 0
    assert sorted(os.listdir(tmp_path / "panels")) == ["1000000", "1000004"]
    truth = np.asarray(Image.open(tmp_path / "panels" / "1000004" / "truth.png"))
    assert len(np.unique(truth.reshape(-1, 3), axis=0)) > 1


def test_mistakes_are_one_line(runs, tmp_path, capsys):
    supervised = runs / "supervised"
    file = tmp_path / "file"
    file.write_text("")
    other_data, other = tmp_path / "data", tmp_path / "other"
    shutil.copytree(runs / "data", other_data)
    manifest = json.loads((other_data / "dataset.json").read_text())
    manifest["class_names"][3] = "hexagon"
    (other_data / "dataset.json").write_text(json.dumps(manifest))
    make(other, "Experiment.dataset = 'folder'", data_dir=other_data)
    for flags, message in (
        (["--model_dir", supervised, "--images", "1"], "There is no image '1' in val"),
        (["--model_dir", supervised, "--classes", "cat"], "has no class 'cat'"),
        (["--model_dir", supervised, "--first=300"], "are too many"),
        (["--model_dir", supervised, supervised], "are called"),
        (["--model_dir", supervised, "--names", "a", "b"], "2 names for 1 folders"),
        (["--model_dir", supervised, other], "they differ in hexagon"),
        (["--model_dir", tmp_path], "not the folder of a run"),
    ):
        assert run(tmp_path / "out", *flags) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert run(file / "x", "--model_dir", supervised) == 2
    assert "Cannot write into" in capsys.readouterr().err
    assert not list((tmp_path / "out").iterdir())


def test_names_of_trainings():
    folders = ["runs/a", "runs/b/"]
    assert vis.name_runs(folders, []) == {"a": "runs/a", "b": "runs/b/"}
    assert list(vis.name_runs(["x/a", "y/a"], [])) == ["x/a", "y/a"]
    with pytest.raises(UserError, match="Two runs are called 'a'"):
        vis.name_runs(folders, ["a", "a"])


def test_no_two_panels_have_one_file():
    names = ["a/b", "a_b", "..", "../../etc", "a b", "\U00020000" * 200]
    parts = vis._parts_of_paths(names)
    assert parts == ["a_b", "a_b_2", "_", "_.._etc", "a_b_3", "\U00020000" * 60]
    assert max(len(f"{part}_12.png".encode()) for part in parts) <= 255


def test_what_a_user_made_stays(runs, tmp_path, capsys):
    (tmp_path / "report.html").write_text("mine")
    (tmp_path / "panels").mkdir()
    (tmp_path / "panels" / "a.png").write_text("mine")
    flags = ("--model_dir", runs / "supervised", "--first=1")
    assert run(tmp_path, *flags) == 2
    assert f"2 files in {tmp_path} would be replaced" in capsys.readouterr().err
    assert (tmp_path / "report.html").read_text() == "mine"
    assert run(tmp_path, *flags, "--overwrite") == 0
    assert "<html" in (tmp_path / "report.html").read_text()
    assert (tmp_path / "panels" / "a.png").read_text() == "mine"
    (tmp_path / "panels" / "a.png").unlink()
    assert run(tmp_path, *flags) == 0
