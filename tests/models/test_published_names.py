"""Names and layouts of publishers: kernels turned, biases folded, the rest told."""

import numpy as np

from wss.models.published_names import Naming, with_batch_norm

LAYERS = {
    **with_batch_norm("conv", "bn", "root"),
    **with_batch_norm("dw", "dw_bn", "unit/depthwise"),
    "fc": "logits",
}


def array(*shape):
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)


def test_layouts_of_pytorch():
    values, unused = Naming("PyTorch", LAYERS).translate(
        {
            "conv.weight": array(2, 3, 5, 7),
            "bn.running_mean": array(2),
            "bn.num_batches_tracked": np.array(3),
            "dw.weight": array(4, 1, 3, 3),
            "dw_bn.weight": array(4).astype(np.float16),
            "fc.weight": array(9, 4),
            "fc.bias": array(9),
            "head.weight": array(1),
        }
    )
    assert unused == ["head.weight"]
    assert {name: value.shape for name, value in values.items()} == {
        "root/weights": (5, 7, 3, 2),
        "root/BatchNorm/moving_mean": (2,),
        "unit/depthwise/depthwise_weights": (3, 3, 4, 1),
        "unit/depthwise/BatchNorm/gamma": (4,),
        "logits/weights": (1, 1, 4, 9),
        "logits/biases": (9,),
    }
    assert all(value.dtype == np.float32 for value in values.values())
    kernel = array(2, 3, 5, 7)
    assert values["root/weights"][4, 6, 2, 1] == kernel[1, 2, 4, 6]
    assert values["logits/weights"][0, 0, 3, 8] == array(9, 4)[8, 3]


def test_layouts_of_keras():
    values, unused = Naming("Keras", LAYERS).translate(
        {
            "conv/kernel": array(5, 7, 3, 2),
            "conv/bias": np.float32([1, 2]),
            "bn/moving_mean": np.float32([10, 20]),
            "bn/gamma": array(2),
            "fc/kernel": array(4, 9),
            "fc/bias": array(9),
        }
    )
    assert not unused
    np.testing.assert_array_equal(values["root/BatchNorm/moving_mean"], [9, 18])
    np.testing.assert_array_equal(values["root/weights"], array(5, 7, 3, 2))
    np.testing.assert_array_equal(values["logits/weights"][0, 0], array(4, 9))
    assert set(values) == {
        "root/weights",
        "root/BatchNorm/moving_mean",
        "root/BatchNorm/gamma",
        "logits/weights",
        "logits/biases",
    }


def test_differences_from_a_file_of_another_network():
    layers = {**with_batch_norm("conv1", "bn1", "root"), "fc": "logits"}
    layers.update(with_batch_norm("layer1.0.conv1", "layer1.0.bn1", "unit"))
    naming = Naming("PyTorch", layers)
    names = [f"{layer}.weight" for layer in layers]
    assert naming.differences(names) == []
    assert naming.differences(names[:2] + names[3:]) == []  # Without the classifier.
    assert naming.differences([*names, "aux.0.bias", "mean"]) == []
    assert naming.differences(names[1:]) == ["it has no conv1"]
    for inside in ("layer1.0.se.fc", "layer2.5.bn1"):
        assert naming.differences([*names, f"{inside}.bias"]) == [
            f"it has {inside} too"
        ]
    keras = Naming("Keras", with_batch_norm("conv1_conv", "conv1_bn", "root"))
    names = ["conv1_conv/kernel", "conv1_bn/gamma"]
    assert keras.differences(names) == []
    more = [*names, "conv2_conv/kernel"]
    assert keras.differences(more) == ["it has conv2_conv too"]
