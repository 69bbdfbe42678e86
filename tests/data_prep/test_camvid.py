"""CamVid in its publisher's layout and in SegNet's."""

import numpy as np
import pytest
from PIL import Image

from data_prep import camvid
from tests.data_prep import trees
from wss.data import datasets
from wss.errors import UserError

NAMES = {
    "train": ["0001TP_006690", "0001TP_008520", "0006R0_f00930", "0016E5_07920"],
    "val": ["0016E5_07959", "0016E5_08159"],
    "test": ["0001TP_008550", "Seq05VD_f00000"],
}
# Label, color and class, from `label_colors.txt` and the benchmark.
LABELS = """
    64 128 64 Animal pedestrian
    192 0 128 Archway building
    0 128 192 Bicyclist bicyclist
    0 128 64 Bridge building
    128 0 0 Building building
    64 0 128 Car car
    64 0 192 CartLuggagePram pedestrian
    192 128 64 Child pedestrian
    192 192 128 Column_Pole pole
    64 64 128 Fence fence
    128 0 192 LaneMkgsDriv road
    192 0 64 LaneMkgsNonDriv road
    128 128 64 Misc_Text sign
    192 0 192 MotorcycleScooter bicyclist
    128 64 64 OtherMoving car
    64 192 128 ParkingBlock pavement
    64 64 0 Pedestrian pedestrian
    128 64 128 Road road
    128 128 192 RoadShoulder pavement
    0 0 192 Sidewalk pavement
    192 128 128 SignSymbol sign
    128 128 128 Sky sky
    64 128 192 SUVPickupTruck car
    0 0 64 TrafficCone pole
    0 64 64 TrafficLight sign
    192 64 128 Train car
    128 128 0 Tree tree
    192 128 192 Truck_Bus car
    64 0 64 Tunnel building
    192 192 0 VegetationMisc tree
    0 0 0 Void void
    64 192 0 Wall building
""".strip().splitlines()
COLORS = np.array([line.split()[:3] for line in LABELS], np.uint8).reshape(4, 8, 3)


def save_labels(path, colors):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(colors).save(path)


@pytest.fixture
def tree(tmp_path):
    """The publisher's archives, unpacked."""
    for i, name in enumerate(name for names in NAMES.values() for name in names):
        trees.save_image(tmp_path / "701_StillsRaw_full" / f"{name}.png", 4, 8, i)
        save_labels(tmp_path / "LabeledApproved_full" / f"{name}_L.png", COLORS)
    return tmp_path


def run(monkeypatch, tree, *flags):
    monkeypatch.chdir(tree)
    monkeypatch.setattr("sys.argv", ["camvid", "--camvid_dir=.", *flags])
    camvid.main()
    return tree / "data" / "camvid"


def test_colours_become_the_classes_of_the_benchmark(monkeypatch, capsys, tree):
    out = run(monkeypatch, tree, "--split", "train", "val", "test")
    class_names = datasets.get("camvid", str(out)).class_names
    assert len(LABELS) == 32
    expected = [
        class_names.index(name) if name != "void" else 255
        for name in (line.split()[-1] for line in LABELS)
    ]
    for split, names in NAMES.items():
        assert trees.names(out, split) == names
        for example in trees.decode(out, split):
            assert example["label"].ravel().tolist() == expected
    assert (
        "val: found 2 images; the published split has 101." in capsys.readouterr().out
    )


def test_segnets_edition(monkeypatch, capsys, tmp_path):
    mask = np.arange(12).reshape(3, 4)
    for split in ("train", "val"):
        trees.save_image(tmp_path / split / "0001TP_006690.png", 3, 4)
        trees.save_mask(tmp_path / f"{split}annot" / "0001TP_006690.png", mask)
    trees.save_mask(tmp_path / "valannot" / "0001TP_006720.png", mask)
    out = run(monkeypatch, tmp_path, "--split", "train", "val")
    assert "valannot: left out 1 masks that have no image" in capsys.readouterr().out
    for split in ("train", "val"):
        (example,) = trees.decode(out, split)
        assert example["name"] == b"0001TP_006690"
        assert example["label"].ravel().tolist() == [*range(11), 255]


def test_without_masks(monkeypatch, tree):
    (tree / "LabeledApproved_full").rename(tree / "gone")
    out = run(monkeypatch, tree, "--split=test", "--unlabeled")
    assert not any(example["has_label"] for example in trees.decode(out, "test"))


@pytest.mark.parametrize(
    "remove, message",
    [
        ("701_StillsRaw_full", "no ./val. Download 701_StillsRaw_full.zip and Labeled"),
        (
            "LabeledApproved_full",
            "no ./LabeledApproved_full. Download .* http://mi.eng",
        ),
        ("701_StillsRaw_full/0016E5_0*9.png", "no images of 'val' in .. Download"),
        (
            "LabeledApproved_full/0016E5_08159_L.png",
            "1 images of the split 'val' have no mask in ./Lab.*'0016E5_08159'",
        ),
    ],
)
def test_missing_data(monkeypatch, tree, remove, message):
    for path in list(tree.glob(remove)):
        path.rename(tree / f"gone_{path.name}")
    with pytest.raises(UserError, match=message):
        run(monkeypatch, tree, "--split=val")


def test_other_images(tree):
    trees.save_image(tree / "701_StillsRaw_full" / "mine.png")
    with pytest.raises(UserError, match="an image 'mine' that is not part of CamVid"):
        camvid.find_items(str(tree), "val", False)


def test_broken_masks(tree):
    item = camvid.find_items(str(tree), "val", False)[0]
    path = tree / "LabeledApproved_full" / "0016E5_07959_L.png"
    save_labels(path, COLORS + np.uint8(1))
    with pytest.raises(UserError, match="_L.png has the color #010101, which is not"):
        camvid.read(item)
    save_labels(path.with_suffix(".jpg"), COLORS)
    path.with_suffix(".jpg").rename(path)
    with pytest.raises(UserError, match="_L.png is a JPEG, whose compression"):
        camvid.read(item)
    path.write_bytes(b"PNG")
    with pytest.raises(UserError, match="The mask .*_L.png cannot be read"):
        camvid.read(item)
    save_labels(path, COLORS[:, :5])
    with pytest.raises(UserError, match="8 x 4 pixels.*mask.* 5 x 4"):
        camvid.read(item)


def test_labels_beyond_void_in_segnets_edition(tmp_path):
    trees.save_image(tmp_path / "val" / "a.png", 2, 2)
    trees.save_mask(tmp_path / "valannot" / "a.png", np.full((2, 2), 12))
    (item,) = camvid.find_items(str(tmp_path), "val", False)
    with pytest.raises(UserError, match="a.png has the value 12, which is not a label"):
        camvid.read(item)
