"""Goldens whose run had dropout: their masks reach the right draws."""

import json

import numpy as np
import pytest
import tensorflow as tf

from tests.parity import step
from tests.parity.common import Golden
from tests.training import tiny
from wss.methods.pseudoseg import RngStream
from wss.training.optimizers import Momentum


def write(path, masks, **meta):
    arrays = {f"dropmask__{name}": mask for name, mask in masks.items()}
    np.savez(path, meta=json.dumps({"case": "train_step", **meta}), **arrays)
    return Golden(str(path))


def mask_of(*shape, seed):
    return np.random.RandomState(seed).uniform(size=shape) < 0.9


@pytest.mark.parametrize("separator", ["_", ":"])
def test_masks_come_in_the_order_of_the_original(tmp_path, separator):
    masks = {
        f"{i}{separator}{'dropout' if i < 3 else 'prelogits_dropout'}": mask_of(
            2, *((9, 9) if i < 3 else (1, 1)), 8, seed=i
        )
        for i in (3, 0, 2, 1)
    }
    found = step.dropout_masks(write(tmp_path / "golden.npz", masks))
    expected = [
        RngStream.WEAK_DROPOUT,
        RngStream.STRONG_DROPOUT,
        RngStream.LABELED_DROPOUT,
        RngStream.LABELED_CLASSIFIER_DROPOUT,
    ]
    assert set(found) == set(expected)
    for number, stream in enumerate(expected):
        mask = next(m for name, m in masks.items() if name[0] == str(number))
        keep = 0.9 if number < 3 else 0.5
        np.testing.assert_allclose(found[stream], mask / keep, rtol=1e-6)


def test_with_image_level_labels_the_classifier_comes_first(tmp_path):
    masks = {f"{i}_dropout": mask_of(2, 9, 9, 8, seed=i) for i in (1, 2, 3)}
    masks.update({f"{i}_prelogits": mask_of(2, 1, 1, 8, seed=i) for i in (0, 4)})
    golden = write(tmp_path / "golden.npz", masks, **{"keep_prob__0_prelogits": 0.25})
    found = step.dropout_masks(golden)
    np.testing.assert_allclose(
        found[RngStream.IMAGE_LABEL_CLASSIFIER_DROPOUT], masks["0_prelogits"] / 0.25
    )
    np.testing.assert_allclose(
        found[RngStream.LABELED_CLASSIFIER_DROPOUT], masks["4_prelogits"] / 0.5
    )


def test_nothing_is_dropped_without_masks(tmp_path):
    assert step.dropout_masks(write(tmp_path / "golden.npz", {})) == {}


def test_a_step_multiplies_by_the_masks():
    """All zeros for one view: its logits are those of features that are zero."""
    method = tiny.make_method()
    batch = tf.nest.map_structure(lambda x: x[0], tiny.make_batches(1))
    zeros = tf.zeros([tiny.BATCH, 3, 3, 16])
    ones = tf.ones([tiny.BATCH, 1, 1, 16])

    def logits(masks):
        optimizer = Momentum({})
        with step._Recorder(method, optimizer, masks) as recorder:
            tiny.merged(
                method.compute_losses(batch, tf.constant(0, tf.int64), 0.0, 0, {})
            )
        return recorder.calls["segment"]

    plain = logits({RngStream.LABELED_CLASSIFIER_DROPOUT: ones})
    dropped = logits({RngStream.STRONG_DROPOUT: zeros})
    weak, strong, labeled = (np.array_equal(a, b) for a, b in zip(plain, dropped))
    assert weak and labeled and not strong
    halved = logits({RngStream.STRONG_DROPOUT: zeros + 0.5})
    assert not np.array_equal(halved[1], plain[1])
    assert not np.array_equal(halved[1], dropped[1])
