"""Curves of evaluations, as TensorBoard shows them."""

import numpy as np
from tensorboard.backend.event_processing import plugin_event_accumulator

from wss.data.datasets.spec import DatasetSpec
from wss.evaluation import curves
from wss.ops.metrics import scores
from wss.run_folder import event_files

SPEC = DatasetSpec("views", ("sky", "tree", "car"))


def test_mean_iou_comes_first_and_classes_last(tmp_path):
    summary = {
        "mean_iou": 0.5,
        "pixel_accuracy": 0.75,
        "mean_class_accuracy": 0.625,
        "boundary_f_score": None,
        "image_labels": {"recall": 0.25},
        "class_iou": {"sky": 0.5, "tree": None, "car": 0.5},
    }
    confusion = scores(np.diag([2, 0, 1]))
    networks = {"teacher": summary, "student": {**summary, "mean_iou": 0.375}}
    curves.draw(str(tmp_path), 7, SPEC, confusion, networks, best=0.625)
    read = {
        group: event_files.read_curves(str(tmp_path), group)
        for group in ("evaluation", "other_scores", "single_classes")
    }
    assert read == {
        "evaluation": {
            "mIoU": [(7, 0.5)],
            "mIoU_best": [(7, 0.625)],
            "mIoU_student": [(7, 0.375)],
        },
        "other_scores": {
            "image_labels/recall": [(7, 0.25)],
            "mean_class_accuracy": [(7, 0.625)],
            "pixel_accuracy": [(7, 0.75)],
        },
        "single_classes": {"iou/car": [(7, 0.5)], "iou/sky": [(7, 0.5)]},
    }
    events = plugin_event_accumulator.EventAccumulator(str(tmp_path)).Reload()
    assert set(events.PluginTagToContent("images")) == {
        "single_classes/confusion",
        "single_classes/iou_bars",
    }
