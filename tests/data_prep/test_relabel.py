"""Publishers' labels become class ids."""

import numpy as np
import pytest

from data_prep import relabel
from wss.errors import UserError

CLASS_IDS = {7: 0, 255: 255, 0: 3, 40: 1}


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.int32, np.uint16])
def test_values(dtype):
    values = np.array([[0, 7, 7], [255, 40, 0]], dtype)
    found = relabel.look_up(values, CLASS_IDS, "a.png")
    assert found.dtype == np.uint8
    assert found.tolist() == [[3, 0, 0], [255, 1, 3]]
    for wrong in (1, 41, 254):
        values[1, 2] = wrong
        with pytest.raises(UserError, match=f"mask a.png has the value {wrong}, which"):
            relabel.look_up(values, CLASS_IDS, "a.png")


@pytest.mark.parametrize("wrong", [-1, 256, 70000])
def test_values_beyond_a_byte(wrong):
    with pytest.raises(UserError, match=f"has the value {wrong}, which is not a label"):
        relabel.look_up(np.array([[7, wrong]]), CLASS_IDS, "a.png")


def test_numbers_of_colours():
    colors = np.array([[[0, 0, 0], [255, 255, 255]], [[1, 2, 3], [64, 0, 128]]])
    numbers = relabel.number(colors.astype(np.uint8))
    assert numbers.tolist() == [[0, 0xFFFFFF], [0x010203, 0x400080]]
    assert relabel.color(0x400080) == "the color #400080"
