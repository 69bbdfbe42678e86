"""The benchmark of converters: both ways make the same records, and it reports."""

import json

import pytest

from benchmarks import convert


def test_it_compares_and_reports(tmp_path, monkeypatch, capsys):
    output = tmp_path / "convert.json"
    command = ["convert", "--num_images=8", "--repeats=1", "--workers=1"]
    monkeypatch.setattr("sys.argv", [*command, f"--output={output}"])
    convert.main()
    printed = capsys.readouterr().out
    assert printed.count("ours, 1 ") == printed.count("\noriginal ") == 2
    report = json.loads(output.read_text())
    assert sorted(report["masks"]) == ["gray", "palette"]
    for kind in report["masks"].values():
        assert sorted(kind["medians"]) == ["original", "ours, 1"]
        assert kind["medians"]["original"]["times_original"] == 1
        assert len(kind["runs"]["ours, 1"]) == 1


def test_records_that_differ_are_told(tmp_path, monkeypatch):
    items = convert.make_pictures(str(tmp_path), 2)
    monkeypatch.setattr(
        convert, "convert", lambda items, *rest, **more: convert_first(items, *rest)
    )

    def convert_first(items, output_dir):
        convert.convert_as_original(2 * items[:1], output_dir)

    with pytest.raises(RuntimeError, match="records of .*000001.* differ"):
        convert.compare_pixels(items, str(tmp_path))
