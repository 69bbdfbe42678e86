"""Which records are worth a look."""

import numpy as np

from data_prep.validation import reading
from data_prep.validation.tally import Tally
from wss.data.datasets.spec import DatasetSpec

SPEC = DatasetSpec("toy", ("background", "road", "car"))


def test_records_worth_a_look_show_each_class_and_come_from_all_over():
    tally = Tally(SPEC)
    for i in range(100):
        pixels = np.zeros(256, np.int64)
        pixels[[0, 255]] = 100 - i % 2
        pixels[1] = {40: 5, 41: 9}.get(i, 0)
        pixels[2] = 7 * (i == 70)
        record = reading.Record(
            0, i, str(i), (8, 8), 255, (8, 8), True, pixels, np.array([]), i, i
        )
        assert not list(tally.add(record, "shard"))
    assert list(tally.add(reading.Broken(0, 100, "broken"), "shard")) == ["broken"]
    chosen = tally.choose(6)
    assert {0, 41, 70} < set(chosen) and len(chosen) == 6
    assert chosen == sorted(chosen) and max(chosen) < 100
    assert tally.choose(1) == [70]  # The rarest class.
    assert sorted(tally.choose(500)) == list(range(100))
