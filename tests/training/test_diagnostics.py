"""Faults of a training, told so that a user can go on."""

import json
import os
import subprocess
import sys
import types

import pytest
import tensorflow as tf

from tests.data import records
from wss.errors import UserError
from wss.files import atomic
from wss.ops import losses
from wss.training import diagnostics

EXPERIMENT = types.SimpleNamespace(
    model_dir="nowhere",
    crop_size=(65, 97),
    eval_crop_size=(97, 129),
    output_stride=8,
    precision="float32",
    accumulation_steps=2,
    batch_size=16,
)


def test_out_of_memory_says_what_helps():
    with pytest.raises(UserError) as error, diagnostics.explained_memory(EXPERIMENT):
        tf.zeros([1 << 46])  # 256 TiB.
    message = str(error.value)
    assert "\n" not in message and message.startswith("The device is out of memory.")
    assert message.endswith("Start again with one of them.")
    for setting in (
        "CROP_SIZE (now 65 x 97)",
        "output_stride (now 8)",
        "PRECISION = 'mixed_bfloat16' (now 'float32')",
        "ACCUMULATION_STEPS (now 2)",
        "BATCH_SIZE (now 16)",
    ):
        assert setting in message


def test_out_of_memory_where_the_settings_are_fixed(tmp_path):
    (tmp_path / "ckpt-3.index").write_text("")
    experiment = types.SimpleNamespace(**{**vars(EXPERIMENT), "model_dir": tmp_path})
    with pytest.raises(UserError, match="need another --model_dir; the same command"):
        with diagnostics.explained_memory(experiment):
            tf.zeros([1 << 46])
    message = r"EVAL_CROP_SIZE \(now 97 x 129\); --sliding_window"
    with pytest.raises(UserError, match=message):
        with diagnostics.explained_memory(experiment, evaluates=True):
            tf.zeros([1 << 46])


def test_a_refused_training_leaves_no_folder(tmp_path):
    with pytest.raises(UserError), diagnostics.sole_training(str(tmp_path / "new")):
        raise UserError("refused")
    assert not (tmp_path / "new").exists()
    with pytest.raises(UserError), diagnostics.sole_training(str(tmp_path)):
        raise UserError("refused")
    assert tmp_path.exists()


@pytest.mark.parametrize("write", [atomic.write_text, lambda path, text: open(path)])
def test_a_folder_that_is_gone(tmp_path, write):
    gone = str(tmp_path / "gone")
    message = rf"folder {gone} cannot be written to .*No such .*--model_dir"
    with pytest.raises(UserError, match=message), diagnostics.explained_folder(gone):
        write(f"{gone}/run.json", "text")
    with pytest.raises(FileNotFoundError), diagnostics.explained_folder(gone):
        open(tmp_path / "other")


def test_a_folder_that_can_not_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    folder = str(tmp_path / "file" / "runs" / "mine")
    message = rf"The folder {folder} cannot be written to \(.*--model_dir"
    with pytest.raises(UserError, match=message):
        diagnostics.make_folder(folder)
    diagnostics.make_folder(str(tmp_path / "new" / "mine"))
    assert (tmp_path / "new" / "mine").is_dir()


def test_one_training_at_a_time(tmp_path):
    folder = str(tmp_path / "mine")
    script = (
        "import sys, time; from wss.training import diagnostics\n"
        f"with diagnostics.sole_training({folder!r}): print('here', flush=True); "
        "time.sleep(600)"
    )
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "here\n"
        message = f"Another training is running in {folder}. .* --model_dir"
        with pytest.raises(UserError, match=message):
            with diagnostics.sole_training(folder):
                pass
        with diagnostics.sole_training(str(tmp_path / "another")):
            pass
        other.kill()
    for _ in range(2):  # Its holder is gone.
        with diagnostics.sole_training(folder):
            pass
    assert os.listdir(folder) == []


def test_a_full_disk_is_not_out_of_memory():
    full = "runs/mine/run.json.tmp; No space left on device"
    message = (
        r"runs/mine cannot be written to \(.*No space left.*Make room.* not harmed"
    )
    with pytest.raises(UserError, match=message):
        with diagnostics.explained_folder("runs/mine"), diagnostics.explained_memory(
            EXPERIMENT
        ):
            raise tf.errors.ResourceExhaustedError(None, None, full)


def test_the_images_of_a_batch_are_written_down(tmp_path):
    records.write_split(tmp_path, "few", [3])
    records.write_split(tmp_path, "many", [2, 2], start=10)
    experiment = types.SimpleNamespace(
        model_dir=str(tmp_path),
        data_dir=str(tmp_path),
        dataset="folder",
        labeled_split="few",
        unlabeled_split="many",
        method=types.SimpleNamespace(uses_unlabeled=True),
        seed=4,
        batch_size=2,
    )
    path = diagnostics.save_batch(experiment, 5, "The loss is not finite.")
    content = json.loads((tmp_path / "batch_of_step_5.json").read_text())
    assert path == str(tmp_path / "batch_of_step_5.json")
    assert content["step"] == 5 and content["problem"] == "The loss is not finite."
    assert len(content["labeled"]) == 2 and len(content["unlabeled"]) == 2
    for row in content["unlabeled"]:
        number = int(row["name"]) - 10
        shard = f"many-0000{number // 2}-of-00002.tfrecord, record {number % 2}"
        assert row["record"].endswith(shard)


def test_a_batch_without_labels_teaches_nothing():
    logits = tf.Variable(tf.random.stateless_normal([2, 5, 5, 3], [1, 2]))
    labels = tf.fill([2, 9, 9], 255)
    with tf.GradientTape() as tape:
        loss = losses.softmax_cross_entropy(logits, labels, ignore_label=255)
    assert float(loss) == 0.0
    assert not tf.reduce_any(tape.gradient(loss, logits) != 0.0)
