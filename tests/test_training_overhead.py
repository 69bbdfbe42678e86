"""The share of the time that checkpoints and summaries take."""

import json

import pytest

from benchmarks import training_overhead
from data_prep import shapes
from data_prep.writer import Writer
from tests import trained


def test_a_cost_is_spread_over_the_steps_up_to_the_next():
    seconds = {"step": [0.1, 0.1, 0.3], "curves": [0.02], "checkpoint": [1.0, 3.0]}
    lines = training_overhead.shares(seconds, {"curves": 10, "checkpoint": 1000})
    assert lines["curves"]["share"] == pytest.approx(0.02)
    assert lines["checkpoint"]["share"] == pytest.approx(0.02)


@pytest.mark.usefixtures("plain_backbone", "eagerly")
def test_every_part_is_measured(tmp_path, capsys):
    difficulty = shapes.Difficulty(size=33)
    shapes.write(Writer(str(tmp_path)), 32, 1, difficulty=difficulty)
    bindings = [*trained.TINY, f"DATA_DIR = '{tmp_path}'", "BATCH_SIZE = 2"]
    bindings += ["MODEL_VARIANT = 'plain'"]
    flags = ["--interval=1", "--repeats=2", f"--output={tmp_path}/found.json"]
    training_overhead.main(
        ["--gin_file=supervised/shapes.gin", *flags]
        + [f"--gin_bindings={binding}" for binding in bindings]
    )
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["parts"]["checkpoint"]["interval"] == 250
    assert all(len(times) == 2 for times in found["seconds"].values())
    assert "histograms, pictures" in capsys.readouterr().out
