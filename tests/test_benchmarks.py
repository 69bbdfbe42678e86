"""What the benchmarks time, on small things."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import (
    convert,
    evaluation,
    export,
    guard,
    input_pipeline,
    large_image,
    levers,
    measuring,
    prediction,
    start,
)
from wss.evaluation import segmenter


def test_a_pair_costs_what_both_take_more(capsys):
    found = {
        "labeled": {"seconds": 2.0, "cpu_seconds": 4.0},
        "labeled, weak + strong": {"seconds": 3.0, "cpu_seconds": 9.0},
    }
    input_pipeline.report(found, images=20)
    assert found["rates"]["labeled images"]["per_second"] == 10.0
    assert found["rates"]["weak + strong pairs"]["per_cpu_second"] == 4.0
    assert "| all together | 6.67 | 2.22 |" in capsys.readouterr().out


def test_the_input_that_is_timed_gives_batches(tmp_path, monkeypatch):
    monkeypatch.setattr(input_pipeline, "_PHOTOS", 4)
    input_pipeline.write_photos(str(tmp_path))
    assert len(list((tmp_path / "photos").iterdir())) == 8
    run = input_pipeline.make_input(str(tmp_path), "train", "train", 33, 2, 2)
    assert run() is None and convert.SPEC.num_classes == 21
    with pytest.raises(Exception, match="No TFRecord shards"):
        input_pipeline.make_input(str(tmp_path), "other", None, 33, 2, 2)


def test_the_evaluation_that_is_timed_predicts():
    run = evaluation.make_evaluation("resnet_v1_18_quarter_beta", (33, 49), 3, True)
    labels = run()
    assert labels.shape == (32, 48) and np.max(labels) < 3
    assert run.facts["gigaflops"] > 0.01


@pytest.mark.parametrize("window", ["whole", "sliding"])
def test_the_prediction_that_is_timed_writes_files(window, tmp_path):
    case = dict(variant="resnet_v1_18_quarter_beta", crop=33, classes=3, window=window)
    make = prediction.make_prediction
    size = prediction.parse_size("50x60")
    alone = make(str(tmp_path), size, **case, whole_way=False)
    assert alone().shape == (50, 60)
    assert [path.suffix for path in tmp_path.iterdir()] == [".jpg"]
    whole_way = make(str(tmp_path), size, **case, whole_way=True)
    assert whole_way().shape == (50, 60)
    kinds = sorted(path.name.lstrip("0123456789") for path in tmp_path.iterdir())
    assert kinds == [".jpg", "_mask.png", "_overlay.jpg"]


@pytest.mark.parametrize("name", ["wss", "keras", "savedmodel"])
def test_the_export_that_is_timed_predicts(name, tmp_path):
    variant = "resnet_v1_18_quarter_beta"
    run = export.make_exported(str(tmp_path), name, variant, 33, 3)
    labels, probabilities = run()
    assert labels.shape == (33, 33) and probabilities.shape == (33, 33, 3)
    assert (run.facts["megabytes"] > 1) == (name != "wss")


def test_a_start_has_phases(tmp_path, monkeypatch, capsys):
    small = ["--methods", "Supervised", "--variant", "resnet_v1_18_quarter_beta"]
    path = tmp_path / "start.json"
    flags = ["start", *small, "--crop", "33", "--repeats", "1", f"--output={path}"]
    monkeypatch.setattr("sys.argv", flags)
    start.main()
    (found,) = json.loads(path.read_text())["cases"].values()
    assert set(found) == set(start.PHASES.values())
    whole = found.pop("start_seconds")
    assert sum(found.values()) < whole
    assert "| Supervised |" in capsys.readouterr().out


@pytest.mark.parametrize("slow, status", [(None, 0), ("input", 1)])
def test_the_guard_compares_with_what_takes_turns(
    slow, status, tmp_path, monkeypatch, capsys
):
    def measure(make, cases, repeats):
        assert make is guard.make and repeats == 3
        case, reference = cases
        limit = guard.LIMITS[case][1]
        assert guard.LIMITS[case][0] == reference and limit > 1
        ours = 2.0 * limit * (1.01 if case == slow else 0.99)
        return {case: {"cpu_seconds": ours}, reference: {"cpu_seconds": 2.0}}

    monkeypatch.setattr(measuring, "measure", measure)
    monkeypatch.setattr(input_pipeline, "write_photos", lambda where: None)
    path = tmp_path / "guard.json"
    monkeypatch.setattr("sys.argv", ["guard", "--repeats=3", f"--output={path}"])
    assert guard.main() == status
    assert set(json.loads(path.read_text())["ratios"]) == set(guard.LIMITS)
    error = capsys.readouterr().err
    assert ("slower than LIMITS allows: input" in error) == bool(slow)


def test_what_the_guard_compares_with(tmp_path, monkeypatch):
    monkeypatch.setattr(input_pipeline, "_PHOTOS", 4)
    input_pipeline.write_photos(str(tmp_path))
    assert np.isfinite(guard.make("convolutions", str(tmp_path))()).all()
    assert guard.make("decoding", str(tmp_path))() == 4


def test_the_ways_that_are_compared_give_the_same_numbers(monkeypatch):
    monkeypatch.setattr(levers, "_SIDE", 17)
    for lever in ("cam", "pass", "atrous", "loss", "resize"):
        ours, plain = (
            levers.make(way, 3, "resnet_v1_18_quarter_beta")()
            for way in levers.WAYS[lever]
        )
        for one, other in zip(tf.nest.flatten(ours), tf.nest.flatten(plain)):
            # The gradients of "pass" are sums whose parts cancel each other.
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_large_image_in_all_formats(tmp_path):
    pixels = large_image.draw((700, 400))
    assert pixels.shape == (700, 400, 3) and pixels.std() > 10
    png, _, tiff = large_image.write(pixels, str(tmp_path))
    for path in (png, tiff):
        np.testing.assert_array_equal(segmenter.read_image(path), pixels)
    _, seconds, gigabytes = large_image.measure([sys.executable, "-c", "pass"])
    assert seconds > 0 and 1e-3 < gigabytes < 100
    with pytest.raises(RuntimeError, match="ended with status"):
        large_image.measure([sys.executable, "-c", "exit(1)"])
