"""The page of made-up runs: valid, complete, escaped and self-contained."""

import html.parser
import pathlib
import re
import runpy
import types

import numpy as np
import pytest

from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.ops import metrics
from wss.report import page
from wss.report.page import Selection, check_names, choose
from wss.report.run_results import Evaluation, ImagePrediction, ImageScore
from wss.visualization import figures
from wss.visualization.figures import Panel
from wss.visualization.label_colors import (
    IGNORED_COLOR,
    RIGHT_COLOR,
    WRONG_COLOR,
    heat_map,
)

NAMES = ("ground", "cat & <dog>", "bird")
PALETTE = np.array([[0, 0, 0], [200, 0, 0], [0, 0, 250]], np.uint8)
SPEC = DatasetSpec("toy", NAMES, PALETTE)
VOID = ("meta", "img")
NAN = float("nan")
HIGHEST, LOWEST = heat_map([1, 0])


class Reader(html.parser.HTMLParser):
    """Checks that elements are closed in their order; keeps texts and attributes."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.open, self.texts, self.attributes, self.tags = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read(text):
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    return reader


def make_run(name, **changes):
    values = dict(
        name=name,
        spec=SPEC,
        split="val",
        method="PseudoSeg",
        model="resnet",
        step=20,
        protocol={"text": "whole images padded to 33 x 33"},
        record={
            "command": "python -m wss.train --gin_file='a<b>.gin'",
            "versions": {"wss": "0.1", "tensorflow": "2.15"},
            "seed": 3,
            "batch": {"global": 8, "replicas": 2, "portions": 1},
            "precision": "float32",
            "devices": ["CPU:0"],
            "steps": 20,
            "operative_config": "SEED = 3  # <script>alert(1)</script>",
        },
        mean_ious=lambda: [(10, 0.25), (20, 0.5)],
        losses=lambda: {"total": [(1, 3.0), (2, NAN), (20, 1.0)]},
    )
    return types.SimpleNamespace(**{**values, **changes})


def make_evaluation(shrunk=0):
    confusion = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    images = [ImageScore("street/<b>1</b>", 0.25)]
    return Evaluation(images, metrics.scores(confusion), shrunk)


def make_shown(*runs):
    panel = Panel(np.zeros([4, 5, 3], np.uint8), is_flat=True)
    own = {"prediction": panel, "error": panel}
    return page.ShownImage(
        name="street/<b>1</b>",
        mean_iou=[0.25, None][: len(runs)],
        shared={"image": panel, "truth": panel},
        own={run.name: own for run in runs},
    )


def render(*runs, evaluations=None):
    evaluations = evaluations or [make_evaluation() for _ in runs]
    return page.render(runs, evaluations, {"Best images": [make_shown(*runs)]})


def test_the_page_is_valid_and_names_everything():
    text = render(make_run("base <line>"), make_run("Pseudo & Seg"))
    reader = read(text)
    assert text.startswith("<!DOCTYPE html>")
    texts = " ".join("".join(reader.texts).split())
    for name in (*NAMES, "base <line>", "Pseudo & Seg", "street/<b>1</b>", "SEED = 3"):
        assert name in texts
    assert "script" not in reader.tags and "b" not in reader.tags
    assert "mIoU base <line> 25.00, Pseudo & Seg –" in texts
    assert "whole images padded to 33 x 33" in texts
    assert [value for tag, name, value in reader.attributes if tag == "html"] == ["en"]


def test_the_page_needs_nothing_else():
    text = render(make_run("one"), make_run("two"))
    reader = read(text)
    links = [
        value for _, name, value in reader.attributes if "href" in name or name == "src"
    ]
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert not {"link", "script", "iframe", "object"} & set(reader.tags)
    styles = re.findall("<style.*?>(.*?)</style>", text, re.DOTALL)
    assert not any(part in "".join(styles) for part in ("url(", "@import", "//"))
    ids = [value for _, name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    parts = re.findall(r"url\(#(.*?)\)", text) + [v[1:] for v in links if v[0] == "#"]
    assert set(ids) == set(parts)


def test_the_wheel_holds_the_template(monkeypatch):
    setuptools = pytest.importorskip("setuptools")
    given = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    runpy.run_path(str(pathlib.Path(__file__).parents[2] / "setup.py"))
    assert "*.jinja" in given["package_data"]["wss.report"]


def test_the_same_runs_give_the_same_page():
    assert render(make_run("one")) == render(make_run("one"))


def test_curves_show_what_was_recorded(monkeypatch):
    drawn = []
    curves = figures.curves
    monkeypatch.setattr(
        figures, "curves", lambda *args, **kw: drawn.append(args) or curves(*args, **kw)
    )
    reader = read(render(make_run("one")))
    np.testing.assert_equal(
        drawn,
        [
            ({"one": [(10, 25.0), (20, 50.0)]}, "step", "mIoU (%)"),
            ({"total": [(1, 3.0), (2, NAN), (20, 1.0)]}, "step", "loss"),
        ],
    )
    assert reader.tags.count("svg") == 2
    labels = [value for _, name, value in reader.attributes if name == "aria-label"]
    assert labels == ["mIoU on val: one by step", "Losses of one: total by step"]


def test_numbers_of_the_tables():
    text = render(make_run("one"))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", text)
    scores = make_evaluation().total
    assert f"{100 * scores.mean_iou:.2f}" in cells
    assert "66.67" in cells and "50.00" in cells  # IoU: 6 of 9, 3 of 6.
    assert cells.count("–") == 1  # The bird, which never occurs.
    assert {"75", "25"} <= set(cells)  # The confusion of cats in % of a row.


def test_of_several_runs_the_better_stands_out():
    better = make_evaluation()
    worse = Evaluation(
        better.images, metrics.scores(np.array([[4, 4, 0], [1, 3, 0], [0, 0, 0]])), 0
    )
    text = render(make_run("one"), make_run("two"), evaluations=[better, worse])
    best = re.findall(r'<td class="n best">([^<]*)</td>', text)
    assert best == ["66.67", "50.00", f"{100 * better.total.mean_iou:.2f}"]


def test_a_run_that_has_not_ended_and_has_no_curves():
    run = make_run("one", record={}, losses=dict, mean_ious=list)
    text = render(run, evaluations=[make_evaluation(shrunk=2)])
    read(text)
    assert "one has no run.json" in text and "2 larger images were shrunk" in text
    assert text.count("Nothing was recorded.") == 2


@pytest.mark.parametrize("count", [1, 150, 200, 1234])
def test_long_curves_are_thinned(count):
    points = [(step, 2.0 * step) for step in range(count)]
    thin = page.thinned(points)
    assert len(thin) == min(count, 200)
    assert all(y == pytest.approx(2 * x) for x, y in thin)
    # Groups of neighbors, all included.
    assert thin[0][0] <= 3 and thin[-1][0] >= count - 4
    assert [x for x, _ in thin] == sorted({x for x, _ in thin})


def test_panels_of_one_run_stand_in_a_row_and_of_several_below_each_other():
    (row,) = make_shown(make_run("a")).rows()
    assert list(row) == ["image", "truth", "prediction", "error"]
    rows = make_shown(make_run("a"), make_run("b")).rows()
    assert [list(row) for row in rows] == [
        ["image", "truth", "a: prediction", "b: prediction"],
        ["a: error"],
        ["b: error"],
    ]


def make_result(**changes):
    """An image of two by three pixels; the method saw half of it as large."""
    scores = np.zeros([1, 3, 3], np.float32)
    scores[0, [0, 1, 2], [0, 1, 2]] = 1.0
    values = dict(
        image=np.full([2, 3, 3], 7, np.uint8),
        truth=np.array([[0, 1, 255], [2, 1, 9]]),
        prediction=np.array([[0, 2, 1], [2, 1, 1]]),
        confidence=np.array([[0.0, 1.0, 0.5], [1.0, 1.0, 1.0]]),
        probabilities=None,
        class_scores={"CAM": scores},
    )
    return ImagePrediction(**{**values, **changes})


def test_titles_shapes_and_colors_of_the_panels():
    result = make_result()
    shared = page.shared_panels(result, SPEC)
    own = page.own_panels(result, SPEC)
    assert list(shared) == ["image", "truth"]
    assert list(own) == ["prediction", "error", "confidence", "CAM"]
    for panel in [*shared.values(), *own.values()]:
        assert panel.pixels.shape == (2, 3, 3) and panel.pixels.dtype == np.uint8
    truth = [[PALETTE[0], PALETTE[1], IGNORED_COLOR]]
    truth += [[PALETTE[2], PALETTE[1], IGNORED_COLOR]]
    np.testing.assert_array_equal(shared["truth"].pixels, truth)
    np.testing.assert_array_equal(own["prediction"].pixels, PALETTE[result.prediction])
    error = [[RIGHT_COLOR, WRONG_COLOR, IGNORED_COLOR]]
    error += [[RIGHT_COLOR, RIGHT_COLOR, IGNORED_COLOR]]
    np.testing.assert_array_equal(own["error"].pixels, error)
    np.testing.assert_array_equal(own["confidence"].pixels[0, :2], [LOWEST, HIGHEST])
    # The best class of each, at the image's size.
    np.testing.assert_array_equal(own["CAM"].pixels, [PALETTE, PALETTE])


def test_maps_of_chosen_classes():
    probabilities = np.zeros([2, 3, 3], np.float32)
    probabilities[..., 2] = [[1, 0, 0], [0, 0, 1]]
    result = make_result(probabilities=probabilities)
    panels = page.own_panels(result, SPEC, classes=[2])
    assert list(panels)[4:] == ["prediction: bird", "CAM: bird"]
    expected = [[HIGHEST, LOWEST, LOWEST], [LOWEST, LOWEST, HIGHEST]]
    np.testing.assert_array_equal(panels["prediction: bird"].pixels, expected)
    assert panels["CAM: bird"].pixels.shape == (2, 3, 3)


def scored(**means):
    return [ImageScore(name, mean) for name, mean in means.items()]


RUN = scored(a=0.5, b=0.9, c=None, d=0.1, e=0.7, f=0.1)


def test_best_and_worst_come_in_the_order_of_their_scores():
    assert choose(Selection(best=2, worst=3), [RUN]) == {
        "Best images": [1, 4],
        "Worst images": [5, 3, 0],
    }


def test_of_several_runs_the_mean_decides():
    other = scored(a=1.0, b=0.1, c=None, d=0.5, e=0.6, f=0.0)
    # a 0.75, e 0.65, b 0.5, d 0.3, f 0.05
    assert choose(Selection(best=3, worst=2), [RUN, other]) == {
        "Best images": [0, 4, 1],
        "Worst images": [5, 3],
    }


def test_an_image_is_shown_once_and_one_without_labels_has_no_rank():
    chosen = choose(Selection(names=["e", "c"], first=2, best=9, worst=9), [RUN])
    assert chosen == {
        "Chosen images": [4, 2],
        "First images": [0, 1],
        "Best images": [3, 5],
    }


def test_an_unknown_name_brings_the_closest():
    names = ["2007_000033", "2007_000042"]
    check_names(names[1:], names, "val")
    with pytest.raises(UserError, match="no image '2007_00042' in val.*'2007_000042'"):
        check_names(["2007_00042"], names, "val")
