"""Evaluation against counting by hand."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.models.networks import small_model
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.evaluation import evaluator
from wss.evaluation.predictor import Predictor
from wss.evaluation.restoring import restore_network
from wss.models.deeplab import DeepLabV3Plus
from wss.run_folder import access, event_files, results

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

    def scaled_size(self, image_size, scale):
        return tuple(int((side - 1) * scale + 1) for side in image_size)


def evaluate(
    labels,
    predictions,
    tmp_path,
    networks=None,
    crop_size=None,
    scales=(1.0,),
    steps=(10, 20),  # Nothing remains from the first evaluation.
    **options,
):
    """Scores of the last step; each image is a row of pixels."""
    images = tf.cast(tf.constant(predictions), tf.float32)[:, tf.newaxis, :, tf.newaxis]
    batches = tf.data.Dataset.from_tensor_slices(
        {
            "image": tf.tile(images, [1, 1, 1, 3]),
            "label": tf.constant(labels)[:, tf.newaxis],
        }
    ).batch(1)
    crop_size = crop_size or (1, len(labels[0]))
    predictors = {
        name: Predictor(network, crop_size, (0.0, 0.0, 0.0), scales)
        for name, network in (networks or {"model": ReadsItsInput()}).items()
    }
    judge = evaluator.Evaluator(
        predictors, batches, SPEC, "val", str(tmp_path), **options
    )
    return [judge.evaluate(step) for step in steps][-1]


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
    # and a dog that does not exist.
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
    assert "warning: no pixel of val has the label" in capsys.readouterr().out
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
    assert restore_network(other, path) == 7
    for value, expected in zip(other.get_weights(), model.get_weights()):
        np.testing.assert_array_equal(value, expected)
    with pytest.raises(UserError, match="such as logits/semantic/"):
        restore_network(network(6), path)


def test_larger_images_are_shrunk_and_counted(tmp_path, capsys):
    labels = np.repeat([[0, 0, 1, 1]], 2, axis=1)
    scores = evaluate(labels, labels, tmp_path, crop_size=(1, 4))
    assert scores.confusion.sum() == 8  # At the images' own resolution.
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["protocol"]["shrunk_images"] == 1
    assert "padded to 1 x 4; images shrunk to it: 1" in capsys.readouterr().out


def reference_scores(pairs):
    """Class by class and pixel by pixel, by definition."""
    labels = np.concatenate([label.ravel() for label, _ in pairs])
    predictions = np.concatenate([prediction.ravel() for _, prediction in pairs])
    counted = labels != 255
    labels, predictions = labels[counted], predictions[counted]
    ious, class_ious, accuracies = [], [], []
    for number in range(SPEC.num_classes):
        truth, predicted = labels == number, predictions == number
        if (truth | predicted).any():
            ious.append((truth & predicted).sum() / (truth | predicted).sum())
        if truth.any():
            class_ious.append(ious[-1])
            accuracies.append((truth & predicted).sum() / truth.sum())
    return {
        "mean_iou": np.mean(ious),
        "class_iou": class_ious,
        "pixel_accuracy": (labels == predictions).mean(),
        "mean_class_accuracy": np.mean(accuracies),
    }


def test_scores_against_plain_numpy_on_images_of_all_sizes(tmp_path):
    random = np.random.RandomState(0)
    pairs = []
    for size in ((7, 9), (1, 1), (12, 5), (11, 13)):
        label = random.choice([0, 1, 2, 255], size, p=[0.5, 0.2, 0.2, 0.1])
        pairs.append((label, random.choice([0, 1, 2], size)))
    pairs.append((np.full([3, 4], 255), np.zeros([3, 4], int)))  # Nothing counts.
    batches = [
        {
            "image": tf.constant(np.repeat(p[np.newaxis, ..., np.newaxis], 3, -1)),
            "label": tf.constant(label[np.newaxis], tf.int32),
        }
        for label, p in pairs
    ]
    predictor = Predictor(ReadsItsInput(), (12, 13), (0.0, 0.0, 0.0))
    judge = evaluator.Evaluator(
        {"model": predictor}, batches, SPEC, "val", str(tmp_path)
    )
    judge.evaluate(1, checkpoint="runs/ckpt-1")
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    for name, expected in reference_scores(pairs).items():
        actual = metrics[name]
        if name == "class_iou":
            assert actual.pop("bird") is None  # The class never occurs.
            actual = list(actual.values())
        assert actual == pytest.approx(expected, abs=1e-6)
    assert metrics["images"] == 5 and metrics["checkpoint"] == "runs/ckpt-1"
    assert metrics["protocol"] == {**predictor.protocol(), "shrunk_images": 0}


class SeesACat(ReadsItsInput):
    """Finds class 1 in every image, and class 3 in dark ones."""

    def backbone(self, images, training):
        return tf.reduce_mean(images, [1, 2, 3])

    def classify(self, end_points):
        cat, dog = tf.ones_like(end_points), -tf.ones_like(end_points)
        return tf.stack([cat, dog, 1.0 - end_points], axis=1)


def test_boundaries_and_image_labels(tmp_path):
    labels = [[0, 0, 1, 1], [0, 0, 2, 2], [3, 3, 255, 255]]
    images = [[0, 0, 1, 1], [0, 0, 0, 0], [3, 3, 3, 3]]
    options = {"boundary": True, "image_labels": True}
    evaluate(labels, images, tmp_path, {"model": SeesACat()}, **options)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    # Ground: its boundary is found in one image of two. Cat: found. Dog: missed. Bird:
    # the boundary to what is ignored is missed.
    assert metrics["class_boundary_f_score"] == {
        "ground": 0.5,
        "cat": 1.0,
        "dog": 0.0,
        "bird": 0.0,
    }
    assert metrics["boundary_f_score"] == pytest.approx(1.5 / 4)
    # The means are 0.5, 0 and 3: cat and bird, cat and bird, cat are seen; cat, dog,
    # bird are shown.
    expected = {"accuracy": 3 / 9, "precision": 1 / 5, "recall": 1 / 3}
    assert metrics["image_labels"] == pytest.approx(expected)


def test_the_best_so_far_has_a_curve(tmp_path):
    right, wrong = [[0, 0, 1, 1]], [[1, 1, 0, 0]]
    for step, predicted in ((1, wrong), (2, right), (3, wrong), (1, wrong)):
        evaluate(right, predicted, tmp_path, steps=[step])
    curves = event_files.read_curves(str(tmp_path / "eval"), "evaluation")
    assert curves == {
        "mIoU": [(1, 0.0), (2, 1.0), (3, 0.0)],
        "mIoU_best": [(1, 0.0), (2, 1.0), (3, 1.0)],
    }


def test_protocols_do_not_mix(tmp_path):
    labels = [[0, 0, 1, 1]]
    for step, options in ((1, {}), (1, {"scales": (1.0, 2.0)}), (2, {})):
        scores = evaluate(labels, labels, tmp_path, steps=[step], **options)
        assert scores.mean_iou == 1.0
    found = results.read_evaluations(str(tmp_path))
    plain, scaled = "whole images padded to 1 x 4", ", scales 1 2"
    assert [(one["step"], one["protocol"]) for one in found] == [
        (1, plain),
        (1, plain + scaled),
        (2, plain),
    ]
    best = results.best(str(tmp_path), "val", plain + scaled)
    assert best["step"] == 1 and results.best(str(tmp_path), "train", plain) is None
    assert (tmp_path / "eval").exists() and (tmp_path / "eval_scales").exists()


def test_scores_are_printed_where_they_can_not_be_kept(tmp_path, capsys, monkeypatch):
    def refuse(path, text):
        raise tf.errors.PermissionDeniedError(None, None, f"{path}; Read-only")

    monkeypatch.setattr(evaluator.results.atomic, "write_text", refuse)
    message = rf"scores above are valid, but cannot be saved: {tmp_path} .* Read-only\)"
    with pytest.raises(UserError, match=message):
        with access.explained_scores(str(tmp_path)):
            evaluate([[0, 0, 1, 1]], [[0, 1, 1, 1]], tmp_path, steps=[7])
    printed = capsys.readouterr().out
    # ground 1 of 2, cat 2 of 3.
    assert "step 7: mIoU 58.33 on val" in printed and "cat     66.67" in printed


@pytest.mark.parametrize(
    "deviation, trained_size, warns",
    [(0.005, (17, 17), True), (0.005, (33, 33), False), (0.5, (17, 17), False)],
)
def test_collapsed_image_pooling_is_warned_of(
    tmp_path, capsys, deviation, trained_size, warns
):
    model = small_model(num_classes=4)
    layer = model.pyramid_pooling.image_pooling.batch_norm
    layer.moving_mean.assign(tf.fill(layer.moving_mean.shape, -5.0))
    variance = tf.fill(layer.moving_variance.shape, (5.0 * deviation) ** 2)
    layer.moving_variance.assign(variance)
    evaluate(
        [[0, 1]],
        [[0, 1]],
        tmp_path,
        networks={"model": model},
        crop_size=(33, 33),
        trained_size=trained_size,
        steps=(1,),
    )
    printed = capsys.readouterr().out
    assert (
        "statistics of image_pooling's batch norm have collapsed" in printed
    ) == warns
