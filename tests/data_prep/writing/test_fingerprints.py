"""A split is kept only as long as the files that it was made from are the same."""

import os
import shutil

import pytest

from data_prep.writer import Writer
from data_prep.writing import fingerprints, shards
from tests.data_prep import readers, trees
from wss.errors import UserError


@pytest.fixture
def items(tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in "abcde":
        (folder / name).write_text(name)
    return [readers.Item(name, str(folder / name)) for name in "abcde"]


def write(folder, items, **settings):
    writer = Writer(str(folder), num_shards=2, **settings)
    writer.write_split("train", readers.SPEC, items, readers.read_file)


def change(item, text, keep_date=True):
    before = os.stat(item.path)
    with open(item.path, "w") as file:
        file.write(text)
    if keep_date:
        os.utime(item.path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("keep_date", [False, True])
def test_changed_files_are_noticed(tmp_path, items, keep_date):
    out = tmp_path / "out"
    write(out, items)
    before = trees.contents(out)
    change(items[3], "x", keep_date)  # As many bytes as before.
    with pytest.raises(UserError, match="'train' have changed since .*--overwrite"):
        write(out, items)
    assert trees.contents(out) == before
    write(out, items, overwrite=True)
    images = [example["image"] for example in trees.decode(out, "train")]
    assert [chr(image[0, 0, 0]) for image in images] == list("abcxe")
    write(out, items)


def test_the_message_names_the_newest_file(tmp_path, items):
    write(tmp_path / "out", items)
    change(items[1], "x", keep_date=False)
    os.utime(items[1].path, (2e9, 2e9))
    with pytest.raises(UserError, match=f"the newest is {items[1].path}. Add"):
        write(tmp_path / "out", items)


def test_files_with_other_dates_are_the_same(tmp_path, items, capsys):
    write(tmp_path / "out", items)
    shutil.copytree(tmp_path / "raw", tmp_path / "copy")
    shutil.rmtree(tmp_path / "raw")
    (tmp_path / "copy").rename(tmp_path / "raw")
    for item in items:
        os.utime(item.path, (1, 1))
    before = trees.contents(tmp_path / "out")
    write(tmp_path / "out", items)
    assert "train: already in" in capsys.readouterr().out
    assert trees.contents(tmp_path / "out") == before


def test_a_run_that_was_stopped_while_moving_tells_of_changes(
    tmp_path, items, monkeypatch
):
    def stop(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(shards.Split, "publish", stop)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "out", items)
    change(items[0], "x")
    for _ in range(2):
        with pytest.raises(UserError, match="have changed since it was written"):
            write(tmp_path / "out", items)
    write(tmp_path / "out", items, overwrite=True)
    assert trees.decode(tmp_path / "out", "train")[0]["image"][0, 0, 0] == ord("x")


def test_splits_of_earlier_versions_are_kept(tmp_path, items, capsys):
    out = tmp_path / "out"
    write(out, items)
    manifest = trees.manifest(out)
    del manifest["splits"]["train"]["sources"]
    (out / "dataset.json").write_text(trees.json.dumps(manifest))
    change(items[0], "x")
    before = trees.contents(out)
    capsys.readouterr()
    write(out, items)
    assert trees.contents(out) == before
    line, _ = capsys.readouterr().out.splitlines()
    assert line.startswith("train: an earlier version wrote this split")
    assert line.endswith("add --overwrite.")


def test_only_files_count(tmp_path, monkeypatch):
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    for item in ("folder", ("folder", 3, None, "", "x" * 5000, "a\0b"), 7):
        assert not list(fingerprints.paths(item))
    assert fingerprints.of(("folder", 1)) == fingerprints.of(7)
    assert fingerprints.of_file(str(tmp_path)) == ""
