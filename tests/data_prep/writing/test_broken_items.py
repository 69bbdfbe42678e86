"""Images that cannot be read: all told, none lost; and disks that are full."""

import errno
import os

import pytest
import tensorflow as tf

from data_prep import writer
from data_prep.writer import Writer
from data_prep.writing import shards
from tests.data_prep import readers, trees
from wss.errors import UserError


@pytest.fixture
def items(tmp_path):
    """Ten items, two per shard; the third, fourth and eighth are broken."""
    folder = tmp_path / "raw"
    folder.mkdir()
    items = [readers.Item(name, str(folder / name)) for name in "abcdefghij"]
    for item in items:
        repair(item)
    for number in (2, 3, 7):
        break_(items[number])
    return items


def break_(item):
    with open(item.path, "w") as file:
        file.write("!")


def repair(item, text=""):
    with open(item.path, "w") as file:
        file.write(text or item.name)


def write(folder, items, reader=readers.read_file, **settings):
    writer = Writer(str(folder), num_shards=5, **settings)
    writer.write_split("train", readers.SPEC, items, reader)


def refused(folder, items, reader=readers.read_file, **settings):
    with pytest.raises(UserError) as error:
        write(folder, items, reader, **settings)
    return str(error.value)


def test_every_problem_is_told_and_nothing_published(tmp_path, items, capsys):
    out = tmp_path / "out"
    raw = tmp_path / "raw"
    assert refused(out, items) == (
        f"3 of 10 images of the split 'train' cannot be written, so {out} has "
        f"nothing of it yet. The file {raw}/c is broken. The file {raw}/d is "
        f"broken. The file {raw}/h is broken. Repair them and run the same command "
        "again, or add --skip_broken to write the other 7."
    )
    printed = capsys.readouterr().err
    for name in "cdh":
        assert f"broken: The file {raw}/{name} is broken.\n" in printed
    assert printed.count("broken: ") == 3
    assert os.listdir(out) == [".train.partial"]


def test_after_a_repair_only_shards_with_problems_are_made_again(tmp_path, items):
    out = tmp_path / "out"
    refused(out, items)
    seen = []

    def watch(item):
        seen.append(item.name)
        return readers.read_file(item)

    repair(items[2])
    assert "2 of 10 images" in refused(out, items, watch)
    assert seen == ["h", "c", "d"]  # First, whether broken items still are.
    repair(items[3])
    repair(items[7])
    seen.clear()
    write(out, items, watch)
    assert seen == ["c", "d", "g", "h"]
    write(tmp_path / "undisturbed" / "out", items)
    assert trees.contents(out) == trees.contents(tmp_path / "undisturbed" / "out")


def test_skipped_images_are_noted(tmp_path, items, capsys):
    out = tmp_path / "out"
    write(out, items, skip_broken=True)
    assert trees.names(out, "train") == list("abefgij")
    entry = trees.manifest(out)["splits"]["train"]
    assert (entry["examples"], entry["with_masks"], entry["shards"]) == (7, 7, 5)
    assert entry["skipped"] == [
        {"name": name, "reason": f"The file {tmp_path}/raw/{name} is broken."}
        for name in "cdh"
    ]
    line = "train: 7 images written (7 with masks), 3 skipped, 5 shards\n"
    assert capsys.readouterr().out == line
    write(out, items)
    assert "7 images (7 with masks), 3 skipped, 5 shards" in capsys.readouterr().out


def test_skipping_after_a_refusal_makes_the_same_bytes(tmp_path, items):
    refused(tmp_path / "one" / "out", items)
    for folder in ("one", "two"):
        write(tmp_path / folder / "out", items, skip_broken=True)
    assert trees.contents(tmp_path / "one" / "out") == trees.contents(
        tmp_path / "two" / "out"
    )


def test_what_is_made_of_other_files_is_not_used(tmp_path, items):
    out = tmp_path / "out"
    refused(out, items)
    for number in (2, 3, 7):
        repair(items[number])
    repair(items[0], "xyz")
    write(out, items)
    assert (trees.decode(out, "train")[0]["image"] == ord("x")).all()


def test_what_is_cut_off_is_not_used(tmp_path, items):
    out = tmp_path / "out"
    refused(out, items)
    shard = out / ".train.partial" / "train-00000-of-00005.tfrecord"
    shard.write_bytes(shard.read_bytes()[:-1])
    write(out, items, skip_broken=True)
    assert trees.names(out, "train") == list("abefgij")


def test_a_problem_that_went_away_by_itself(tmp_path, items):
    refused(tmp_path / "out", items)
    reader = lambda item: readers.read(item.name)  # noqa: E731  (as with a new package)
    write(tmp_path / "out", items, reader, skip_broken=True)
    assert trees.names(tmp_path / "out", "train") == list("abcdefghij")


def test_nothing_but_broken_images(tmp_path, items):
    for item in items:
        break_(item)
    message = refused(tmp_path / "out", items, skip_broken=True)
    assert message.startswith("10 of 10 images")
    assert message.endswith("Repair them and run the same command again.")
    path = tmp_path / "out" / ".train.partial" / "problems.txt"
    assert f"{path} lists all." in message
    reason = f"The file {items[9].path} is broken."
    assert path.read_text().splitlines()[9] == f"j\t{reason}"
    assert "10 of 10" in refused(tmp_path / "out", items)


def test_after_many_problems_no_more_are_shown(tmp_path, items, monkeypatch, capsys):
    monkeypatch.setattr(writer, "_SHOWN_PROBLEMS", 2)
    refused(tmp_path / "out", items)
    printed = capsys.readouterr().err
    assert printed.count("is broken.\n") == 2
    assert printed.count("broken: more, see the last message.\n") == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a full device")
def test_a_full_disk(tmp_path, items, monkeypatch):
    out = tmp_path / "out"
    places = []

    def full_from_the_fourth_on(path):
        places.append(f"{path}.{len(places)}.tmp")
        if len(places) >= 4:
            os.symlink("/dev/full", places[-1])
        return places[-1]

    with monkeypatch.context() as patch:
        patch.setattr(shards, "_temporary", full_from_the_fourth_on)
        message = refused(out, items, skip_broken=True)
    assert message == (
        f"The disk of {out} is full. No incomplete files are left. Free some space "
        "and run the same command again to resume."
    )
    assert os.listdir(out) == [".train.partial"]
    left = os.listdir(out / ".train.partial")
    assert len([name for name in left if name.endswith(".tfrecord")]) == 3
    assert not [name for name in left if name.endswith("tfrecord.3.tmp")]
    write(out, items, skip_broken=True)
    assert trees.names(out, "train") == list("abefgij")


@pytest.mark.parametrize(
    "error, message",
    [
        (OSError(errno.ENOSPC, "full"), "The disk of .* is full"),
        (PermissionError(errno.EACCES, "no"), "is not writable. Choose another"),
        (tf.errors.PermissionDeniedError(None, None, "no"), "is not writable"),
    ],
)
def test_other_troubles_of_disks(tmp_path, items, monkeypatch, error, message):
    def fail(path):
        raise error

    monkeypatch.setattr(shards.gfile, "makedirs", fail)
    with pytest.raises(UserError, match=message):
        write(tmp_path / "out", items)


@pytest.mark.parametrize("name", ["file", "file/folder"])
def test_a_folder_that_cannot_be_made(tmp_path, items, name):
    (tmp_path / "file").write_text("words")
    with pytest.raises(UserError, match="file.* cannot be created .* Choose another"):
        write(tmp_path / name, items)


def test_two_runs_at_the_same_time(tmp_path, items):
    fcntl = pytest.importorskip("fcntl")
    hidden = tmp_path / "out" / ".train.partial"
    hidden.mkdir(parents=True)
    handle = os.open(hidden, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(UserError, match="Another run is writing the split 'train'"):
        write(tmp_path / "out", items, skip_broken=True)
    os.close(handle)
    write(tmp_path / "out", items, skip_broken=True)
    assert trees.names(tmp_path / "out", "train") == list("abefgij")


def test_other_errors_stay_what_they_are(tmp_path, items, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, "a fault")

    monkeypatch.setattr(shards.gfile, "makedirs", fail)
    with pytest.raises(OSError, match="a fault"):
        write(tmp_path / "out", items)
