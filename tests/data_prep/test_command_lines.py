"""`python -m data_prep.<name>`: help with an example, one line for a mistake."""

import importlib

import pytest

from data_prep import command_line


def run(monkeypatch, capsys, module, *flags):
    """Runs a reader; returns its exit status and what it printed."""
    monkeypatch.setattr("sys.argv", [module, *flags])
    with pytest.raises(SystemExit) as exit_info:
        command_line.run(importlib.import_module(f"data_prep.{module}").main)
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
        ("shapes", ("--num_images=1", "--output_dir=nowhere")),
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
