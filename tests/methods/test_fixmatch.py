"""FixMatch, UniMatch and their second versions on a tiny network."""

import functools
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from tests.trained import eagerly, unoptimized
from tests.training import tiny
from wss.methods import fixmatch
from wss.methods.fixmatch import FixMatch
from wss.methods.unimatch import UniMatch
from wss.methods.unimatch_v2 import TeacherFixMatch, UniMatchV2
from wss.models.batch_norm import collect_batch_statistics
from wss.ops import losses
from wss.ops.resize import resize_bilinear

METHODS = pytest.mark.parametrize(
    "method", [FixMatch, UniMatch, TeacherFixMatch, UniMatchV2]
)


def make(method, **options):
    """A random teacher is confident of nothing."""
    threshold = 0.0 if method.has_teacher else 0.26
    return tiny.make_method(method, threshold=threshold, **options)


def batch_of(step=0, **replaced):
    batches = tiny.make_batches(steps=step + 1)
    batch = tf.nest.map_structure(lambda x: x[step], batches)
    batch["unlabeled"]["strong_2"] = batch["unlabeled"]["strong"][:, ::-1]
    batch["unlabeled"].update(replaced)
    return batch


def run(method, batch, **options):
    """Losses and monitors of a step; as a graph with these `options`."""

    def step(batch):
        with collect_batch_statistics():
            step = tf.constant(0, tf.int64)
            output = tiny.merged(
                method.compute_losses(
                    batch, step, 0.0, 0, method.loss_normalizers(batch)
                )
            )
        return output.losses, output.monitors

    if options:
        step = tf.function(step, autograph=False, **options)
    return step(batch)


@METHODS
def test_xla_gives_the_losses_of_eager_mode(method):
    made = make(method)
    batch = batch_of()
    eager, _ = run(made, batch)
    assert all(value > 0 for value in eager.values())
    compiled, _ = run(made, batch, jit_compile=True)
    for name, value in eager.items():
        np.testing.assert_allclose(compiled[name], value, rtol=2e-4, err_msg=name)


def test_without_boxes_fixmatch_is_what_the_paper_writes():
    made = tiny.make_method(FixMatch, threshold=0.26, box_probability=0.0)
    batch = batch_of()
    found, _ = run(made, batch)
    labeled, unlabeled = batch["labeled"], batch["unlabeled"]
    with collect_batch_statistics():
        images = tf.concat([labeled["image"], unlabeled["weak"]], 0)
        seeds = [
            fixmatch.draw_seeds(0, part, purpose)
            for purpose, part in enumerate((labeled, unlabeled, unlabeled))
        ]
        backbone = made.model.backbone
        both = made.model.segment(backbone(images, True), True, tf.concat(seeds[:2], 0))
        strong = made.model.segment(backbone(unlabeled["strong"], True), True, seeds[2])
    size = images.shape[1:3]
    weak = tf.nn.softmax(resize_bilinear(both[tiny.BATCH :], size)).numpy()
    shares = tf.nn.log_softmax(resize_bilinear(strong, size)).numpy()
    pixels = -np.take_along_axis(shares, weak.argmax(-1)[..., np.newaxis], -1)[..., 0]
    valid = unlabeled["valid"].numpy()
    expected = np.sum(pixels * (weak.max(-1) >= 0.26) * valid) / np.sum(valid)
    np.testing.assert_allclose(found["unsupervised"], 0.5 * expected, rtol=1e-4)
    supervised = losses.softmax_cross_entropy(
        both[: tiny.BATCH], labeled["label"], ignore_label=255
    )
    np.testing.assert_allclose(found["supervised"], 0.5 * supervised, rtol=1e-4)


def test_what_is_not_sure_does_not_teach():
    made = tiny.make_method(UniMatch, threshold=1.1)
    found, monitors = run(made, batch_of())
    assert found["strong"] == found["strong_2"] == found["features"] == 0
    assert found["supervised"] > 0 and monitors["mask_ratio"].result() == 0


def test_without_a_threshold_the_share_of_sure_pixels_has_no_curve():
    _, monitors = run(tiny.make_method(UniMatch, threshold=0.0), batch_of())
    assert monitors.keys() == {"pseudo_label_accuracy", "confidence"}


@METHODS
def test_pixels_that_the_truth_of_unlabeled_images_holds_change_nothing(method):
    made = make(method)
    found, _ = run(made, batch_of())
    other, _ = run(
        made, batch_of(label=tf.zeros([tiny.BATCH] + [tiny.SIDE] * 2, tf.int32))
    )
    assert {k: float(v) for k, v in found.items()} == {
        k: float(v) for k, v in other.items()
    }


@pytest.mark.parametrize("perturbs_labeled", [True, False])
def test_perturbed_features_lack_half_of_the_channels(perturbs_labeled):
    made = tiny.make_method(UniMatch, perturbs_labeled=perturbs_labeled)
    batch = batch_of()
    labeled, unlabeled = batch["labeled"], batch["unlabeled"]
    images = tf.concat([labeled["image"], unlabeled["weak"]], 0)
    end_points = made.model.backbone(images)
    ones = {name: tf.ones_like(tensor) for name, tensor in end_points.items()}
    perturbed = made._perturb(ones, labeled, unlabeled, seed=0)
    assert len(perturbed) == 2
    for tensor in perturbed.values():
        values = tensor.numpy()
        assert values.shape[0] == tiny.BATCH * (1 + perturbs_labeled)
        assert np.unique(values[:, 0, 0], axis=0).shape[0] == values.shape[0]
        assert set(np.unique(values)) == {0.0, 2.0}
        np.testing.assert_array_equal(
            values, np.broadcast_to(values[:, :1, :1], values.shape)
        )
        assert 0.2 < np.mean(values) / 2 < 0.8


def test_perturbed_labeled_features_reach_the_decoders_batch_norm_alone():
    """As in the published decoder, whose batch has both views of all images."""
    batch, losses_of = batch_of(), {}
    for perturbs_labeled in (True, False):
        made = tiny.make_method(
            UniMatch, threshold=0.26, perturbs_labeled=perturbs_labeled
        )
        with mock.patch.object(
            made.model, "segment", wraps=made.model.segment
        ) as segment:
            losses_of[perturbs_labeled], _ = run(made, batch)
        sizes = [len(call.args[0]["plain/conv4"]) for call in segment.call_args_list]
        assert sizes == [tiny.BATCH * (3 + perturbs_labeled), 2 * tiny.BATCH]
    assert losses_of[True].keys() == losses_of[False].keys()
    assert losses_of[True]["supervised"] != losses_of[False]["supervised"]
    for name, value in losses_of[True].items():
        np.testing.assert_allclose(value, losses_of[False][name], rtol=0.3)


@pytest.mark.parametrize(
    "method, mode",
    [
        (FixMatch, eagerly),
        (UniMatch, eagerly),
        (TeacherFixMatch, eagerly),
        (UniMatchV2, unoptimized),
    ],
)
def test_two_replicas_give_the_losses_of_one(method, mode, two_cpus):
    """Boxes show images of the same replica; without boxes nothing differs.

    One of them is a graph on two replicas, as PseudoSeg and U2PL are elsewhere.
    """
    batches = tiny.make_batches(3)
    batches["unlabeled"]["strong_2"] = batches["unlabeled"]["strong"][:, :, ::-1]
    boxless = functools.partial(make, method, box_probability=0.0)
    with eagerly():
        single, _ = tiny.train(tiny.make_step(method=boxless), batches)
    with mode():
        step = tiny.make_step(two_cpus, boxless, cross_replica_statistics=True)
        pair, _ = tiny.train(step, batches, two_cpus)
    for name, value in single.items():
        if name.startswith("losses/"):
            np.testing.assert_allclose(pair[name], value, rtol=2e-4, err_msg=name)
