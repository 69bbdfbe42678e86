"""Advice where a step fails."""

import json
import types

import tensorflow as tf

from tests.data import records
from wss.evaluation import restoring
from wss.ops import losses
from wss.training import diagnostics

EXPERIMENT = types.SimpleNamespace(
    model_dir="nowhere",
    crop_size=(65, 97),
    eval_crop_size=(97, 129),
    model_variant="xception_65",
    output_stride=8,
    precision="float32",
    accumulation_steps=2,
    batch_size=16,
)


def test_advice_for_less_memory():
    message = diagnostics.less_memory(EXPERIMENT)
    assert message.endswith("Start again with one of them.")
    for setting in (
        "CROP_SIZE (now 65 x 97)",
        "output_stride (now 8)",
        "PRECISION = 'mixed_bfloat16' (now 'float32')",
        "ACCUMULATION_STEPS (now 2)",
        "BATCH_SIZE (now 16)",
    ):
        assert setting in message


def test_advice_for_a_vision_transformer():
    experiment = {**vars(EXPERIMENT), "model_variant": "dinov2_vits14"}
    message = diagnostics.less_memory(types.SimpleNamespace(**experiment))
    assert "DPT.recompute = True" in message and "output_stride" not in message


def test_advice_for_a_run_that_has_checkpoints(tmp_path):
    (tmp_path / "ckpt-3.index").write_text("")
    experiment = types.SimpleNamespace(**{**vars(EXPERIMENT), "model_dir": tmp_path})
    message = diagnostics.less_memory(experiment)
    assert "need another --model_dir; the same command" in message
    message = restoring.less_memory(experiment)
    assert "EVAL_CROP_SIZE (now 97 x 129); --sliding_window" in message


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
