"""The writer: contents, restarts and refusals."""

import numpy as np
import pytest
import tensorflow as tf

from data_prep import records, shards
from tests.data_prep import trees
from wss.data import parsing
from wss.datasets.spec import DatasetSpec
from wss.errors import UserError

SPEC = DatasetSpec("toy", ("background", "thing"))
ITEMS = ["a", "b", "c", "d", "e"]


@pytest.fixture(autouse=True)
def two_examples_per_shard(monkeypatch):
    monkeypatch.setattr(records, "_EXAMPLES_PER_SHARD", 2)


def read(item, with_mask=True):
    pixels = np.full((2, 3, 3), ord(item), np.uint8)
    mask = np.array([[0, 1, 255], [1, 1, 0]], np.uint8) if with_mask else None
    return records.Example(item, records.encode_png(pixels), "png", 2, 3, mask)


def write(folder, items=ITEMS, reader=read, options=None, **kwargs):
    writer = records.Writer(str(folder), **kwargs)
    writer.write_split("train", SPEC, items, reader, options=options)


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
    write(tmp_path, reader=lambda item: read(item, with_mask=False))
    feature = trees.examples(tmp_path, "train")[0].features.feature
    assert parsing.LABEL_ENCODED not in feature
    assert parsing.LABEL_FORMAT not in feature
    assert trees.manifest(tmp_path)["splits"]["train"]["with_masks"] == 0


def test_image_level_labels_are_sorted_and_unique():
    example = records.Example("a", b"", "png", 1, 1, class_ids=[3, 1, 3])
    record = tf.train.Example.FromString(records.serialize(example))
    ids = record.features.feature["image/class/label"].int64_list.value[:]
    assert ids == [1, 3]


def test_equal_items_make_equal_bytes(tmp_path):
    write(tmp_path / "one")
    write(tmp_path / "two")
    assert trees.contents(tmp_path / "one") == trees.contents(tmp_path / "two")


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


def test_a_finished_split_is_kept_refused_or_overwritten(tmp_path, capsys):
    write(tmp_path)
    before = trees.contents(tmp_path)
    write(tmp_path, reader=None)
    assert "already" in capsys.readouterr().out
    with pytest.raises(UserError, match="'train' is in .* already.*--overwrite"):
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
        records.Writer(str(tmp_path)).write_split("val", other, ITEMS, read)


@pytest.mark.parametrize("split", ["a/b", "", ".hidden", "a+b", "a b"])
def test_bad_names_of_splits(tmp_path, split):
    with pytest.raises(UserError, match="cannot name a split"):
        records.Writer(str(tmp_path)).write_split(split, SPEC, ITEMS, read)


def test_nothing_to_write(tmp_path):
    with pytest.raises(UserError, match="no image to write"):
        write(tmp_path, items=[])
