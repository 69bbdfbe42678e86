"""Evaluation against counting by hand."""

import json

import numpy as np
import pytest
import tensorflow as tf

from wss import evaluation
from wss.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.evaluation import restore_model
from wss.models.deeplab import DeepLabV3Plus
from wss.prediction import Predictor

SPEC = DatasetSpec(name="toy", class_names=("ground", "cat", "dog", "bird"))


class ReadsItsInput(tf.Module):
    """A network whose prediction is the first channel of the image, plus something."""

    def __init__(self, plus=0):
        super().__init__()
        self.plus = plus

    def __call__(self, images, training):
        assert training is False
        classes = tf.cast(images[..., 0], tf.int32) + self.plus
        return tf.one_hot(classes, SPEC.num_classes)


def evaluate(labels, predictions, tmp_path, networks=None, crop_size=None):
    """Each image is a row of pixels."""
    images = tf.cast(tf.constant(predictions), tf.float32)[:, tf.newaxis, :, tf.newaxis]
    batches = tf.data.Dataset.from_tensor_slices(
        {
            "image": tf.tile(images, [1, 1, 1, 3]),
            "label": tf.constant(labels)[:, tf.newaxis],
        }
    ).batch(1)
    crop_size = crop_size or (1, len(labels[0]))
    predictors = {
        name: Predictor(network, crop_size, (0.0, 0.0, 0.0))
        for name, network in (networks or {"model": ReadsItsInput()}).items()
    }
    evaluator = evaluation.Evaluator(predictors, batches, SPEC, "val", str(tmp_path))
    evaluator.evaluate(10)
    return evaluator.evaluate(20)  # Nothing of the first evaluation stays.


def test_scores_of_two_images(tmp_path, capsys):
    scores = evaluate(
        [[0, 0, 1, 1], [1, 255, 255, 0]], [[0, 1, 1, 1], [0, 2, 3, 3]], tmp_path
    )
    # ground: 1 of 4; cat: 2 of 4; bird is predicted once, never labeled; dog only where
    # the label is ignored.
    assert scores.mean_iou == pytest.approx((1 / 4 + 2 / 4 + 0) / 3)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["step"] == 20 and metrics["images"] == 2
    assert metrics["mean_iou"] == scores.mean_iou
    assert metrics["class_iou"] == {
        "ground": 0.25,
        "cat": 0.5,
        "dog": None,
        "bird": None,
    }
    printed = capsys.readouterr().out
    assert "cat     50.00   50.0%" in printed
    assert "step 20: mIoU 25.00 on val (2 images)" in printed


def test_the_student_stands_beside_the_teacher(tmp_path, capsys):
    networks = {"teacher": ReadsItsInput(), "student": ReadsItsInput(plus=1)}
    scores = evaluate([[0, 0, 1, 1]], [[0, 0, 0, 1]], tmp_path, networks)
    # The teacher: ground 2 of 3, cat 1 of 2. The student: ground 0 of 2, cat 1 of 4,
    # and a dog that is not there.
    assert scores.mean_iou == pytest.approx((2 / 3 + 1 / 2) / 2)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["network"] == "teacher"
    assert metrics["mean_iou"] == scores.mean_iou
    assert metrics["student"]["mean_iou"] == pytest.approx((0 + 1 / 4 + 0) / 3)
    assert metrics["student"]["class_iou"]["cat"] == 0.25
    remembered = json.loads((tmp_path / "evaluations.json").read_text())
    assert [one["step"] for one in remembered] == [10, 20]
    assert remembered[1]["student"] == metrics["student"]["mean_iou"]
    assert "on val (1 images), student 8.33" in capsys.readouterr().out


def test_labels_that_are_no_class_are_reported(tmp_path, capsys):
    evaluate([[0, 9]], [[0, 0]], tmp_path)
    assert "warning: 1 pixels of val are neither a class" in capsys.readouterr().out


def test_a_split_without_labels_is_reported(tmp_path, capsys):
    evaluate([[255, 255]], [[0, 1]], tmp_path)
    assert "warning: not one pixel of val has the label" in capsys.readouterr().out
    evaluate([[255, 0]], [[0, 1]], tmp_path)
    assert "warning" not in capsys.readouterr().out


def test_restoring_another_network_is_a_user_error(tmp_path):
    def network(classes):
        return DeepLabV3Plus(
            classes, "resnet_v1_18_beta", aspp_channels=8, decoder_channels=8
        )

    model = network(5)
    path = tf.train.Checkpoint(model=model, step=tf.Variable(7)).save(
        str(tmp_path / "ckpt")
    )
    other = network(5)
    assert restore_model(other, path) == 7
    for value, expected in zip(other.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(value, expected)
    with pytest.raises(UserError, match="such as logits/semantic/"):
        restore_model(network(6), path)


def test_larger_images_are_shrunk_and_counted(tmp_path, capsys):
    labels = np.repeat([[0, 0, 1, 1]], 2, axis=1)
    scores = evaluate(labels, labels, tmp_path, crop_size=(1, 4))
    assert scores.confusion.sum() == 8  # At the images' own resolution.
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["protocol"]["shrunk_images"] == 1
    assert "padded to 1 x 4; 1 larger images were shrunk" in capsys.readouterr().out
