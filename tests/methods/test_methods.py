"""Steps of the methods on a tiny network."""

import gin
import numpy as np
import pytest
import tensorflow as tf

from tests.training import tiny
from tests.training.tiny import make_method as make
from wss.methods import base
from wss.methods.pseudoseg import PseudoSeg
from wss.methods.supervised import Supervised
from wss.models import tf1_checkpoint
from wss.models.batch_norm import collect_batch_statistics
from wss.models.tf1_checkpoint import named_variables

CLASSES, SIDE, BATCH = tiny.CLASSES, 33, 2
LOSSES = ["attention", "classifier", "consistency", "supervised"]


def make_batch(seed=0, step=0):
    random = np.random.RandomState(seed)

    def images():
        return tf.constant(random.uniform(0, 255, [BATCH, SIDE, SIDE, 3]), tf.float32)

    def truth():
        labels = random.randint(0, CLASSES, [BATCH, SIDE, SIDE])
        labels[:, :4] = 255
        return {
            "label": tf.constant(labels, tf.int32),
            "valid": tf.constant(labels != 255, tf.float32),
            "image_labels": tf.ones([BATCH, CLASSES - 1]),
            "position": tf.range(BATCH, dtype=tf.int64) + BATCH * step,
        }

    return {
        "labeled": {"image": images(), **truth()},
        "unlabeled": {"weak": images(), "strong": images(), **truth()},
    }


def run(method, batch, step=0, seed=0):
    with collect_batch_statistics():
        counts = method.loss_normalizers(batch)
        step = tf.constant(step, tf.int64)
        return tiny.merged(
            method.compute_losses(batch, step, step / 30000, seed, counts)
        )


def test_supervised_has_one_loss_and_needs_no_unlabeled_images():
    batch = {"labeled": make_batch()["labeled"]}
    assert list(run(make(Supervised), batch).losses) == ["supervised"]


@pytest.mark.parametrize(
    "options, losses, in_graph",
    [
        ({}, LOSSES, True),
        ({"weakly": True}, LOSSES, False),
        ({"weakly": True, "classifier_on_unlabeled": False}, LOSSES, False),
        ({"use_attention": False}, ["consistency", "supervised"], False),
        # A gradient in the step.
        ({"attention_strides": (15,)}, LOSSES, True),
    ],
    ids=str,
)
def test_losses_and_gradients(options, losses, in_graph):
    """Without a graph where it makes no difference, which is quicker."""
    method = make(**options)
    variables = method.trainable_variables

    def step(batch):
        with tf.GradientTape() as tape:
            output = run(method, batch)
            total = tf.add_n(list(output.losses.values()))
        return output.losses, tape.gradient(total, variables)

    if in_graph:
        step = tf.function(step, autograph=False)
    values, gradients = step(make_batch())
    assert sorted(values) == losses
    assert all(np.isfinite(value) for value in values.values())
    missing = [v.name for v, g in zip(variables, gradients) if g is None]
    if "classifier" in losses:
        assert not missing
    else:
        assert len(missing) == 2  # Kernel and biases of the classifier.


def test_draws_depend_on_seed_and_place_in_the_stream_only():
    method = make()
    losses = [
        float(run(method, make_batch(step=step), seed=seed).losses["supervised"])
        for step, seed in ((0, 0), (0, 0), (1, 0), (0, 1))
    ]
    assert losses[0] == losses[1]
    assert len(set(losses)) == 3  # Other images and seeds drop other channels.


def test_labels_of_unlabeled_images_reach_no_loss():
    method, batch = make(), make_batch()
    before = run(method, batch).losses
    batch["unlabeled"]["label"] = tf.zeros_like(batch["unlabeled"]["label"])
    batch["unlabeled"]["image_labels"] = tf.zeros([BATCH, CLASSES - 1])
    after = run(method, batch).losses
    for name in LOSSES:
        assert float(before[name]) == float(after[name])


def test_the_share_of_confident_pixels_has_a_curve_where_it_can_vary():
    method, batch = make(use_attention=False), make_batch()
    assert not {"mask_ratio", "class_mask_ratio"} & run(method, batch).monitors.keys()
    with gin.unlock_config():
        gin.bind_parameter("fuse.threshold", 1.0)
    monitors = run(method, batch).monitors
    assert monitors["mask_ratio"].result() == 0
    assert monitors["class_mask_ratio"].total.numpy().tolist() == [0.0] * CLASSES


@pytest.mark.parametrize("options", [{}, {"weakly": True}], ids=str)
def test_what_pseudoseg_sees_is_what_it_trains_with(options):
    # Version 1 has no batch norm, whose statistics differ between step and inference.
    with gin.unlock_config():
        gin.bind_parameter("SelfAttention.version", 1)
    method, unlabeled = make(**options), make_batch()["unlabeled"]
    unlabeled["image_labels"] = tf.constant([[1.0, 0.0, 1.0]] * BATCH)
    panels = run(method, {**make_batch(), "unlabeled": unlabeled}).images
    seen = method.class_scores(
        unlabeled["weak"], unlabeled["valid"], unlabeled["image_labels"]
    )
    for name, panel in (("CAM", "cam"), ("attention", "attention")):
        np.testing.assert_array_equal(
            np.argmax(seen[name], -1), panels[f"unlabeled/{panel}"].tensor
        )
    assert options == {} or not seen["CAM"][..., 2].numpy().any()
    for scores in (seen["attention"], seen["pseudo label"]):
        np.testing.assert_allclose(tf.reduce_sum(scores, -1), 1.0, atol=1e-5)


def test_the_decoder_alone_teaches_without_attention():
    method, images = make(use_attention=False), make_batch()["unlabeled"]["weak"]
    valid, image_labels = tf.ones([BATCH, SIDE, SIDE]), tf.ones([BATCH, CLASSES - 1])
    seen = method.class_scores(images, valid, image_labels)
    assert list(seen) == ["pseudo label"]
    squares = tf.nn.softmax(method.model(images)).numpy() ** 2  # Temperature 0.5.
    expected = squares / squares.sum(-1, keepdims=True)
    np.testing.assert_allclose(seen["pseudo label"], expected, atol=1e-6)
    assert make(Supervised).class_scores(images, valid, image_labels) == {}


@pytest.mark.parametrize("name", ["consistency", "attention", "classifier"])
def test_which_variables_a_loss_reaches(name):
    method, batch = make(), make_batch()
    variables = named_variables(method)
    variables = {n: v for n, v in variables.items() if v.trainable}
    with tf.GradientTape() as tape:
        loss = run(method, batch).losses[name]
    gradients = tape.gradient(loss, variables)
    reached = {n.split("/")[0] for n, g in gradients.items() if g is not None}
    attention = {"hyper_column", "pixel_normalization"}
    if name == "attention":
        assert reached == attention
    else:
        assert "plain" in reached and not reached & attention


@pytest.mark.parametrize("method", [Supervised, PseudoSeg])
def test_the_step_compiles_with_xla(method):
    made, batch = make(method), make_batch()
    compiled = tf.function(
        lambda b: run(made, b).losses, jit_compile=True, autograph=False
    )
    eager = run(made, batch).losses
    for name, value in compiled(batch).items():
        np.testing.assert_allclose(value, eager[name], rtol=2e-3)


def test_image_summaries_are_small_and_of_known_kinds():
    panels = run(make(), make_batch()).images
    assert {panel.kind for panel in panels.values()} == {"rgb", "label", "mask"}
    assert all(p.tensor.shape[0] == base.SHOWN_IMAGES for p in panels.values())


def test_a_checkpoint_of_ours_restores_every_variable(tmp_path):
    written, read = make(), make()
    for index, variable in enumerate(named_variables(written).values()):
        variable.assign(tf.fill(variable.shape, float(index)))
    saver = tf.train.Checkpoint(model=written.model, method=written)
    report = tf1_checkpoint.restore(saver.write(str(tmp_path / "ckpt")), read)
    assert not report.missing and not report.skipped
    for index, variable in enumerate(named_variables(read).values()):
        np.testing.assert_array_equal(variable, tf.fill(variable.shape, float(index)))


def test_ramp_up_of_the_consistency_loss():
    batch = make_batch()
    full = run(make(), batch, step=5).losses["consistency"]
    half = run(make(ramp_up_steps=10), batch, step=5).losses["consistency"]
    after = run(make(ramp_up_steps=5), batch, step=5).losses["consistency"]
    np.testing.assert_allclose(half, full / 2, rtol=1e-5)
    np.testing.assert_allclose(after, full, rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "Supervised",
        "PseudoSeg",
        "FixMatch",
        "UniMatch",
        "TeacherFixMatch",
        "UniMatchV2",
        "U2PL",
    ],
)
def test_every_method_takes_the_supervised_loss_that_gin_names(name):
    batch = make_batch()
    batch["unlabeled"]["strong_2"] = batch["unlabeled"]["strong"]
    options = {"warm_up_steps": 1} if name == "U2PL" else {}
    method = gin.get_configurable(name)
    plain = run(make(method, **options), batch).losses["supervised"]
    try:
        gin.parse_config("""
            Method.supervised_loss = @ohem_cross_entropy
            ohem_cross_entropy.threshold = 0.0
            ohem_cross_entropy.min_kept = 40
            """)
        hard = run(make(method, **options), batch).losses["supervised"]
        gin.parse_config("ohem_cross_entropy.min_kept = 100000000")
        whole = run(make(method, **options), batch).losses["supervised"]
    finally:
        gin.clear_config()
    assert hard > 1.02 * plain  # The 40 hardest pixels.
    np.testing.assert_allclose(whole, plain, rtol=1e-4)


def test_the_baseline_may_have_an_auxiliary_loss():
    batch = {"labeled": make_batch()["labeled"]}
    plain, method = make(Supervised), make(Supervised, auxiliary_weight=0.4)
    losses = run(method, batch).losses
    assert set(losses) == {"supervised", "auxiliary"}
    assert losses["supervised"] == run(plain, batch).losses["supervised"]
    names = {v.name for v in method.regularized_variables}
    assert names - {v.name for v in plain.regularized_variables} == {
        "auxiliary/conv/kernel:0",
        "auxiliary/outputs/kernel:0",
    }
