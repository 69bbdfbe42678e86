"""Data sets of TensorFlow Datasets: a tiny one, prepared in a temporary folder."""

import pathlib
import shutil

import numpy as np
import pytest
import tensorflow_datasets

from data_prep import tfds, tfds_reader
from tests.data_prep import trees
from wss.data import datasets
from wss.errors import UserError

HEIGHT, WIDTH, COUNT = 4, 5, 11
features = tensorflow_datasets.features


def labels_of(seed):
    return np.random.default_rng(seed).integers(0, 3, (HEIGHT, WIDTH, 1), np.uint8)


class TinyPets(tensorflow_datasets.core.GeneratorBasedBuilder):
    """Images, and their masks in all kinds of features."""

    VERSION = tensorflow_datasets.core.Version("1.2.0")
    SKIP_REGISTERING = False

    def _info(self):
        gray = (None, None, 1)
        return tensorflow_datasets.core.DatasetInfo(
            builder=self,
            features=features.FeaturesDict(
                {
                    "image": features.Image(shape=(None, None, 3)),
                    "number": features.Scalar(np.int32),
                    "file_name": features.Text(),
                    "trimap": features.Image(shape=gray),
                    "yes_no": features.Image(shape=gray),
                    "wide": features.Image(shape=gray, dtype=np.uint16),
                    "triple": features.Image(shape=(None, None, 3)),
                    "depth": features.Tensor(shape=(HEIGHT, WIDTH), dtype=np.float32),
                    "below": {
                        "named": features.LabeledImage(
                            labels=["sky", "cat", "dog"], shape=gray
                        ),
                        "numbers": features.Tensor(
                            shape=(HEIGHT, WIDTH, 1), dtype=np.int64
                        ),
                    },
                }
            ),
        )

    def _split_generators(self, download_manager):
        return {
            "train": self._generate_examples(COUNT),
            "test": self._generate_examples(2),
        }

    def _generate_examples(self, count):
        for i in range(count):
            labels = labels_of(i)
            pixels = np.full((HEIGHT, WIDTH, 3), i, np.uint8)
            yield i, {
                "image": pixels,
                "number": i,
                "file_name": f"pets/{i}.jpg",
                "trimap": labels + 1,
                "yes_no": (labels == 1) * np.uint8(255),
                "wide": labels.astype(np.uint16) * 300,
                "triple": np.repeat(labels, 3, axis=-1),
                "depth": labels[..., 0].astype(np.float32),
                "below": {"named": labels, "numbers": labels.astype(np.int64)},
            }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    TinyPets(data_dir=str(folder)).download_and_prepare()
    return folder


def run(monkeypatch, tmp_path, prepared, *flags):
    monkeypatch.chdir(tmp_path)
    command = ["tfds", "--output_dir=out", "--workers=1", f"--tfds_dir={prepared}"]
    command += flags
    if not any(flag.startswith("--builder=") for flag in flags):
        command.append("--builder=tiny_pets:1.*.*")
    if not any(flag.startswith("--builder_split=") for flag in flags):
        command.append("--builder_split=train")
    monkeypatch.setattr("sys.argv", command)
    tfds.main()
    return tmp_path / "out"


def check(out, split, expected, count=COUNT):
    """Compares each record to the picture of its name."""
    examples = trees.decode(out, split)
    assert len(examples) == count
    numbers = set()
    for example in examples:
        number = int(pathlib.PurePath(example["name"].decode()).name)
        numbers.add(number)
        assert (example["image"] == number).all()
        np.testing.assert_array_equal(
            example["label"], expected(labels_of(number)[..., 0].astype(int))
        )
    assert len(numbers) == count


def test_what_fits_is_found(monkeypatch, tmp_path, prepared):
    flags = ("--image=image", "--split=labeled")
    out = run(monkeypatch, tmp_path, prepared, *flags)
    check(out, "labeled", lambda labels: labels)
    assert sorted(trees.names(out, "labeled"))[:2] == ["pets/0", "pets/1"]
    assert datasets.get("folder", str(out)).class_names == ("sky", "cat", "dog")
    options = trees.manifest(out)["splits"]["labeled"]["options"]
    assert options["source"] == "TensorFlow Datasets tiny_pets/1.2.0"
    assert options["mask"] == "below/named"


@pytest.mark.parametrize(
    "flags, expected",
    [
        (("--mask=trimap", "--offset=-1"), lambda labels: labels),
        (
            ("--mask=below/named", "--offset", "-1"),
            lambda labels: np.where(labels == 0, 255, labels - 1),
        ),
        (
            ("--mask=trimap", "--offset=-1", "--num_classes=2", "--map", "3=ignore"),
            lambda labels: np.choose(labels, [0, 1, 255]),
        ),
        (("--mask=below/numbers",), lambda labels: labels),
        (("--mask=triple",), lambda labels: labels),
        (
            ("--mask=wide", "--map", "0=ignore", "300=0", "301-600=1"),
            lambda labels: np.choose(labels, [255, 0, 1]),
        ),
        (
            ("--mask=trimap", "--map", "1=1", "--map", "2=0", "--map", "3=ignore"),
            lambda labels: np.choose(labels, [1, 0, 255]),
        ),
        (("--mask=yes_no", "--map", "255=1"), lambda labels: labels == 1),
        (
            ("--mask=yes_no", "--ignore_label=254", "--map", "255=2"),
            lambda labels: (labels == 1) * 2,
        ),
    ],
)
def test_labels_become_class_ids(monkeypatch, tmp_path, prepared, flags, expected):
    image = ("--image=image", "--num_classes=3")
    out = run(monkeypatch, tmp_path, prepared, *image, *flags)
    check(out, "train", expected)


def test_names_move_with_the_offset(monkeypatch, tmp_path, prepared):
    out = run(monkeypatch, tmp_path, prepared, "--image=image", "--offset=-1")
    assert datasets.get("folder", str(out)).class_names == ("cat", "dog")


def test_without_masks_and_from_a_folder(monkeypatch, tmp_path, prepared):
    flags = ("--unlabeled", "--num_classes=3", "--image=image", "--builder_split=test")
    folder = prepared / "tiny_pets" / "1.2.0"
    out = run(monkeypatch, tmp_path, prepared, *flags, f"--builder={folder}")
    assert not any(example["has_label"] for example in trees.decode(out, "test"))
    assert len(trees.names(out, "test")) == 2


def test_slices(monkeypatch, tmp_path, prepared):
    shared = ("--image=image", "--split=a", "--overwrite")
    out = run(monkeypatch, tmp_path, prepared, *shared)
    everything = trees.names(out, "a")
    for text, expected in (
        ("train[:3]", everything[:3]),
        ("train[-2:]", everything[-2:]),
        ("train[9:]+train[:1]", everything[9:] + everything[:1]),
    ):
        run(monkeypatch, tmp_path, prepared, *shared, f"--builder_split={text}")
        assert trees.names(out, "a") == expected
    with pytest.raises(UserError, match="no images to write"):
        run(monkeypatch, tmp_path, prepared, *shared, "--builder_split=train[:0]")


@pytest.mark.parametrize(
    "flags, message",
    [
        (
            (),
            "has 2 features that could be the image.*--image: .*image .Image, .None",
        ),
        (("--image=photo",), "no feature 'photo'. Choose one with --image: .*trimap"),
        (
            ("--image=image", "--mask=mask"),
            "no feature 'mask'. Choose one with --mask: .*below/named .LabeledImage",
        ),
        (("--image=image", "--mask=trimap"), "Add --num_classes=N, or --class_names"),
        (("--image=image", "--map", "0=1", "0=2"), "is already mapped"),
        (
            ("--image=image", "--offset=-1", "--map", "2=0"),
            "is already mapped",
        ),
        (
            ("--image=image", "--mask=yes_no", "--num_classes=2"),
            "'yes_no' have only 0 and 255.*--map 255=1",
        ),
        (
            ("--image=image", "--mask=trimap", "--num_classes=3"),
            r"mask train\[\d+\] of .*1.2.0 has the value 3 .*--map 3=CLASS",
        ),
        (
            ("--image=image", "--mask=depth", "--num_classes=3"),
            "shape .4, 5. and type float32, not one integer per pixel",
        ),
        (
            ("--image=image", "--mask=number", "--num_classes=3"),
            "shape .. and type int32, not one integer per pixel",
        ),
        (
            ("--image=depth",),
            "image .* has shape .4, 5. and type float32, not thr",
        ),
        (("--builder_split=val",), "no split 'val' in the data set.*has: .*train"),
        (("--builder=no_such_pets",), "no data set 'no_such_pets' .*catalog"),
        (("--builder=tiny_pets:7.0.0",), "no data set 'tiny_pets:7.0.0' .*only: 1.2.0"),
    ],
)
def test_mistakes(monkeypatch, tmp_path, prepared, flags, message):
    if "--builder_split=val" in flags:
        flags = ("--image=image", *flags)
    with pytest.raises(UserError, match=message):
        run(monkeypatch, tmp_path, prepared, *flags)
    assert not (tmp_path / "out" / "dataset.json").exists()


def test_data_that_cannot_be_prepared(monkeypatch, tmp_path):
    def fail(self):
        raise AssertionError("Manual download required.\n  Go to a page.")

    monkeypatch.setattr(TinyPets, "download_and_prepare", fail)
    with pytest.raises(
        UserError, match="'tiny_pets': Manual download requ.* Go to a p"
    ):
        run(monkeypatch, tmp_path, tmp_path, "--builder=tiny_pets")


def test_data_that_were_prepared_anew(monkeypatch, tmp_path, prepared, capsys):
    folder = tmp_path / "copy"
    shutil.copytree(prepared / "tiny_pets" / "1.2.0", folder)
    flags = (f"--builder={folder}", "--image=image", "--split=a")
    parts = [*flags, "--builder_split=train[:2]+train[4:5]"]
    run(monkeypatch, tmp_path, prepared, *parts)
    run(monkeypatch, tmp_path, prepared, *parts)
    assert "a: already in out" in capsys.readouterr().out
    path = next(folder.glob("*train.tfrecord*"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # As many bytes as before.
    path.write_bytes(content)
    with pytest.raises(UserError, match="made from other images or options"):
        run(monkeypatch, tmp_path, prepared, *parts)


@pytest.mark.parametrize("far", [0, 2, 500])
def test_examples_in_any_order(monkeypatch, prepared, far):
    monkeypatch.setattr(tfds_reader, "_FAR", far)
    folder = str(prepared / "tiny_pets" / "1.2.0")
    source = tfds_reader.Source(folder, "image", None, "number")
    reader = tfds_reader.Reader(source)
    in_order = [reader.example("train", i)["number"] for i in range(COUNT)]
    assert sorted(in_order) == list(range(COUNT))
    for index in (10, 0, 3, 4, 4, 9, 2):
        assert reader.example("train", index)["number"] == in_order[index]
    assert len({reader.example("test", i)["number"] for i in (1, 0)}) == 2
    with pytest.raises(UserError, match=r"train\[11\] of .*1.2.0 cannot be read"):
        reader.example("train", COUNT)
    assert reader.example("train", 1)["number"] == in_order[1]


def test_damaged_files(monkeypatch, tmp_path, prepared):
    folder = tmp_path / "copy"
    for path in (prepared / "tiny_pets" / "1.2.0").iterdir():
        folder.mkdir(exist_ok=True)
        content = path.read_bytes()
        if ".tfrecord" in path.name:
            content = content[: len(content) // 2]
        (folder / path.name).write_bytes(content)
    with pytest.raises(UserError, match=r"train\[\d+\] of .*copy cannot be read"):
        run(monkeypatch, tmp_path, prepared, f"--builder={folder}", "--image=image")
