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
    values.pop("root/BatchNorm/num_batches_tracked")
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
