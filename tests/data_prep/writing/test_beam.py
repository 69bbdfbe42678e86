"""Writing on Apache Beam: the same files, the same reports, or what is missing."""

import sys

import pytest

from data_prep import cli
from data_prep.writer import Writer
from tests.data_prep import readers, trees
from wss.errors import UserError


@pytest.fixture
def items(tmp_path):
    """Seven items, of which the third is broken."""
    (tmp_path / "raw").mkdir()
    items = [readers.Item(name, str(tmp_path / "raw" / name)) for name in "abcdefg"]
    for item in items:
        with open(item.path, "w") as file:
            file.write("!" if item.name == "c" else item.name)
    return items


def write(folder, items, **settings):
    writer = Writer(str(folder / "out"), num_shards=3, **settings)
    writer.write_split("train", readers.SPEC, items, readers.read_file)


def test_beam_writes_the_same_files(tmp_path, items, capsys):
    pytest.importorskip("apache_beam")
    write(tmp_path / "here", items, skip_broken=True)
    told = capsys.readouterr().out
    beam = {"runner": "DirectRunner", "runner_options": ("direct_num_workers=1",)}
    with pytest.raises(UserError, match="1 of 7 images.*/c is broken.*other 6"):
        write(tmp_path / "beam", items, **beam)
    assert f"broken: The file {items[2].path} is broken." in capsys.readouterr().err
    assert not trees.shards(tmp_path / "beam" / "out", "train")
    write(tmp_path / "beam", items, skip_broken=True, **beam)
    assert trees.contents(tmp_path / "beam" / "out") == trees.contents(
        tmp_path / "here" / "out"
    )
    assert capsys.readouterr().out == told


def test_unknown_runners(tmp_path, items):
    pytest.importorskip("apache_beam")
    with pytest.raises(UserError, match="Beam does not accept --runner=Nonsense: "):
        write(tmp_path, items, runner="Nonsense")


def test_beam_is_not_installed(tmp_path, items, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    message = r"--runner=DirectRunner needs Apache Beam: pip install -e '.\[beam\]'"
    with pytest.raises(UserError, match=message):
        write(tmp_path, items, runner="DirectRunner")


def test_flags():
    arguments = cli.parser("data_prep.any", "words")
    cli.add_output(arguments)
    flags = arguments.parse_args(
        "--output_dir=a --overwrite --skip_broken --num_shards=8 --workers=3 "
        "--runner=X --runner_option=b=c --runner_option=d".split()
    )
    assert cli.writer(flags) == Writer(
        "a", True, 3, 8, True, runner="X", runner_options=("b=c", "d")
    )
    assert cli.writer(flags, "z").output_dir == "z"
    assert cli.writer(arguments.parse_args([])) == Writer(None)
    with pytest.raises(UserError, match="--runner_option needs the name"):
        cli.writer(arguments.parse_args(["--runner_option=b"]))
