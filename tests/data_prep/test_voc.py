"""VOC in its publisher's layout: which mask, which images, what is missing."""

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from data_prep import splits, voc
from tests.data_prep import trees
from wss.data import datasets
from wss.data import parsing as keys
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


def test_masks_that_an_editor_has_saved_again(monkeypatch, tree):
    """Viewers show the same picture, but aeroplanes have index 0."""
    voc_dir, names = tree
    path = voc_dir / "SegmentationClass" / f"{names[1]}.png"
    for order, message in (([0, 1], None), ([1, 0], "index 0 the color of class 1")):
        image = Image.fromarray(np.argsort(order)[MASK % 5 % 2].astype(np.uint8))
        image.putpalette(datasets.get("voc").palette[order].tobytes())
        image.save(path)
        if message:
            with pytest.raises(UserError, match=f"{names[1]}.png gives {message}"):
                run(monkeypatch, tree, "--split", "train", "--overwrite")
        else:
            run(monkeypatch, tree, "--split", "train")


def test_augmented_masks_where_there_is_no_precise_one(monkeypatch, tree):
    voc_dir, names = tree
    for name in names:
        trees.save_mask(voc_dir / "SegmentationClassAug" / f"{name}.png", MASK * 0 + 7)
    out = run(monkeypatch, tree, "--split", "mine")
    labels = [example["label"] for example in trees.decode(out, "mine")]
    assert [label[0, 0] for label in labels] == [0] * 5 + [7] * 5


@pytest.mark.parametrize("below", ["benchmark_RELEASE/dataset", ".", "dataset"])
def test_sbd_masks(monkeypatch, tree, below):
    folder = sbd(tree, below)
    given = folder if below == "." else tree[0].parents[1]
    out = run(monkeypatch, tree, "--split", "mine", f"--sbd_dir={given}")
    np.testing.assert_array_equal(trees.decode(out, "mine")[9]["label"], MASK % 255)


def sbd(tree, below="."):
    """Writes SBD's masks for the images without a precise one; returns their folder."""
    io = pytest.importorskip("scipy.io")
    voc_dir, names = tree
    folder = voc_dir.parents[1] / below
    (folder / "cls").mkdir(parents=True)
    for name in names[5:]:
        content = {"Boundaries": np.zeros(3), "Segmentation": MASK % 255}
        io.savemat(folder / "cls" / f"{name}.mat", {"GTcls": content})
    return folder


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "is not one of SBD's"),
        (b"MATLAB 5.0 MAT-file" + bytes(300), "is not one of SBD's"),
        ({"GTinst": 1}, "is not one of SBD's .'GTcls'"),
        ({"GTcls": {"Segmentation": "text"}}, "is not one of SBD's"),
        ({"GTcls": {"Segmentation": MASK / 2}}, "dimensions of float64"),
        ({"GTcls": {"Segmentation": MASK // 7 + 19}}, "has the value 21"),
        ({"GTcls": {"Segmentation": MASK[:1]}}, "3 x 2 pixels.*mask.* 3 x 1"),
    ],
)
def test_broken_sbd_masks(tree, content, message):
    io = pytest.importorskip("scipy.io")
    voc_dir, names = tree
    folder = sbd(tree)
    path = folder / "cls" / f"{names[9]}.mat"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        io.savemat(path, content)
    item = voc.find_items(str(voc_dir), str(folder), "mine", False)[9]
    with pytest.raises(UserError, match=message):
        voc.read(item)


@pytest.mark.parametrize("above", [0, 1, 2])
def test_the_archive_as_it_unpacks(tree, above):
    voc_dir, names = tree
    given = [voc_dir, *voc_dir.parents][above]
    items = voc.find_items(str(given), None, "train", False)
    assert [item.name for item in items] == names[:5]


@pytest.mark.parametrize("orientation", [3, 6])
def test_pictures_stay_as_they_lie_in_the_file(tree, orientation):
    """The published masks ignore EXIF orientations, and so does training."""
    voc_dir, names = tree
    path = voc_dir / "JPEGImages" / f"{names[0]}.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.open(path).save(path, exif=exif)
    item = voc.find_items(str(voc_dir), None, "train", False)[0]
    example = voc.read(item)
    assert example.image == path.read_bytes()
    assert (example.height, example.width) == MASK.shape


def test_records_as_of_the_original_tools(monkeypatch, tmp_path):
    """Images of the original's records, with masks of VOC's classes."""
    golden = pathlib.Path(__file__).parents[1] / "golden" / "voc_val_3.tfrecord"
    voc_dir = tmp_path / "VOC2012"
    expected, names = [], []
    for record in tf.data.TFRecordDataset(str(golden)):
        features = dict(tf.train.Example.FromString(record.numpy()).features.feature)
        names.append(features[keys.FILENAME].bytes_list.value[0].decode())
        mask = tf.io.decode_png(features[keys.LABEL_ENCODED].bytes_list.value[0])
        mask = mask.numpy()[..., 0] // 11 % 22
        mask[mask == 21] = 255
        path = voc_dir / "JPEGImages" / f"{names[-1]}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(features[keys.ENCODED].bytes_list.value[0])
        path = voc_dir / "SegmentationClass" / f"{names[-1]}.png"
        trees.save_mask(path, mask, palette=True)
        expected.append((features, mask))
    lists = voc_dir / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "val.txt").write_text("\n".join(names))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["voc", "--voc_dir=.", "--split=val"])
    voc.main()
    out = tmp_path / "data" / "voc"
    written = [dict(example.features.feature) for example in trees.examples(out, "val")]
    assert len(written) == 3
    for features, (original, mask) in zip(written, expected):
        encoded = features.pop(keys.LABEL_ENCODED).bytes_list.value[0]
        np.testing.assert_array_equal(tf.io.decode_png(encoded)[..., 0], mask)
        del original[keys.LABEL_ENCODED]
        assert features == original


def test_missing_masks_unless_unlabeled(monkeypatch, tree):
    with pytest.raises(UserError, match="5 images .*'mine' have no mask.*SBD.*tgz"):
        run(monkeypatch, tree, "--split", "mine")
    out = run(monkeypatch, tree, "--split", "mine", "train", "--unlabeled")
    assert len(trees.names(out, "mine")) == 10
    assert trees.manifest(out)["splits"]["mine"]["with_masks"] == 0


def test_a_list_of_file_names(monkeypatch, tree):
    own = tree[0] / "ImageSets" / "Segmentation" / "own.txt"
    own.write_text(f"{tree[1][0]}.jpg\r\n")
    with pytest.raises(
        UserError, match="own.txt must have ids: file names without folder"
    ):
        run(monkeypatch, tree, "--split", "own")


@pytest.mark.parametrize(
    "flags, message",
    [
        (("--split", "1-8"), "images of the split '1-8' are not in .*JPEGImages"),
        (("--split", "1-16_rest"), "10490 images of the split '1-16_rest' are not in"),
        (("--split", "1-3"), "no split '1-3' of voc. Known: .*1-8.*V_9k"),
        (("--split", "1-8", "--voc_dir=nowhere"), "VOCtrainval_11-May-2012.tar"),
        (("--split", "mine", "--sbd_dir=x"), "no x/cls. Download benchmark.tgz from"),
    ],
)
def test_missing_data(monkeypatch, tree, flags, message):
    with pytest.raises(UserError, match=message):
        run(monkeypatch, tree, *flags)
