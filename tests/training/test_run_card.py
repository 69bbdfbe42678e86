"""The memory that a run's card announces."""

import re
from types import SimpleNamespace

import pytest

from tests.models.networks import small_model
from wss.methods.fixmatch import FixMatch
from wss.methods.pseudoseg import PseudoSeg
from wss.methods.supervised import Supervised
from wss.training import run_card


def announced_gigabytes(method):
    experiment = SimpleNamespace(
        crop_size=(257, 257),
        strategy=SimpleNamespace(num_replicas_in_sync=2),
        batch_size=64,
        accumulation_steps=2,
        precision="float32",
        model_variant="resnet_v1_18_beta",
        output_stride=16,
    )
    text = run_card._network(experiment, method)["memory"]
    return float(re.fullmatch(r"very roughly (.+) GB on each device", text)[1])


def test_memory_is_that_of_the_images_that_are_learnt_together():
    model = small_model()
    supervised, pseudoseg, fixmatch = (
        announced_gigabytes(method(model, 255))
        for method in (Supervised, PseudoSeg, FixMatch)
    )
    # PseudoSeg learns from the strong views and from the labeled images in turn.
    assert pseudoseg == pytest.approx(supervised, rel=0.1)
    assert fixmatch == pytest.approx(2 * supervised, rel=0.15)


@pytest.mark.parametrize(
    "options, per_step, portions, warns",
    [
        ({}, 2, 1, True),
        ({}, 4, 1, False),
        ({}, 4, 2, True),
        ({"box_probability": 0.0}, 2, 1, False),
    ],
)
def test_one_image_at_a_time_can_not_be_mixed(options, per_step, portions, warns):
    """Two replicas: an image each, and in portions one after the other."""
    experiment = SimpleNamespace(
        crop_size=(257, 257),
        eval_crop_size=(257, 257),
        strategy=SimpleNamespace(num_replicas_in_sync=2),
        batch_size=per_step,
        accumulation_steps=portions,
    )
    method = FixMatch(small_model(), 255, **options)
    warnings = " ".join(run_card._warnings(experiment, method))
    assert ("mixed with themselves" in warnings) == warns
    if warns:
        assert f"BATCH_SIZE = {4 * portions}" in warnings
