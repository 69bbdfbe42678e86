"""`python -m data_prep.<name>`: help with an example, one line for a mistake."""

import importlib

import pytest

from data_prep import cli


def run(monkeypatch, capsys, module, *flags):
    """Runs a reader; returns its exit status and what it printed."""
    monkeypatch.setattr("sys.argv", [module, *flags])
    with pytest.raises(SystemExit) as exit_info:
        cli.run(importlib.import_module(f"data_prep.{module}").main)
    return exit_info.value.code, capsys.readouterr()


@pytest.mark.parametrize(
    "module",
    ["shapes", "folder", "voc", "coco", "cityscapes", "ade20k", "camvid", "tfds"],
)
def test_help_shows_an_example(monkeypatch, capsys, module):
    status, printed = run(monkeypatch, capsys, module, "--help")
    assert status == 0
    assert f"    python -m data_prep.{module} --" in printed.out


@pytest.mark.parametrize(
    "module, flags",
    [
        ("voc", ("--split=1-8", "--voc_dir=nowhere")),
        ("coco", ("--split=1-32", "--coco_dir=nowhere")),
        ("cityscapes", ("--split=cps_1-8", "--cityscapes_dir=nowhere")),
        ("ade20k", ("--split=train", "--ade20k_dir=nowhere")),
        ("camvid", ("--split=train", "--camvid_dir=nowhere")),
        (
            "folder",
            ("--images=no", "--split=a", "--num_classes=2", "--output_dir=nowhere"),
        ),
    ],
)
def test_mistakes_are_one_line_and_status_2(monkeypatch, capsys, module, flags):
    status, printed = run(monkeypatch, capsys, module, *flags)
    assert status == 2
    (line,) = printed.err.strip().splitlines()
    assert line.startswith("error: ")


@pytest.mark.parametrize(
    "module, flag, values, words",
    [
        ("folder", "num_classes", "1 256 1000000000 2.5", "from 2 to 255"),
        ("folder", "ignore_label", "-1 256", "from 0 to 255"),
        ("folder", "max_side", "-640 640.5 x", "of at least 0"),
        ("folder", "image_bits", "7 17", "from 8 to 16"),
        ("folder", "num_shards", "0 -1 100000", "from 1 to 99999"),
        ("folder", "workers", "-1 1.5", "of at least 0"),
        ("tfds", "num_classes", "1 256", "from 2 to 255"),
        ("tfds", "ignore_label", "256", "from 0 to 255"),
        ("tfds", "offset", "1 -256", "from -255 to 0"),
        ("make_split", "count", "0 -1", "above 0"),
        ("make_split", "ignore_label", "256", "from 0 to 255"),
        ("shapes", "num_images", "31 1000001", "from 32 to 1000000"),
        ("shapes", "num_val", "0", "above 0"),
        ("shapes", "seed", "-1", "of at least 0"),
    ],
)
def test_numbers_out_of_range_are_told_at_once(
    monkeypatch, capsys, module, flag, values, words
):
    for value in values.split():
        status, printed = run(monkeypatch, capsys, module, f"--{flag}={value}")
        assert status == 2
        last = printed.err.strip().splitlines()[-1]
        assert last.endswith(
            f"error: argument --{flag}: {value}: it has to be a whole number {words}"
        )
