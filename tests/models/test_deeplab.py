"""DeepLabV3+: shapes, modes of running, heads."""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.networks import random_images, small_model
from wss.errors import UserError
from wss.models.batch_norm import collect_batch_statistics
from wss.models.deeplab import DeepLabV3Plus
from wss.models.tf1_checkpoint import named_variables


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.mark.parametrize(
    "size, logits", [((33, 65), (9, 17)), ((32, 48), (8, 12)), ((35, 46), (9, 12))]
)
def test_any_size_of_image(model, size, logits):
    outputs = model(random_images(1, *size))
    assert outputs.shape == (1, *logits, 5)
    assert model.logits_size(size) == logits
    assert outputs.dtype == tf.float32


def test_every_variable_exists_after_construction():
    model = small_model()
    before = len(model.variables)
    model.classify(model.backbone(random_images()))
    model(random_images())
    assert before == len(model.variables) == len(named_variables(model)) == 189


def test_regularized_variables_are_the_kernels(model):
    variables = named_variables(model)
    kernels = {name for name in variables if name.endswith("/weights")}
    assert len(kernels) == 34
    assert {v.ref() for v in model.regularized_variables} == {
        variables[name].ref() for name in kernels
    }


def test_graph_equals_eager(model):
    images, seeds = random_images(), tf.constant([[1, 2], [1, 3]])

    def passes(images):
        end_points = model.backbone(images, training=True)
        logits = model.segment(end_points, training=True, dropout_seeds=seeds)
        return logits, model.classify(end_points)

    eager, graph = passes(images), tf.function(passes, autograph=False)(images)
    for x, y in zip(eager, graph):
        np.testing.assert_allclose(x, y, atol=1e-4)


def test_dropout_of_the_pyramid_is_a_function_of_the_examples_seed(model):
    end_points = model.backbone(random_images())
    first, second, third = [1, 2], [1, 3], [1, 4]

    def segment(*seeds):
        return model.segment(end_points, dropout_seeds=tf.constant(seeds)).numpy()

    logits, other = segment(first, second), segment(third, second)
    np.testing.assert_array_equal(logits, segment(first, second))
    np.testing.assert_array_equal(logits[1], other[1])
    assert np.max(np.abs(logits[0] - other[0])) > 0
    assert np.max(np.abs(logits - model.segment(end_points))) > 0


def test_classifier_is_linear_in_the_mean_feature(model):
    end_points = model.backbone(random_images())
    features = model.end_point(end_points, 16)
    mask = tf.cast(tf.range(128) % 2, tf.float32)[tf.newaxis, tf.newaxis, tf.newaxis]
    for dropout_mask, kept in ((None, 1.0), (mask, mask[0, 0, 0])):
        logits = model.classify(end_points, dropout_mask)
        pooled = tf.reduce_mean(features, [1, 2]) * kept
        expected = pooled @ model.classifier_kernel + model.classifier.bias
        np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_prelogits_dropout(model):
    seeds = tf.constant([[1, 2], [1, 3]])
    assert model.dropout_mask(seeds) is None  # A ResNet.
    model.backbone.prelogits_keep = 0.5
    try:
        mask = model.dropout_mask(seeds)
    finally:
        model.backbone.prelogits_keep = 1.0
    assert mask.shape == (2, 1, 1, 128)
    assert set(np.unique(mask)) == {0.0, 2.0}
    assert abs(np.mean(mask) - 1.0) < 0.1
    assert np.any(mask[0] != mask[1])


def test_end_points_by_stride(model):
    end_points = model.backbone(random_images())
    assert model.end_point(end_points, 15) is end_points["resnet_v1_18/block3"]
    with pytest.raises(UserError, match="13.*8, 14, 15, 16"):
        model.end_point(end_points, 13)


def test_decoder_at_stride_8():
    model = small_model(decoder_output_stride=8)
    assert model(random_images(1, 33, 65)).shape == (1, 5, 9, 5)
    with pytest.raises(UserError, match="16.*4, 8"):
        small_model(decoder_output_stride=16)


def test_output_stride():
    model = small_model(output_stride=8)
    end_points = model.backbone(random_images(1, 33, 65))
    assert model.end_point(end_points, 16).shape == (1, 5, 9, 128)
    assert model.segment(end_points).shape == (1, 9, 17, 5)
    with pytest.raises(UserError, match="stride = 12; it has to be one of 8, 16, 32"):
        small_model(output_stride=12)


def test_mixed_precision_keeps_logits_float32():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        model = small_model()
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    images = random_images()
    end_points = model.backbone(images, training=True)
    assert model.end_point(end_points, 16).dtype == tf.bfloat16
    logits = model.segment(end_points, training=True)
    assert logits.dtype == model.classify(end_points).dtype == tf.float32
    exact = small_model()
    for x, y in zip(exact.variables, model.variables):
        x.assign(y)
    reference = exact(images)
    assert np.max(np.abs(model(images) - reference)) < 0.1 * np.max(np.abs(reference))


def train_step(model, images, variables):
    with collect_batch_statistics() as statistics, tf.GradientTape() as tape:
        end_points = model.backbone(images, training=True)
        logits = model.segment(end_points, True, tf.constant([[1, 2], [1, 3]]))
        # Random signs: the mean of squares hardly changes with weights before a batch
        # norm, so that its gradient is what rounding leaves.
        signs = np.random.RandomState(1).choice([-1.0, 1.0], logits.shape)
        loss = tf.reduce_mean(logits * tf.constant(signs, tf.float32)) + tf.reduce_mean(
            model.classify(end_points) ** 2
        )
    gradients = tape.gradient(loss, variables)
    statistics.apply()
    return loss, tf.linalg.global_norm(gradients)


def test_compiles_under_xla():
    model = small_model()
    images = random_images()
    # XLA takes a minute for all gradients on a CPU; the head has every operation.
    variables = model.pyramid_pooling.trainable_variables
    before = [v.numpy() for v in model.variables]
    plain = train_step(model, images, variables)
    averages = [v.numpy() for v in model.non_trainable_variables]
    for variable, value in zip(model.variables, before):
        variable.assign(value)
    step = tf.function(
        lambda images: train_step(model, images, variables),
        jit_compile=True,
        autograph=False,
    )
    np.testing.assert_allclose(plain, step(images), rtol=1e-3)
    for ours, expected in zip(model.non_trainable_variables, averages):
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("unoptimized")
def test_two_replicas_agree_with_one(two_cpus):
    images = random_images()
    with two_cpus.scope():
        model = small_model()
    single = small_model()
    for x, y in zip(single.variables, model.variables):
        x.assign(y)

    @tf.function(autograph=False)
    def step():
        variables = model.trainable_variables
        return two_cpus.run(lambda: train_step(model, images, variables))

    loss, norm = step()
    expected_loss, expected_norm = train_step(
        single, images, single.trainable_variables
    )
    for value in two_cpus.experimental_local_results(loss):
        np.testing.assert_allclose(value, expected_loss, rtol=1e-4)
    for value in two_cpus.experimental_local_results(norm):
        np.testing.assert_allclose(value, expected_norm, rtol=1e-3)
    for x, y in zip(single.non_trainable_variables, model.non_trainable_variables):
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5)


def test_a_twin_has_variables_of_its_own():
    model = small_model(output_stride=8, batch_norm_decay=0.9)
    twin = model.clone()
    ours, theirs = named_variables(model), named_variables(twin)
    assert {n: v.shape for n, v in ours.items()} == {
        n: v.shape for n, v in theirs.items()
    }
    assert not {v.ref() for v in ours.values()} & {v.ref() for v in theirs.values()}
    for name, variable in ours.items():
        theirs[name].assign(variable)
    images = random_images()
    np.testing.assert_array_equal(model(images), twin(images))


def test_another_head_reads_what_the_decoder_fuses():
    model = small_model()
    before = set(named_variables(model))
    head = model.create_head("other", 3)
    end_points = model.backbone(random_images())
    fused = model.fuse(end_points)
    np.testing.assert_array_equal(model.read_logits(fused), model.segment(end_points))
    assert head(fused).shape == (2, 9, 9, 3) and head(fused).dtype == tf.float32
    assert set(named_variables(model)) == before
    names = set(named_variables(head))
    assert names == {
        n.replace("decoder/decoder_conv", "other/conv")
        for n in before
        if n.startswith("decoder/decoder_conv")
    } | {"other/outputs/weights", "other/outputs/biases"}


@pytest.mark.parametrize("heads", ["unimatch", "u2pl"])
def test_published_heads(heads):
    """Plain 3x3 convolutions, early features after the sum; their numbers: parity."""
    model = small_model(heads=heads)
    names = named_variables(model)
    assert not any("depthwise" in name for name in names if "resnet" not in name)
    assert names["aspp1/weights"].shape[:2] == (3, 3)
    assert names["decoder/decoder_conv1/weights"].shape[:2] == (3, 3)
    width = {"unimatch": 48, "u2pl": 256}[heads]
    assert names["decoder/feature_projection0/weights"].shape[-1] == width
    end_points = model.backbone(random_images())
    low_level = end_points[model.low_level_end_point]
    assert model.low_level_end_point.endswith("/lite_bottleneck_v1")
    assert np.all(low_level >= 0)  # After the ReLU of the sum.
    config = DeepLabV3Plus.from_config(model.get_config()).get_config()
    assert config["heads"] == heads


def test_dropout_of_published_heads():
    """UniMatch's heads drop nothing, U2PL's whole channels, others in each layer."""
    images = random_images()
    seeds = tf.constant([[1, 2], [3, 4]])
    plain = small_model(heads="unimatch")
    end_points = plain.backbone(images)
    np.testing.assert_array_equal(
        plain.segment(end_points, dropout_seeds=seeds), plain.segment(end_points)
    )
    model = small_model(heads="u2pl")
    end_points = model.backbone(images)
    features = model.features(end_points)
    kept, dropped = (
        model.pyramid_pooling(features, False, some).numpy() for some in (None, seeds)
    )
    ratio = dropped[kept > 0] / kept[kept > 0]
    np.testing.assert_allclose(np.unique(ratio.round(4)), [0.0, 1.1111])
    whole = np.all(dropped == 0, axis=(1, 2))
    assert np.all(whole | np.any(dropped != 0, axis=(1, 2)))
    fused = model.fuse(end_points)
    found = [
        model.read_logits(fused, False, some).numpy() for some in (None, seeds, seeds)
    ]
    np.testing.assert_array_equal(found[1], found[2])
    assert not np.array_equal(found[0], found[1])


def test_unknown_heads_are_named():
    with pytest.raises(UserError, match="deeplab, unimatch, u2pl"):
        small_model(heads="psp")


def test_backbone_and_heads_may_have_different_decays():
    model = small_model(batch_norm_decay=0.9, backbone_batch_norm_decay=0.9997)
    assert model.pyramid_pooling.image_pooling.batch_norm.decay == 0.9
    assert model.decoder.projection.batch_norm.decay == 0.9
    assert model.backbone.root[0].batch_norm.decay == 0.9997
    assert small_model(batch_norm_decay=0.9).backbone.root[0].batch_norm.decay == 0.9


@pytest.mark.parametrize("image_pooling", [False, True])
def test_without_image_pooling_padding_does_not_matter(image_pooling):
    model = small_model(image_pooling=image_pooling, atrous_rates=(2,))
    pyramid = model.pyramid_pooling
    channels = model.backbone.channels
    features = tf.random.stateless_uniform([1, 9, 9, channels], [0, 1])
    padded = tf.pad(features, [[0, 0], [0, 0], [0, 6], [0, 0]])
    alone, part = pyramid(features, False, None), pyramid(padded, False, None)[:, :, :9]
    assert np.allclose(alone, part, atol=1e-5) == (not image_pooling)
    names = set(named_variables(model))
    assert any(name.startswith("image_pooling/") for name in names) == image_pooling
    kernel = named_variables(model)["concat_projection/weights"]
    assert kernel.shape == (1, 1, 8 * (2 + image_pooling), 8)


def test_a_clone_is_frozen_like_its_network():
    model = small_model(frozen_batch_norm="all", image_pooling=False)
    trained = {n for n, v in named_variables(model).items() if v.trainable}
    clone = model.clone()
    assert {n for n, v in named_variables(clone).items() if v.trainable} == trained
    assert named_variables(clone).keys() == named_variables(model).keys()
    assert "aspp0/BatchNorm/gamma" in trained
    assert not any("resnet" in name and "BatchNorm" in name for name in trained)
    layers = {
        layer.name: layer for layer in model.submodules if hasattr(layer, "frozen")
    }
    assert layers["resnet_v1_18/conv1_1/BatchNorm"].frozen == "all"
    assert layers["aspp0/BatchNorm"].frozen == "none"
    assert model.get_config()["frozen_batch_norm"] == "all"
