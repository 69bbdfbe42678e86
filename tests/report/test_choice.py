"""Which images are shown, on made-up scores."""

import pytest

from wss.errors import UserError
from wss.report.choice import ImageScore, Wanted, check_names, choose


def scored(**means):
    return [ImageScore(name, mean) for name, mean in means.items()]


RUN = scored(a=0.5, b=0.9, c=None, d=0.1, e=0.7, f=0.1)


def test_best_and_worst_come_in_the_order_of_their_scores():
    assert choose(Wanted(best=2, worst=3), [RUN]) == {
        "Best images": [1, 4],
        "Worst images": [5, 3, 0],
    }


def test_of_several_trainings_the_mean_decides():
    other = scored(a=1.0, b=0.1, c=None, d=0.5, e=0.6, f=0.0)
    # a 0.75, e 0.65, b 0.5, d 0.3, f 0.05
    assert choose(Wanted(best=3, worst=2), [RUN, other]) == {
        "Best images": [0, 4, 1],
        "Worst images": [5, 3],
    }


def test_an_image_is_shown_once_and_one_without_labels_has_no_rank():
    chosen = choose(Wanted(names=["e", "c"], first=2, best=9, worst=9), [RUN])
    assert chosen == {
        "Chosen images": [4, 2],
        "First images": [0, 1],
        "Best images": [3, 5],
    }


def test_an_unknown_name_is_told_with_the_closest():
    names = ["2007_000033", "2007_000042"]
    check_names(names[1:], names, "val")
    with pytest.raises(UserError, match="no image '2007_00042' in val.*'2007_000042'"):
        check_names(["2007_00042"], names, "val")
