"""Photos in, masks out: the command and `wss.load`."""

import csv
import json
import os
import shutil
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import wss
from data_prep import folder
from tests import trained
from tests.predicting import CLASSES, contents, read, run, save_photo, turned
from wss import eval
from wss.data.datasets.spec import pascal_palette
from wss.errors import UserError
from wss.evaluation.segmenter import Segmenter
from wss.files.outputs import LIST, OutputFolder


def test_predictions_are_what_evaluation_counts(
    model_dir, tmp_path, capsys, monkeypatch
):
    """Photos: odd sizes, gray, rotated, transparent, larger than the crop."""
    photos = tmp_path / "photos"
    save_photo(str(photos / "a.jpg"), 33, 33)
    save_photo(str(photos / "odd.png"), 17, 30, seed=1)
    save_photo(str(photos / "sub" / "grey.jpg"), 21, 32, "L", seed=2)
    save_photo(str(photos / "turned.jpg"), 20, 31, seed=3, **turned())
    save_photo(str(photos / "clear.png"), 25, 25, "RGBA", seed=4)
    save_photo(str(photos / "large.jpg"), 90, 61, seed=5)
    out = tmp_path / "out"
    assert run(model_dir, [photos], out, "--probabilities") == 0
    assert "6 photos predicted, 0 left out" in capsys.readouterr().out
    assert read(out / "masks" / "turned.png").shape == (31, 20)
    assert read(out / "overlays" / "sub" / "grey.jpg").shape == (21, 32, 3)
    probabilities = np.load(out / "probabilities" / "large.npy")
    assert probabilities.shape == (90, 61, CLASSES)
    np.testing.assert_allclose(probabilities.sum(-1), 1.0, atol=5e-3)
    mask = read(out / "masks" / "large.png")
    assert len(np.unique(mask)) > 1
    shown = np.take_along_axis(probabilities, mask[..., np.newaxis], -1)[..., 0]
    np.testing.assert_allclose(shown, probabilities.max(-1), atol=1e-3)
    classes = json.loads((out / "classes.json").read_text())["classes"]
    assert classes[3] == {"id": 3, "name": "triangle", "colour": [128, 128, 0]}

    # As ground truth of the same photos, the masks are correct everywhere.
    masks, data_dir = out / "masks", tmp_path / "data"
    names = tmp_path / "names.txt"
    names.write_text("\n".join(["background", "disk", "square", "triangle", "star"]))
    arguments = [f"--images={photos}", f"--masks={masks}", f"--class_names={names}"]
    arguments += ["--split=val", f"--output_dir={data_dir}"]
    monkeypatch.setattr(sys, "argv", ["folder", *arguments])
    folder.main()
    bindings = ["Experiment.dataset = 'folder'", f"DATA_DIR = '{data_dir}'"]
    flags = [f"--gin_bindings={binding}" for binding in bindings]
    assert eval.main([f"--model_dir={model_dir}", *flags]) == 0
    metrics = json.loads((model_dir / "metrics.json").read_text())
    assert metrics["images"] == 6 and metrics["pixel_accuracy"] == 1.0


def test_masks_show_the_classes_colours(model_dir, tmp_path):
    save_photo(str(tmp_path / "a.jpg"), 33, 33)
    assert run(model_dir, [tmp_path / "a.jpg"], tmp_path / "out", "--no_overlays") == 0
    assert sorted(os.listdir(tmp_path / "out")) == [LIST, "classes.json", "masks"]
    with Image.open(tmp_path / "out" / "masks" / "a.png") as mask:
        colours = np.asarray(mask.convert("RGB"))
        ids = np.asarray(mask)
    np.testing.assert_array_equal(colours, pascal_palette(CLASSES)[ids])


def test_photos_of_more_bits_are_read_as_in_the_training(model_dir, tmp_path, capsys):
    shutil.copytree(model_dir, tmp_path / "run")
    path = tmp_path / "run" / "classes.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "image_bits": 12}))
    save_photo(str(tmp_path / "photos" / "plain.png"), 33, 33, "L")
    pixels = read(tmp_path / "photos" / "plain.png").astype(np.uint16)
    Image.fromarray(pixels << 4).save(tmp_path / "photos" / "deep.png")
    Image.fromarray(pixels << 6).save(tmp_path / "photos" / "deeper.png")
    out = tmp_path / "out"
    assert run(tmp_path / "run", [tmp_path / "photos"], out) == 0
    printed = capsys.readouterr()
    assert "2 photos predicted, 1 left out" in printed.out
    assert "deeper.png has numbers up to" in printed.err
    masks = [read(out / "masks" / f"{name}.png") for name in ("plain", "deep")]
    np.testing.assert_array_equal(*masks)


def test_a_photo_that_cannot_be_read_is_told_and_left_out(model_dir, tmp_path, capsys):
    photos = tmp_path / "photos"
    for name in ("a.jpg", "b.jpg"):
        save_photo(str(photos / name), 20, 20)
    content = (photos / "a.jpg").read_bytes()
    (photos / "broken.jpg").write_bytes(content[: len(content) // 2])
    listed = tmp_path / "list.txt"
    paths = [*sorted(photos.iterdir()), photos / ("x" * 300 + ".jpg")]
    listed.write_text("\n".join(map(str, paths)))
    out = tmp_path / "out"
    assert run(model_dir, [listed], out) == 0
    printed = capsys.readouterr()
    assert "2 photos predicted, 2 left out" in printed.out
    assert "broken.jpg cannot be read" in printed.err
    assert "File name too long" in printed.err
    assert sorted(os.listdir(out / "masks")) == ["a.png", "b.png"]
    assert run(model_dir, [photos / "broken.jpg"], out) == 2
    assert "None of the photos could be read" in capsys.readouterr().err


def test_mistakes_are_one_line(model_dir, tmp_path, capsys):
    save_photo(str(tmp_path / "a.jpg"), 20, 20)
    (tmp_path / "file").write_text("")
    for arguments, message in (
        ((model_dir, [tmp_path / "b.jpg"], tmp_path), "no image or folder"),
        ((tmp_path, [tmp_path / "a.jpg"], tmp_path), "not the folder of a run"),
        ((model_dir, [tmp_path / "a.jpg"], tmp_path / "file" / "x"), "Cannot write"),
    ):
        assert run(*arguments) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("error: ") == 1


def test_a_loaded_model_predicts_files_and_arrays(model_dir, tmp_path):
    model = wss.load(str(model_dir))
    assert model.spec.class_names[1] == "disk"
    path = str(tmp_path / "a.png")
    save_photo(path, 20, 29)
    from_file, from_array = model.predict_masks([path, read(path)])
    assert from_file.dtype == np.uint8 and from_file.shape == (20, 29)
    np.testing.assert_array_equal(from_file, from_array)
    batch = np.stack([read(path), read(path)[::-1]])
    masks = model.predict_masks(batch)
    assert masks.shape == (2, 20, 29)
    np.testing.assert_array_equal(masks[0], from_file)
    probabilities = model(batch).numpy()
    np.testing.assert_array_equal(np.argmax(probabilities, -1), masks)
    with pytest.raises(UserError, match="takes a list of photos"):
        model.predict_masks(path)


def test_an_exported_network_predicts_like_its_run(model_dir, tmp_path, capsys):
    wss.load(str(model_dir)).save(tmp_path / "model.keras")
    save_photo(tmp_path / "photo.png", 90, 70)
    flags = ["--sliding_window", "--flip", "--probabilities"]
    scores = []
    for model in (model_dir, tmp_path / "model.keras", tmp_path):
        output = tmp_path / f"of_{os.path.basename(model)}"
        assert run(model, [tmp_path / "photo.png"], output, *flags) == 0
        scores.append(np.load(output / "probabilities" / "photo.npy"))
    np.testing.assert_array_equal(scores[1], scores[0])
    np.testing.assert_array_equal(scores[2], scores[0])
    capsys.readouterr()
    assert run(tmp_path, [tmp_path / "photo.png"], tmp_path / "x", "--checkpoint=best")
    assert "--checkpoint belongs to a run" in capsys.readouterr().err


def ranking(path):
    with open(path / "ranking.csv", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_most_uncertain_photos_are_listed_first(model_dir, tmp_path, capsys):
    photos = tmp_path / "photos"
    for seed in range(12):
        save_photo(str(photos / f"{seed}.png"), 20, 20 + seed, seed=seed)
    out, plain = tmp_path / "out", tmp_path / "plain"
    assert run(model_dir, [photos], out, "--rank", "--probabilities") == 0
    printed = capsys.readouterr().out.splitlines()
    rows = ranking(out)
    assert list(rows[0]) == ["rank", "photo", "uncertainty", "entropy"]
    assert len(rows) == 12
    shown = [line.split() for line in printed[-10:]]
    assert printed[-11] == f"Most uncertain first; all are in {out}/ranking.csv:"
    assert [(one[0], one[2]) for one in shown] == [
        (row["rank"], row["photo"]) for row in rows[:10]
    ]
    values = [float(row["uncertainty"]) for row in rows]
    assert values == sorted(values, reverse=True) and values[0] > values[-1]
    for row in rows:
        name = os.path.splitext(os.path.basename(row["photo"]))[0]
        stored = np.load(out / "probabilities" / f"{name}.npy").astype(np.float64)
        entropy = -(stored * np.log(np.maximum(stored, 1e-12))).sum(-1).mean()
        assert float(row["entropy"]) == pytest.approx(
            entropy / np.log(CLASSES), abs=2e-3
        )
    assert run(model_dir, [photos], plain) == 0
    assert not (plain / "ranking.csv").exists()
    for path in (plain / "masks").iterdir():
        np.testing.assert_array_equal(read(path), read(out / "masks" / path.name))


def test_teacher_and_student_are_compared(tmp_path):
    path = tmp_path / "run"
    trained.make(path, gin_file="u2pl/shapes.gin")
    save_photo(str(tmp_path / "a.png"), 30, 30)
    assert run(path, [tmp_path / "a.png"], tmp_path / "out", "--rank") == 0
    (row,) = ranking(tmp_path / "out")
    entropy, disagreement = float(row["entropy"]), float(row["disagreement"])
    assert float(row["uncertainty"]) == pytest.approx(
        (entropy + disagreement) / 2, abs=1e-6
    )


def test_a_ranking_that_a_user_changed_stays(model_dir, tmp_path, capsys):
    save_photo(str(tmp_path / "photos" / "a.png"), 20, 20)
    arguments = (model_dir, [tmp_path / "photos"], tmp_path / "out")
    assert run(*arguments, "--rank") == 0
    written = tmp_path / "out" / "ranking.csv"
    written.write_text("mine")
    assert run(*arguments, "--rank") == 2
    assert f"the first is {written}" in capsys.readouterr().err
    assert written.read_text() == "mine" and run(*arguments) == 0


@pytest.mark.parametrize(
    "images, output, masks",
    [
        ("images", ".", ["masks/a.png"]),  # The layout in the guide.
        ("images", ".", ["masks/other.png"]),
        ("overlays", ".", []),
        ("images", ".", ["classes.json"]),
    ],
)
def test_what_a_user_made_stays(model_dir, tmp_path, capsys, images, output, masks):
    user = tmp_path / "user"
    save_photo(str(user / images / "a.jpg"), 20, 20)
    for name in masks:
        (user / name).parent.mkdir(exist_ok=True)
        (user / name).write_bytes(b"mine")
    before = contents(user)
    assert run(model_dir, [user / images], user / output) == 2
    error = capsys.readouterr().err
    first = user / output / (masks or ["overlays/a.jpg"])[0]
    assert f"the first is {first}. Choose another --output_dir, or add" in error
    assert contents(user) == before


def test_a_corrected_mask_is_only_replaced_on_demand(model_dir, tmp_path, capsys):
    save_photo(str(tmp_path / "photos" / "a.jpg"), 20, 20)
    arguments = (model_dir, [tmp_path / "photos"], tmp_path / "out")
    assert run(*arguments) == 0
    mask = tmp_path / "out" / "masks" / "a.png"
    predicted = mask.read_bytes()
    mask.write_bytes(b"corrected")
    assert run(*arguments) == 2
    assert f"changed since; the first is {mask}" in capsys.readouterr().err
    assert mask.read_bytes() == b"corrected"
    assert run(*arguments, "--overwrite") == 0
    assert mask.read_bytes() == predicted
    assert run(*arguments) == 0


def test_no_photo_is_replaced_by_its_result(model_dir, tmp_path, capsys):
    save_photo(str(tmp_path / "overlays" / "a.jpg"), 20, 20)
    before = contents(tmp_path)
    assert run(model_dir, [tmp_path / "overlays"], tmp_path, "--overwrite") == 2
    assert "would overwrite the photo" in capsys.readouterr().err
    assert contents(tmp_path) == before


def test_a_second_run_predicts_none_of_its_results(model_dir, tmp_path, capsys):
    save_photo(str(tmp_path / "a.jpg"), 20, 20)
    assert run(model_dir, [tmp_path], tmp_path) == 0
    after = contents(tmp_path)
    capsys.readouterr()
    assert run(model_dir, [tmp_path], tmp_path) == 0
    printed = capsys.readouterr().out
    assert "3 files left out (3 written by wss); the" in printed
    assert "1 photo predicted, 3 left out" in printed
    assert contents(tmp_path) == after
    listed = tmp_path / "photos.txt"
    listed.write_text(f"{tmp_path}/a.jpg\n{tmp_path}/overlays/a.jpg\n")
    assert run(model_dir, [listed], tmp_path) == 0
    assert "1 file left out (1 written by wss); the" in capsys.readouterr().out
    assert run(model_dir, [tmp_path / "masks"], tmp_path) == 2
    error = capsys.readouterr().err
    assert "no image in" in error and "(1 written by wss)" in error
    listed.unlink()
    assert contents(tmp_path) == after


def test_what_is_no_photo_is_counted(model_dir, tmp_path, capsys):
    photos = tmp_path / "photos"
    for name in ("IMG_1.JPG", "IMG_2.jpg"):
        save_photo(str(photos / name), 20, 20)
    for name in ("MOV_7.MOV", "MOV_8.MOV", "notes.md"):
        (photos / name).write_bytes(b"no photo")
    assert run(model_dir, [photos], tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert f"{photos}: 3 files left out (2 .MOV, 1 .md); the first is" in printed
    assert "2 photos predicted, 3 left out" in printed


def test_one_name_that_is_too_long_leaves_the_others(model_dir, tmp_path, capsys):
    long = "n" * 251
    save_photo(str(tmp_path / "photos" / f"{long}.jpg"), 20, 20)
    save_photo(str(tmp_path / "photos" / f"{long}.png"), 20, 20)  # Both keep endings.
    save_photo(str(tmp_path / "photos" / "z.jpg"), 20, 20)
    assert run(model_dir, [tmp_path / "photos"], tmp_path / "out") == 0
    printed = capsys.readouterr()
    assert "1 photo predicted, 2 left out" in printed.out
    assert printed.err.count("cannot be written (File name too long)") == 2
    assert os.listdir(tmp_path / "out" / "masks") == ["z.png"]


def test_a_photo_that_needs_too_much_memory_leaves_the_others(
    model_dir, tmp_path, capsys, monkeypatch
):
    original = Segmenter.predict_mask

    def predict_mask(self, image):
        if len(image) > 30:
            raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating")
        return original(self, image)

    monkeypatch.setattr(Segmenter, "predict_mask", predict_mask)
    save_photo(str(tmp_path / "in" / "large.png"), 31, 31)
    save_photo(str(tmp_path / "in" / "small.png"), 20, 20)
    assert run(model_dir, [tmp_path / "in"], tmp_path / "out") == 0
    said = capsys.readouterr()
    assert "1 photo predicted, 1 left out" in said.out
    assert "large.png needs less memory in windows (--sliding_window)" in said.err
    assert "EVAL_CROP_SIZE (now 33 x 33), and least with --tile" in said.err


def test_a_full_disk_ends_it_in_one_line(model_dir, tmp_path, capsys, monkeypatch):
    def write(self, name, content):
        raise OSError(28, "No space left on device")

    save_photo(str(tmp_path / "a.jpg"), 20, 20)
    monkeypatch.setattr(OutputFolder, "write", write)
    assert run(model_dir, [tmp_path / "a.jpg"], tmp_path / "out") == 2
    assert "(No space left on device). Make room" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [[], ["--tile"]])
def test_a_pipe_is_left_out(model_dir, tmp_path, capsys, flags):
    save_photo(str(tmp_path / "a.jpg"), 20, 20)
    os.mkfifo(tmp_path / "pipe.jpg")
    assert run(model_dir, [tmp_path], tmp_path / "out", *flags) == 0
    printed = capsys.readouterr()
    assert "1 photo predicted, 1 left out" in printed.out
    assert "pipe.jpg cannot be read (it is not a regular file)" in printed.err
