"""What the benchmarks of input and evaluation time, on small things."""

import numpy as np
import pytest

from benchmarks import convert, evaluation, input_pipeline


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
