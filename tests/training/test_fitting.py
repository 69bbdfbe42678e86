"""Settings that fit the machine and the photos."""

import pytest
import tensorflow as tf

from tests import trained
from tests.data import records
from wss import config, runs  # noqa: F401  (what gin files configure)
from wss.config_changes import macros
from wss.errors import UserError
from wss.training import fitting

GPU = "/physical_device:GPU:0"


@pytest.fixture
def write(tmp_path):
    """Writes splits of images of one size; returns the binding of their folder."""

    def write(size=(480, 640), **counts):
        height, width = size
        for split, count in counts.items():
            path = str(tmp_path / f"{split}.tfrecord")
            with tf.io.TFRecordWriter(path) as writer:
                for _ in range(count):
                    writer.write(records.example(HEIGHT=[height], WIDTH=[width]))
        return f"DATA_DIR = {str(tmp_path)!r}"

    return write


@pytest.fixture
def on(monkeypatch):
    """Pretends a machine with GPUs."""

    def on(gpus, memory=None):
        devices = [GPU] * gpus
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: devices)
        monkeypatch.setattr(fitting, "_gpu_memory", lambda: memory)

    return on


def chosen(*bindings, gin_file="folder.gin", model_dirs=()):
    config.load([gin_file], bindings, fitting.chooser(model_dirs))
    return macros(config.text())


def assert_has(values, **expected):
    assert {name: values[name] for name in expected} == expected


def test_a_cpu(write, on):
    on(gpus=0)
    assert_has(
        chosen(write(labeled=40, unlabeled=250, val=10)),
        MACHINE="cpu",
        MODEL_VARIANT="efficientnet_lite0",
        CROP_SIZE=161,
        EVAL_CROP_SIZE=641,
        ATROUS_RATES=(3, 6, 9),
        BATCH_SIZE=4,
        TRAIN_STEPS=1500,  # 290 photos 20 times in batches of 4: 1450.
        EVAL_INTERVAL=150,
        CHECKPOINT_INTERVAL=150,
    )


@pytest.mark.parametrize(
    "gpus, memory, expected",
    [
        (1, 8e9, ("small_gpu", "efficientnet_lite0", 321, 8)),
        (1, None, ("small_gpu", "efficientnet_lite0", 321, 8)),  # Not CUDA's.
        (1, 40e9, ("large_gpu", "efficientnet_lite2", 513, 8)),
        (3, 40e9, ("large_gpu", "efficientnet_lite2", 513, 9)),
    ],
)
def test_gpus(write, on, gpus, memory, expected):
    on(gpus, memory)
    values = chosen(write((1200, 1600), labeled=500, unlabeled=9000, val=10))
    names = ("MACHINE", "MODEL_VARIANT", "CROP_SIZE", "BATCH_SIZE")
    assert tuple(values[name] for name in names) == expected
    assert_has(values, ATROUS_RATES=None, EVAL_CROP_SIZE=1601)
    assert values["TRAIN_STEPS"] == 20000


def test_small_photos_are_used_whole(write, on):
    on(gpus=1, memory=8e9)
    values = chosen(write((50, 70), labeled=3, val=2), gin_file="supervised/folder.gin")
    assert_has(values, CROP_SIZE=81, EVAL_CROP_SIZE=81, ATROUS_RATES=(1, 2, 3))
    assert_has(values, TRAIN_STEPS=1000)


def test_the_baseline_takes_as_many_steps(write, on):
    on(gpus=0)
    data = write(labeled=40, unlabeled=400, val=10)
    method, baseline = chosen(data), chosen(data, gin_file="supervised/folder.gin")
    for name in ("TRAIN_STEPS", "CROP_SIZE", "MODEL_VARIANT", "BATCH_SIZE"):
        assert method[name] == baseline[name]


def test_what_is_set_wins_and_the_rest_follows(write, on):
    on(gpus=0)
    data = write(labeled=40, unlabeled=250, val=10)
    values = chosen(data, "CROP_SIZE = 321", "BATCH_SIZE = 2", "TRAIN_STEPS = 50")
    assert_has(values, CROP_SIZE=321, BATCH_SIZE=2, TRAIN_STEPS=50)
    assert_has(values, ATROUS_RATES=None, EVAL_INTERVAL=5)
    assert chosen(data, "BATCH_SIZE = 2")["TRAIN_STEPS"] == 3000
    assert chosen(data, "MACHINE = 'large_gpu'")["CROP_SIZE"] == 321
    assert chosen("DATA_DIR = 'nowhere'")["CROP_SIZE"] == 161  # Reported later.


@pytest.mark.parametrize(
    "binding, message",
    [
        ("MACHINE = 'gpu'", "it has to be 'cpu', 'small_gpu', 'large_gpu' or 'auto'."),
        ("MACHINE = None", "it has to be 'cpu', 'small_gpu', 'large_gpu' or 'auto'."),
        ("BATCH_SIZE = 0", "it has to be a whole number from 1 to 65536, or 'auto'."),
    ],
)
def test_what_a_setting_may_be_includes_auto(write, on, binding, message):
    on(gpus=0)
    with pytest.raises(UserError) as error:
        chosen(write(labeled=4, val=2), binding)
    assert str(error.value) == f"{binding}: {message}"


def test_crops_fit_the_network(write, on):
    on(gpus=0)
    data = write(labeled=40, unlabeled=250, val=10)
    values = chosen(data, "MODEL_VARIANT = 'dinov2_vits14'")
    assert_has(values, CROP_SIZE=154, EVAL_CROP_SIZE=644)  # Multiples of 14.


def test_other_experiments_stay_as_they_are():
    config.load(["voc_1-16.gin"])
    before = config.text()
    chosen(gin_file="voc_1-16.gin")
    assert config.text() == before


def test_a_resumed_run_keeps_its_settings(write, on, tmp_path):
    on(gpus=0)
    run, beside = tmp_path / "run", str(tmp_path / "beside")
    trained.make(run)
    data = write(labeled=40, unlabeled=250, val=10)
    chosen(data, "BATCH_SIZE = 2")
    (run / "config.gin").write_text(config.text())
    on(gpus=1, memory=40e9)
    assert_has(
        chosen(data, model_dirs=[beside, str(run)]),
        MACHINE="cpu",
        BATCH_SIZE=2,
        CROP_SIZE=161,
        TRAIN_STEPS=3000,
        ATROUS_RATES=(3, 6, 9),
    )
    assert chosen(data, "BATCH_SIZE = 6", model_dirs=[str(run)])["BATCH_SIZE"] == 6
    assert chosen(data, model_dirs=[beside])["MACHINE"] == "large_gpu"
    (run / "config.gin").write_text("CROP_SIZE = (")
    assert chosen(data, model_dirs=[str(run)])["MACHINE"] == "large_gpu"


def test_the_memory_of_a_gpu_is_known_or_not():
    memory = fitting._gpu_memory()
    assert memory is None or memory > 1e9
