"""What a run's card warns of."""

from types import SimpleNamespace

import pytest

from tests.models.networks import small_model
from wss.methods.fixmatch import FixMatch
from wss.training import run_card


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
    """Two replicas: an image each, and micro-batches one after the other."""
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
