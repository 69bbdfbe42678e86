"""The comparison of methods: its plan, its numbers and what it writes."""

import argparse

from benchmarks import compare_methods


def flags(**options):
    defaults = dict(
        data_set="shapes",
        data_dir="data/shapes",
        ablation=False,
        rows=None,
        seeds=[0, 1],
        steps=80,
        gin_bindings=[],
        output_dir="runs/compared",
        docs="",
    )
    return argparse.Namespace(**{**defaults, **options})


def test_every_row_trains_with_every_seed_in_a_folder_of_its_own():
    trainings = compare_methods.plan(flags())
    assert len(trainings) == 2 * len(compare_methods.METHODS)
    assert len({training.model_dir for training in trainings}) == len(trainings)
    assert trainings[0].gin_file == "gin_configs/supervised/shapes.gin"
    assert "TRAIN_STEPS = 80" in trainings[0].bindings
    assert "EVAL_INTERVAL = 10" in trainings[0].bindings
    assert [training.seed for training in trainings] == 6 * [0] + 6 * [1]


def test_the_ablation_changes_pseudoseg_only():
    trainings = compare_methods.plan(
        flags(ablation=True, seeds=[3], rows=["decoder only"])
    )
    (training,) = trainings
    assert training.gin_file == "gin_configs/shapes.gin"
    assert "PseudoSeg.use_attention = False" in training.bindings
    assert "SEED = 3" in training.bindings
    rows = ["PseudoSeg"]
    unchanged = compare_methods.plan(flags(ablation=True, rows=rows))
    assert unchanged == compare_methods.plan(flags(rows=rows))


def test_the_table_has_mean_and_sample_deviation():
    rows = [
        dict(name="U2PL", last=[60.0, 62.0, 64.0], best=[65.0], seconds=[0.3, 0.1, 0.2])
    ]
    text = compare_methods.table(rows, "method")
    assert text.splitlines()[2] == "| U2PL | 62.0 ± 2.0 | 65.0 | 0.20 |"


def test_curves_are_averaged_step_by_step():
    curves = [[(10, 1.0), (20, 3.0)], [(10, 2.0), (20, 5.0)]]
    assert compare_methods.mean_curve(curves) == [(10, 1.5), (20, 4.0)]


def test_a_block_of_the_document_is_added_once_and_replaced_later():
    document = compare_methods.insert("# Results\n", "shapes", "old")
    assert document.startswith("# Results\n\n<!-- shapes -->\nold\n")
    document = compare_methods.insert(f"{document}\nWords.\n", "shapes", "new \\1")
    assert document.count("<!-- shapes -->") == 1
    assert "new \\1" in document and "old" not in document and "Words." in document
