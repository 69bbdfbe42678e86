"""The memory that a run's card announces."""

import re
from types import SimpleNamespace

import pytest

from tests.models.networks import small_model
from wss import run_card
from wss.methods.fixmatch import FixMatch
from wss.methods.pseudoseg import PseudoSeg
from wss.methods.supervised import Supervised


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
