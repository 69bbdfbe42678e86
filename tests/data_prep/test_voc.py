"""VOC in its publisher's layout: which mask, which images, what is missing."""

import numpy as np
import pytest

from data_prep import splits, voc
from tests.data_prep import trees
from wss import datasets
from wss.errors import UserError

MASK = np.array([[0, 20, 255], [1, 1, 0]], np.uint8)


@pytest.fixture
def tree(tmp_path):
    """Ten images; precise masks for the first five."""
    voc_dir = tmp_path / "VOCdevkit" / "VOC2012"
    names = splits.load("voc", "1-16")[:10]
    for i, name in enumerate(names):
        trees.save_image(voc_dir / "JPEGImages" / f"{name}.jpg", 2, 3, seed=i)
    for name in names[:5]:
        trees.save_mask(
            voc_dir / "SegmentationClass" / f"{name}.png", MASK, palette=True
        )
    lists = voc_dir / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("\n".join(names[:5]))
    (lists / "mine.txt").write_text("\n".join(names))
    return voc_dir, names


def run(monkeypatch, tree, *flags):
    voc_dir, _ = tree
    monkeypatch.chdir(voc_dir.parents[1])
    monkeypatch.setattr("sys.argv", ["voc", f"--voc_dir={voc_dir}", *flags])
    voc.main()
    return voc_dir.parents[1] / "data" / "voc"


def test_precise_masks_of_a_list_in_the_tree(monkeypatch, tree):
    out = run(monkeypatch, tree, "--split", "train")
    assert trees.names(out, "train") == tree[1][:5]
    for example in trees.decode(out, "train"):
        np.testing.assert_array_equal(example["label"], MASK)
    assert datasets.get("voc", str(out)).num_classes == 21


def test_augmented_masks_where_there_is_no_precise_one(monkeypatch, tree):
    voc_dir, names = tree
    for name in names:
        trees.save_mask(voc_dir / "SegmentationClassAug" / f"{name}.png", MASK * 0 + 7)
    out = run(monkeypatch, tree, "--split", "mine")
    labels = [example["label"] for example in trees.decode(out, "mine")]
    assert [label[0, 0] for label in labels] == [0] * 5 + [7] * 5


def test_sbd_masks(monkeypatch, tree):
    io = pytest.importorskip("scipy.io")
    voc_dir, names = tree
    folder = voc_dir.parents[1] / "benchmark_RELEASE" / "dataset"
    (folder / "cls").mkdir(parents=True)
    for name in names[5:]:
        content = {"Boundaries": np.zeros(3), "Segmentation": MASK % 255}
        io.savemat(folder / "cls" / f"{name}.mat", {"GTcls": content})
    out = run(monkeypatch, tree, "--split", "mine", f"--sbd_dir={folder}")
    np.testing.assert_array_equal(trees.decode(out, "mine")[9]["label"], MASK % 255)


def test_missing_masks_unless_unlabeled(monkeypatch, tree):
    with pytest.raises(UserError, match="5 images .*'mine' have no mask.*SBD.*tgz"):
        run(monkeypatch, tree, "--split", "mine")
    out = run(monkeypatch, tree, "--split", "mine", "train", "--unlabeled")
    assert len(trees.names(out, "mine")) == 10
    assert trees.manifest(out)["splits"]["mine"]["with_masks"] == 0


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--split", "1-8"), "images of the split '1-8' are not in .*JPEGImages"),
        (("--split", "1-3"), "no split '1-3' of voc. Known: .*1-8.*V_9k"),
        (("--split", "1-8", "--voc_dir=nowhere"), "VOCtrainval_11-May-2012.tar"),
    ],
)
def test_missing_data(monkeypatch, tree, flags, message):
    with pytest.raises(UserError, match=message):
        run(monkeypatch, tree, *flags)
