"""A run beside its supervised baseline."""

import json

import pytest

from wss.errors import UserError
from wss.report import baseline


def test_the_gin_file_of_the_baseline():
    for path in ("folder.gin", "gin_configs/folder.gin", "unimatch/voc_1-16.gin"):
        name = path.rsplit("/", 1)[-1]
        assert baseline.gin_file(path) == f"supervised/{name}"
    with pytest.raises(UserError, match="is a supervised baseline itself"):
        baseline.gin_file("gin_configs/supervised/folder.gin")
    with pytest.raises(UserError, match="has no supervised/mine.gin"):
        baseline.gin_file("/home/mine.gin")


def test_the_folder_of_the_baseline():
    assert baseline.folder("gin_configs/folder.gin") == "runs/folder_supervised"
    assert baseline.folder("voc_1-16.gin", "a/b/") == "a/b_supervised"
    assert baseline.folder("fixmatch/voc_1-4.gin") == "runs/voc_1-4_supervised"


def write_run(folder, mean_iou, step=20, finished=True, split="val", size=7):
    folder.mkdir(exist_ok=True)
    final = {"step": step, "split": split, "images": 12, "mean_iou": mean_iou}
    final["protocol"] = {"a": 1}
    record = {"finished": finished, "final": final}
    (folder / "run.json").write_text(json.dumps(record))
    data = {"val": {"val.tfrecord": {"bytes": size}}}
    (folder / "data.json").write_text(json.dumps(data))


def test_both_scores_in_a_sentence(tmp_path):
    run, beside = tmp_path / "run", tmp_path / "run_supervised"
    folders = str(run), str(beside)
    write_run(run, 0.615)
    assert baseline.comparison(*folders) is None
    write_run(beside, 0.57)
    assert baseline.comparison(*folders) == (
        "The unlabeled photos brought +4.5 points of mean IoU on the 12 images of val: "
        f"61.5 in {run}, 57.0 with the supervised baseline in {beside}."
    )
    write_run(beside, 0.63, step=10)
    assert "brought -1.5 points" in baseline.comparison(*folders)
    assert baseline.comparison(*folders).endswith(", after 20 and 10 steps.")
    for other in ({"finished": False}, {"split": "test"}, {"size": 8}):
        write_run(beside, 0.57, **other)
        assert baseline.comparison(*folders) is None
    assert baseline.comparison(str(run), str(run)) is None
