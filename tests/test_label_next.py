"""The measurement of chosen labels: what it draws, ranks and concludes."""

import numpy as np
import pytest

from benchmarks import label_next
from wss import predict


def test_images_are_drawn_once():
    first, others = label_next.drawn(range(3, 13), 4, np.random.default_rng(5))
    assert len(first) == 4 and sorted(first + others) == list(range(3, 13))
    assert first == sorted(first) and others == sorted(others)
    assert label_next.drawn(range(3, 13), 4, np.random.default_rng(6))[0] != first


def test_the_commands_order_is_used(tmp_path, monkeypatch):
    def main(arguments):
        given = dict(one.lstrip("-").split("=") for one in arguments if "=" in one)
        assert given["model_dir"] == "run" and "--rank" in arguments
        photos = tmp_path / "seed" / "photos"
        assert given["images"] == str(photos)
        assert [path.name for path in sorted(photos.iterdir())] == [
            "0000003.jpg",
            "0000012.jpg",
        ]
        (tmp_path / "seed" / "ranked").mkdir()
        (tmp_path / "seed" / "ranked" / "ranking.csv").write_text(
            f"rank,photo\n1,{photos}/0000012.jpg\n2,{photos}/0000003.jpg\n"
        )
        return 0

    monkeypatch.setattr(predict, "main", main)
    assert label_next.rank("run", [3, 12], str(tmp_path / "seed")) == [12, 3]
    monkeypatch.setattr(predict, "main", lambda arguments: 2)
    with pytest.raises(RuntimeError, match="status 2"):
        label_next.rank("run", [3], str(tmp_path / "seed"))


@pytest.mark.parametrize("random, verb", [(61.0, "beat"), (63.5, "did not beat")])
def test_the_conclusion_follows_the_means(random, verb):
    text = label_next.report([(50.0, 62.0, random), (52.0, 63.0, random)], 32)
    assert text.splitlines()[2] == f"| 50.0 | 62.0 | {random} |"
    assert text.splitlines()[-1] == (
        f"32 chosen labels {verb} 32 random ones in the mean of 2 seeds: mIoU 62.5 and "
        f"{random}."
    )
