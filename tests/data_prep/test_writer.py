"""The writer: contents, restarts and refusals."""

import functools
import hashlib

import numpy as np
import pytest

from data_prep import writer
from data_prep.writer import Writer
from data_prep.writing import processes, shards
from tests.data_prep import trees
from tests.data_prep.readers import SPEC, read
from wss.data import parsing
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

ITEMS = ["a", "b", "c", "d", "e"]


@pytest.fixture(autouse=True)
def two_examples_per_shard(monkeypatch):
    monkeypatch.setattr(writer, "_EXAMPLES_PER_SHARD", 2)


def write(folder, items=ITEMS, reader=read, options=None, **kwargs):
    split_writer = Writer(str(folder), **kwargs)
    split_writer.write_split("train", SPEC, items, reader, options=options)


def test_records_decode_to_what_was_written(tmp_path):
    write(tmp_path, options={"seed": 3})
    decoded = trees.decode(tmp_path, "train")
    assert [example["name"].decode() for example in decoded] == ITEMS
    for item, example in zip(ITEMS, decoded):
        assert (example["image"] == ord(item)).all()
        assert example["image"].shape == (2, 3, 3)
        np.testing.assert_array_equal(example["label"], [[0, 1, 255], [1, 1, 0]])
    assert [path.name for path in trees.shards(tmp_path, "train")] == [
        f"train-0000{i}-of-00003.tfrecord" for i in range(3)
    ]
    manifest = trees.manifest(tmp_path)
    assert manifest["class_names"] == ["background", "thing"]
    entry = manifest["splits"]["train"]
    assert (entry["examples"], entry["with_masks"], entry["shards"]) == (5, 5, 3)
    assert entry["options"] == {"seed": 3}
    assert len(trees.contents(tmp_path)) == 4


def test_the_manifest_knows_the_files(tmp_path):
    write(tmp_path)
    files = trees.manifest(tmp_path)["splits"]["train"]["files"]
    paths = trees.shards(tmp_path, "train")
    assert list(files) == [path.name for path in paths]
    assert [entry["examples"] for entry in files.values()] == [1, 2, 2]
    for path in paths:
        content = path.read_bytes()
        assert files[path.name]["bytes"] == len(content)
        assert files[path.name]["sha256"] == hashlib.sha256(content).hexdigest()


def test_the_last_line_accounts_for_all_items(tmp_path, capsys):
    write(tmp_path)
    line = "train: 5 images written (5 with masks), 0 skipped, 3 shards\n"
    assert capsys.readouterr().out == line


def test_keys_are_those_of_the_original_records(tmp_path):
    write(tmp_path)
    example, *_ = trees.examples(tmp_path, "train")
    feature = example.features.feature
    assert set(feature) == {
        "image/encoded",
        "image/filename",
        "image/format",
        "image/height",
        "image/width",
        "image/channels",
        "image/segmentation/class/encoded",
        "image/segmentation/class/format",
    }
    assert feature["image/height"].int64_list.value[:] == [2]
    assert feature["image/width"].int64_list.value[:] == [3]
    assert feature["image/channels"].int64_list.value[:] == [3]
    assert feature["image/format"].bytes_list.value[:] == [b"png"]


def test_unlabeled_records_lack_the_mask_keys(tmp_path):
    write(tmp_path, reader=functools.partial(read, with_mask=False))
    feature = trees.examples(tmp_path, "train")[0].features.feature
    assert parsing.LABEL_ENCODED not in feature
    assert parsing.LABEL_FORMAT not in feature
    assert trees.manifest(tmp_path)["splits"]["train"]["with_masks"] == 0


def test_equal_items_make_equal_bytes(tmp_path):
    write(tmp_path / "one")
    write(tmp_path / "two")
    assert trees.contents(tmp_path / "one") == trees.contents(tmp_path / "two")


def test_other_processes_make_the_same_bytes(tmp_path, monkeypatch):
    items = list("abcdefghijklmnopqrstuvwxyz")
    write(tmp_path / "one", items, workers=1)
    monkeypatch.setattr(processes, "_TRIAL_SECONDS", 0.0)
    monkeypatch.setattr(processes, "_WORTH_SECONDS", 0.0)
    write(tmp_path / "two", items, workers=2)
    assert trees.contents(tmp_path / "one") == trees.contents(tmp_path / "two")
    assert len(trees.shards(tmp_path / "two", "train")) == 13


def test_the_number_of_shards_can_be_chosen(tmp_path):
    write(tmp_path, num_shards=4)
    assert [path.name for path in trees.shards(tmp_path, "train")] == [
        f"train-0000{i}-of-00004.tfrecord" for i in range(4)
    ]
    assert trees.names(tmp_path, "train") == ITEMS
    with pytest.raises(UserError, match="made from other"):
        write(tmp_path, num_shards=5)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"num_shards": 0}, "--num_shards must be between 1 and 5: .* 5 images"),
        ({"num_shards": 6}, "--num_shards must be between 1 and 5"),
    ],
)
def test_numbers_out_of_range(tmp_path, settings, message):
    with pytest.raises(UserError, match=message):
        write(tmp_path, **settings)


# Shards begin at examples 0, 1 and 3.
@pytest.mark.parametrize(
    "stop_at, goes_on_at", [(0, 0), (1, 1), (2, 1), (3, 3), (4, 3)]
)
def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(
    tmp_path, stop_at, goes_on_at
):
    write(tmp_path / "undisturbed")
    seen = []

    def stop(item):
        if item == ITEMS[stop_at]:
            raise KeyboardInterrupt
        return read(item)

    def count(item):
        seen.append(item)
        return read(item)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "stopped", reader=stop)
    assert not trees.shards(tmp_path / "stopped", "train")
    write(tmp_path / "stopped", reader=count)
    assert seen == ITEMS[goes_on_at:]
    assert trees.contents(tmp_path / "stopped") == trees.contents(
        tmp_path / "undisturbed"
    )


@pytest.mark.parametrize("moves", [1, 2, 3])
def test_a_run_stopped_while_moving_goes_on(tmp_path, monkeypatch, moves):
    write(tmp_path / "undisturbed", items=ITEMS[::-1])
    folder = tmp_path / "stopped"
    write(folder)
    rename = shards.gfile.rename
    moved = []

    def stop(source, target, overwrite=False):
        if target.startswith(str(folder / "train-")):
            moved.append(target)
            if len(moved) == moves:
                raise KeyboardInterrupt
        rename(source, target, overwrite)

    monkeypatch.setattr(shards.gfile, "rename", stop)
    with pytest.raises(KeyboardInterrupt):
        write(folder, items=ITEMS[::-1], overwrite=True)
    monkeypatch.setattr(shards.gfile, "rename", rename)
    write(folder, items=ITEMS[::-1])
    assert trees.contents(folder) == trees.contents(tmp_path / "undisturbed")


@pytest.mark.parametrize("removals", [0, 1, 2, 3])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_stopped_while_cleaning_up_has_ended(
    tmp_path, monkeypatch, removals, overwrite
):
    write(tmp_path / "undisturbed")
    folder = tmp_path / "stopped"
    rmtree = shards.gfile.rmtree

    def stop(hidden):
        paths = sorted((folder / ".train.partial").iterdir())
        for path in paths[:removals]:
            path.unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(shards.gfile, "rmtree", stop)
    with pytest.raises(KeyboardInterrupt):
        write(folder)
    assert (folder / ".train.partial").exists()
    monkeypatch.setattr(shards.gfile, "rmtree", rmtree)
    write(folder, overwrite=overwrite)
    assert trees.contents(folder) == trees.contents(tmp_path / "undisturbed")


def test_splits_written_at_the_same_time_are_all_noted(tmp_path):
    def read_while_another_writes(item):
        if item == "c":
            other = Writer(str(tmp_path))
            other.write_split("val", SPEC, ["x"], read)
        return read(item)

    write(tmp_path, reader=read_while_another_writes)
    assert sorted(trees.manifest(tmp_path)["splits"]) == ["train", "val"]


def test_a_finished_split_is_kept_refused_or_overwritten(tmp_path, capsys):
    write(tmp_path)
    before = trees.contents(tmp_path)
    capsys.readouterr()
    write(tmp_path, reader=None)
    assert capsys.readouterr().out == (
        f"train: already in {tmp_path}, 5 images (5 with masks), 0 skipped, 3 "
        "shards (--overwrite writes it again)\n"
    )
    with pytest.raises(UserError, match="'train' is already in .*--overwrite"):
        write(tmp_path, items=["x"])
    assert trees.contents(tmp_path) == before
    write(tmp_path, items=["x"], overwrite=True)
    assert trees.names(tmp_path, "train") == ["x"]
    assert len(trees.contents(tmp_path)) == 2


def test_shards_of_other_tools_are_not_overwritten(tmp_path):
    (tmp_path / "train-00000-of-00004.tfrecord").write_bytes(b"precious")
    with pytest.raises(UserError, match="--overwrite"):
        write(tmp_path)
    assert list(trees.contents(tmp_path).values()) == [b"precious"]


def test_splits_of_other_classes_do_not_mix(tmp_path):
    write(tmp_path)
    other = DatasetSpec("toy", ("background", "thing", "more"))
    with pytest.raises(UserError, match="2 classes .* have 3 classes"):
        Writer(str(tmp_path)).write_split("val", other, ITEMS, read)


def test_a_folder_whose_name_is_too_long(tmp_path):
    with pytest.raises(
        UserError, match="cannot be created .*Choose another --output_dir"
    ):
        write(tmp_path / ("x" * 300))


@pytest.mark.parametrize("split", ["a/b", "", ".hidden", "a+b", "a b", "ä" * 76])
def test_bad_names_of_splits(tmp_path, split):
    with pytest.raises(UserError, match="cannot be the name of a split"):
        Writer(str(tmp_path)).write_split(split, SPEC, ITEMS, read)


def test_nothing_to_write(tmp_path):
    with pytest.raises(UserError, match="no images to write"):
        write(tmp_path, items=[])


def read_all_but_c(item):
    if item == "c":
        raise UserError("c is broken.")
    return read(item)


def test_of_several_splits_all_are_published_or_none(tmp_path):
    splits, split_writer = {"one": ["a"], "two": ["b", "c"]}, Writer(str(tmp_path))
    with pytest.raises(UserError, match="1 of 2 images of the split 'two'.* c is br"):
        split_writer.write_splits(splits, SPEC, read_all_but_c)
    assert not trees.shards(tmp_path, "one")
    assert not (tmp_path / "dataset.json").exists()
    split_writer.write_splits(splits, SPEC, read)
    assert trees.names(tmp_path, "one") == ["a"]
    assert trees.names(tmp_path, "two") == ["b", "c"]
    assert list(trees.manifest(tmp_path)["splits"]) == ["one", "two"]
