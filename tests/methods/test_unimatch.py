"""UniMatch's perturbation of features; its numbers are in tests/parity."""

import types

import numpy as np
import pytest
import tensorflow as tf

from wss.methods.unimatch import UniMatch

CHANNELS = {"early": 4, "stage4": 64, "stage5": 64, "unused": 8}


@pytest.mark.parametrize("perturbs_labeled", [False, True])
def test_every_end_point_that_the_network_decodes_is_perturbed(perturbs_labeled):
    model = types.SimpleNamespace(decoder_inputs=["early", "stage4", "stage5"])
    method = UniMatch(model, 255, perturbs_labeled=perturbs_labeled)
    images = {"image": tf.zeros([2, 8, 8, 3]), "position": tf.constant([0, 1])}
    end_points = {
        name: tf.ones([4, 2, 2, channels]) for name, channels in CHANNELS.items()
    }
    perturbed = method._perturb(end_points, images, images, seed=0)
    assert list(perturbed) == model.decoder_inputs
    masks = {name: features.numpy() for name, features in perturbed.items()}
    for name, mask in masks.items():
        assert mask.shape == (4 if perturbs_labeled else 2, 2, 2, CHANNELS[name])
        assert set(np.unique(mask)) <= {0.0, 2.0}
        np.testing.assert_array_equal(
            mask, np.broadcast_to(mask[:, :1, :1], mask.shape)
        )
    kept = np.concatenate([masks["stage4"], masks["stage5"]], -1)[:, 0, 0]
    assert 0.35 < kept.mean() / 2 < 0.65
    # Independent channels: of each image, of each end point.
    assert 0.3 < np.mean(masks["stage4"] != masks["stage5"]) < 0.7
    assert 0.3 < np.mean(kept[0] != kept[1]) < 0.7
