"""DINOv2: sizes of images, positions, published files, modes of running.

Its numbers are compared with the published code's in tests/parity/transformers.py.
"""

import numpy as np
import pytest
import tensorflow as tf

from tests.models.networks import random_images
from tests.models.published import save_safetensors, save_torch
from tests.models.transformers import TINY, VARIANT, registered
from wss.errors import UserError
from wss.models import backbone, dinov2, pretrained
from wss.models.layers import precision_policy
from wss.models.tf1_checkpoint import named_variables

BLOCKS, CHANNELS = 4, 24


@pytest.fixture(autouse=True)
def tiny():
    with registered():
        yield


def make(**settings):
    tf.keras.utils.set_random_seed(1)
    return backbone.create_backbone(VARIANT, **settings)


def facebook(registers=0, blocks=BLOCKS):
    """Arrays as `dinov2_vits14_pretrain.pth` has them, of the tiny size."""
    random = np.random.RandomState(0)
    size = CHANNELS
    shapes = {
        "cls_token": [1, 1, size],
        "pos_embed": [1, 17, size],
        "mask_token": [1, size],
        "patch_embed.proj.weight": [size, 3, 14, 14],
        "patch_embed.proj.bias": [size],
        "norm.weight": [size],
        "norm.bias": [size],
    }
    if registers:
        shapes["register_tokens"] = [1, registers, size]
    for block in (f"blocks.{i}" for i in range(blocks)):
        for name in ("norm1", "norm2"):
            shapes[f"{block}.{name}.weight"] = [size]
            shapes[f"{block}.{name}.bias"] = [size]
        for name, inputs, outputs in (
            ("attn.qkv", size, 3 * size),
            ("attn.proj", size, size),
            ("mlp.fc1", size, 4 * size),
            ("mlp.fc2", 4 * size, size),
        ):
            shapes[f"{block}.{name}.weight"] = [outputs, inputs]
            shapes[f"{block}.{name}.bias"] = [outputs]
        shapes[f"{block}.ls1.gamma"] = shapes[f"{block}.ls2.gamma"] = [size]
    return {
        name: random.normal(0, 0.1, shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def transformers(arrays):
    """The same arrays as `model.safetensors` of facebook/dinov2-small has them."""
    renamed = {}
    for name, array in arrays.items():
        for theirs, ours in {
            "cls_token": "embeddings.cls_token",
            "pos_embed": "embeddings.position_embeddings",
            "mask_token": "embeddings.mask_token",
            "patch_embed.proj": "embeddings.patch_embeddings.projection",
            "blocks.": "encoder.layer.",
            "attn.proj": "attention.output.dense",
            "ls1.gamma": "layer_scale1.lambda1",
            "ls2.gamma": "layer_scale2.lambda1",
        }.items():
            name = name.replace(theirs, ours)
        if name.startswith("norm."):
            name = f"layer{name}"
        if "attn.qkv" in name:
            for part, values in zip(("query", "key", "value"), np.split(array, 3)):
                renamed[name.replace("attn.qkv", f"attention.attention.{part}")] = (
                    np.ascontiguousarray(values)
                )
        else:
            renamed[name] = array
    return renamed


def test_end_points():
    network = make()
    end_points = network(random_images(2, 28, 42))
    names = [f"{VARIANT}/block_{number}" for number in (1, 2, 3, 4)]
    assert list(end_points) == network.token_end_points == names
    assert [network.strides[stride] for stride in (13, 14, 15, 16)] == names
    for end_point in end_points.values():
        assert end_point.shape == (2, 2, 3, CHANNELS)
        # Layer normalization was the last.
        np.testing.assert_allclose(np.mean(end_point, -1), 0.0, atol=1e-5)


def test_the_published_members():
    parameters = {}
    for name in ("dinov2_vits14", "dinov2_vits14_reg"):
        network = backbone.create_backbone(name)
        count = sum(v.shape.num_elements() for v in network.variables)
        parameters[name] = count
        assert network.token_end_points == [
            f"{name}/block_{number}" for number in (3, 6, 9, 12)
        ]
    assert parameters["dinov2_vits14"] == 22_056_192  # Without the mask token.
    assert parameters["dinov2_vits14_reg"] - 22_056_192 == 4 * 384
    assert backbone.patch_size("dinov2_vitb14") == 14
    assert backbone.patch_size("dinov2_vitl14_reg") == 14
    assert backbone.patch_size("resnet_50") is None


@pytest.mark.parametrize("size", [(28, 29), (27, 28)])
def test_other_sizes_are_refused(size):
    with pytest.raises(UserError, match=f"multiples of 14, not {size[0]} x {size[1]}"):
        make()(random_images(1, *size))


def test_the_mean_pixel_is_0_after_preprocessing():
    network = make()
    color = tf.constant(dinov2.MEAN_PIXEL, tf.float32)
    images = tf.zeros([1, 28, 28, 3]) + color
    seen = []
    network.patches.call = lambda inputs: seen.append(inputs) or tf.zeros([1, 2, 2, 24])
    network(images)
    np.testing.assert_allclose(seen[0], 0.0, atol=1e-5)
    assert backbone.mean_pixel(VARIANT) == dinov2.MEAN_PIXEL


@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize("offset", [0.0, 0.1])
@pytest.mark.parametrize("side", [3, 4, 9])
def test_weights_of_resizing(side, offset, antialias):
    weights = dinov2.cubic_weights(side, 4, offset, antialias)
    assert weights.shape == (side, 4)
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-6)
    assert np.array_equal(weights, np.eye(4)) == ((side, offset) == (4, 0.0))


def test_the_offset_shifts_the_positions_of_other_sizes_only():
    networks = [make(position_offset=offset) for offset in (None, 0.1, 0.0)]
    for size, differs in (((56, 56), False), ((56, 70), True)):
        default, published, none = (
            network(random_images(1, *size))[network.token_end_points[0]].numpy()
            for network in networks
        )
        np.testing.assert_array_equal(default, published)
        assert (np.abs(default - none).max() > 1e-5) == differs


@pytest.mark.parametrize("publisher", ["facebook", "transformers"])
def test_published_files(publisher, tmp_path, caplog):
    arrays = facebook()
    path = str(tmp_path / "weights")
    if publisher == "facebook":
        save_torch(path, arrays)
    else:
        save_safetensors(path, transformers(arrays))
    network = make()
    with caplog.at_level("DEBUG", logger="absl"):
        report = pretrained.restore(path, VARIANT, network)
    assert not report.missing and not report.skipped
    unused = [x for x in caplog.messages if x.startswith("not used")]
    assert len(unused) == 1 and unused[0].endswith("mask_token")
    named = named_variables(network)
    for name, theirs in {
        "tokens/class_token": "cls_token",
        "tokens/position_embedding": "pos_embed",
        "block_2/attention/scale/gamma": "blocks.1.ls1.gamma",
        "block_2/mlp/LayerNorm/beta": "blocks.1.norm2.bias",
        "block_2/attention/qkv/biases": "blocks.1.attn.qkv.bias",
        "LayerNorm/gamma": "norm.weight",
    }.items():
        np.testing.assert_array_equal(named[f"{VARIANT}/{name}"], arrays[theirs])
    for name, theirs in {
        "block_4/attention/qkv/weights": "blocks.3.attn.qkv.weight",
        "block_1/mlp/hidden/weights": "blocks.0.mlp.fc1.weight",
    }.items():
        np.testing.assert_array_equal(named[f"{VARIANT}/{name}"], arrays[theirs].T)
    kernel = arrays["patch_embed.proj.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(named[f"{VARIANT}/patches/weights"], kernel)


@pytest.mark.parametrize(
    "arrays, message",
    [
        (facebook(registers=4), "it has .*tokens/register_tokens too"),
        (facebook(blocks=5), "it has blocks.4.attn.proj too"),
        (facebook(blocks=3), "it has no blocks.3.attn.proj"),
        (
            {**facebook(), "pos_embed": np.zeros([1, 26, CHANNELS], np.float32)},
            r"position_embedding is \[1, 26, 24\] there, \[1, 17, 24\] here",
        ),
        (
            {k: v for k, v in facebook().items() if k != "cls_token"},
            "it has no .*class_token",
        ),
    ],
    ids=["registers", "deeper", "shallower", "grid", "no class token"],
)
def test_files_of_other_networks(arrays, message, tmp_path):
    save_torch(tmp_path / "weights.pth", arrays)
    with pytest.raises(UserError, match=message):
        pretrained.read(str(tmp_path / "weights.pth"), VARIANT)


def test_half_a_transformers_attention_is_named(tmp_path):
    arrays = transformers(facebook())
    missing = "encoder.layer.1.attention.attention.key"
    arrays = {k: v for k, v in arrays.items() if not k.startswith(missing)}
    save_safetensors(tmp_path / "weights", arrays)
    with pytest.raises(UserError, match=f"it has no {missing}"):
        pretrained.read(str(tmp_path / "weights"), VARIANT)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_end_points_stay_float32(precision):
    with precision_policy(precision):
        network = make()
    assert network.blocks[0].mlp.hidden.compute_dtype == precision[len("mixed_") :]
    images = random_images(1, 56, 56)
    name = network.token_end_points[-1]
    found, exact = network(images)[name], make()(images)[name]
    assert found.dtype == tf.float32
    np.testing.assert_allclose(found, exact, atol=0.05)
    assert np.abs(found - exact).max() > 1e-5


def gradients(network, images, **options):
    @tf.function(autograph=False, **options)
    def compute():
        with tf.GradientTape() as tape:
            end_points = network(images, training=True)
            loss = tf.add_n([tf.reduce_mean(x**3) for x in end_points.values()])
        return loss, tape.gradient(loss, network.trainable_variables)

    return tf.nest.flatten(compute())


def test_recomputed_blocks_and_xla_change_no_number():
    network, images = make(), random_images(2, 28, 42)
    expected = gradients(network, images)
    compiled = gradients(network, images, jit_compile=True)
    network.recompute = True
    for found in (gradients(network, images), compiled):
        for ours, theirs in zip(found, expected):
            np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=2e-5)


def test_every_variable_has_a_gradient_and_a_name():
    network = make()
    assert len(named_variables(network)) == len(network.variables) == 62
    assert all(
        np.abs(g).max() > 0 for g in gradients(network, random_images(1, 28, 42))
    )
    assert TINY.channels == network.channels
