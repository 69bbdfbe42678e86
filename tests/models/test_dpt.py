"""DPT: shapes, modes of running, heads, and which network a backbone gets.

Its numbers are compared with the published code's in tests/parity/transformers.py.
"""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.networks import random_images
from tests.models.transformers import TINY, VARIANT, registered
from wss.errors import UserError
from wss.models import networks
from wss.models.batch_norm import collect_batch_statistics
from wss.models.deeplab import DeepLabV3Plus
from wss.models.dpt import DPT
from wss.models.layers import precision_policy
from wss.models.tf1_checkpoint import named_variables

SIZE = (28, 42)


@pytest.fixture(autouse=True)
def tiny():
    with registered():
        yield


def make(**settings):
    tf.keras.utils.set_random_seed(1)
    return DPT(5, VARIANT, **settings)


@pytest.fixture(scope="module")
def model():
    with registered():
        return make()


def images():
    return random_images(2, *SIZE)


def test_logits_have_8_pixels_per_patch_and_side(model):
    logits = model(images())
    assert logits.shape == (2, 16, 24, 5)
    assert model.logits_size(SIZE) == (16, 24)
    assert model.logits_size((518, 518)) == (296, 296)
    assert logits.dtype == tf.float32


def test_scaled_sizes_are_multiples_of_a_patch(model):
    assert model.scaled_size((518, 518), 1.5) == (784, 784)  # 777 is between two.
    assert model.scaled_size((518, 70), 0.5) == (266, 42)
    assert model.scaled_size((14, 14), 0.1) == (14, 14)


def test_every_variable_exists_and_has_a_name():
    model = make()
    before = len(model.variables)
    end_points = model.backbone(images())
    model.classify(end_points)
    model.segment(end_points)
    assert before == len(model.variables) == len(named_variables(model))
    assert not model.non_trainable_variables  # No batch norm.


def test_regularized_variables_are_the_kernels(model):
    named = named_variables(model)
    kernels = {name for name in named if name.endswith("/weights")}
    assert {v.ref() for v in model.regularized_variables} == {
        named[name].ref() for name in kernels
    }
    assert {name.partition("/")[0] for name in kernels} == {VARIANT, "dpt", "logits"}
    assert f"{VARIANT}/tokens/position_embedding" in set(named) - kernels


def test_the_decoder_needs_its_inputs_only(model):
    end_points = model.backbone(images())
    few = {name: end_points[name] for name in model.decoder_inputs}
    np.testing.assert_array_equal(model.segment(few), model(images()))
    assert len(few) == 4
    assert len({x.shape for x in few.values()}) == 1  # One mask of channels for all.


def test_widths_are_those_of_the_variant(model):
    assert model.fuse(model.backbone(images())).shape == (2, 16, 24, 16)
    shapes = [layer.kernel.shape[-1] for layer in model.decoder.projections]
    assert shapes == [8, 12, 16, 24]


def test_another_head_reads_what_the_logits_read(model):
    head = model.create_head("representation", 7)
    fused = model.fuse(model.backbone(images()))
    np.testing.assert_array_equal(model.read_logits(fused), model(images()))
    assert head(fused).shape == (2, 16, 24, 7)
    assert set(named_variables(head)) == {
        f"representation/{layer}/{leaf}"
        for layer in ("conv0", "outputs")
        for leaf in ("weights", "biases")
    }


def test_an_auxiliary_head(model):
    head = model.create_auxiliary_head("auxiliary", 15)
    end_points = model.backbone(images())
    with collect_batch_statistics():
        logits = head(model.end_point(end_points, 15), tf.zeros([2, 2], tf.int32))
    assert logits.shape == (2, 2, 3, 5)
    with pytest.raises(
        UserError, match="no named end point of stride 4; .* 13, 14, 15"
    ):
        model.create_auxiliary_head("auxiliary", 4)


def test_the_classifier_is_linear_in_the_mean_token(model):
    end_points = model.backbone(images())
    mean = tf.reduce_mean(model.features(end_points), [1, 2])
    expected = mean @ model.classifier_kernel + model.classifier.bias
    np.testing.assert_allclose(model.classify(end_points), expected, atol=1e-6)
    assert model.dropout_mask(tf.zeros([2, 2], tf.int32)) is None
    assert model.end_point_channels((15, 16)) == [24, 24]


@pytest.mark.parametrize("registers", [0, 4])
def test_a_graph_of_images_of_all_sizes(registers):
    with registered(TINY._replace(registers=registers)):
        network = make()
    spec = tf.TensorSpec([None, None, None, 3])
    graph = tf.function(network, [spec], autograph=False)
    for size in ((56, 56), (28, 70), (70, 14)):  # The first is the trained one.
        images = random_images(2, *size)
        np.testing.assert_allclose(graph(images), network(images), atol=1e-6)


@pytest.mark.parametrize("settings", [{}, dict(position_offset=0.0, recompute=True)])
def test_a_twin_and_a_network_of_the_same_configuration(settings):
    model = make(**settings)
    for other in (model.clone(), networks.from_config(model.get_config())):
        ours, theirs = named_variables(model), named_variables(other)
        assert not {v.ref() for v in ours.values()} & {v.ref() for v in theirs.values()}
        for name, variable in ours.items():
            theirs[name].assign(variable)
        np.testing.assert_array_equal(model(images()), other(images()))
        assert other.backbone.recompute == model.backbone.recompute


def test_which_network():
    assert isinstance(networks.create(3, VARIANT, 16), DPT)
    small = networks.create(3, "resnet_v1_18_quarter_beta", 8)
    assert isinstance(small, DeepLabV3Plus) and small.output_stride == 8
    other = networks.from_config(small.get_config())
    assert isinstance(other, DeepLabV3Plus) and other.output_stride == 8
    assert networks.grid("xception_65", 16)[:2] == (16, 1)
    assert networks.grid(VARIANT, 16)[:2] == (14, 0)
    with pytest.raises(UserError, match="'resnet_50' is a convolutional backbone"):
        DPT(3, "resnet_50")
    with pytest.raises(
        UserError, match="no decoder end point of stride 4; it has none"
    ):
        DeepLabV3Plus(3, VARIANT)
    with pytest.raises(
        UserError,
        match="MODEL_VARIANT = 'dinov9': there is no such backbone. Choose one of",
    ):
        networks.check("dinov9")


def test_mixed_precision_keeps_logits_float32():
    with precision_policy("mixed_bfloat16"):
        model = make()
    end_points = model.backbone(images(), training=True)
    assert model.fuse(end_points).dtype == tf.bfloat16
    logits = model.segment(end_points, training=True)
    assert logits.dtype == model.classify(end_points).dtype == tf.float32
    reference = make()(images())
    assert np.max(np.abs(logits - reference)) < 0.1 * np.max(np.abs(reference))


def train_step(model, images):
    with tf.GradientTape() as tape:
        end_points = model.backbone(images, training=True)
        logits = model.segment(end_points, True)
        signs = np.random.RandomState(1).choice([-1.0, 1.0], logits.shape)
        loss = tf.reduce_mean(logits * tf.constant(signs, tf.float32))
        loss += tf.reduce_mean(model.classify(end_points) ** 2)
    return [loss, *tape.gradient(loss, model.trainable_variables)]


def test_compiles_under_xla(model):
    expected = train_step(model, images())
    step = tf.function(train_step, jit_compile=True, autograph=False)
    for found, ours in zip(step(model, images()), expected):
        scale = np.abs(ours).max()
        np.testing.assert_allclose(found, ours, rtol=1e-3, atol=1e-4 * scale)


@pytest.mark.usefixtures("unoptimized")
def test_two_replicas_agree_with_one(two_cpus, model):
    with two_cpus.scope():
        mirrored = make()
    step = tf.function(
        lambda: two_cpus.run(lambda: train_step(mirrored, images())), autograph=False
    )
    for found, ours in zip(step(), train_step(model, images())):
        for value in two_cpus.experimental_local_results(found):
            scale = np.abs(ours).max()
            np.testing.assert_allclose(value, ours, rtol=1e-3, atol=1e-4 * scale)
