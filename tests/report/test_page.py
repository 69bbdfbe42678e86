"""The page of made-up trainings: valid, complete, escaped and by itself."""

import html.parser
import re
import types

import numpy as np
import pytest

from wss.data.datasets.spec import DatasetSpec
from wss.ops import metrics
from wss.report import markup, page
from wss.report.choice import ImageScore
from wss.report.pictures import Panel
from wss.report.trained import Measured

NAMES = ("ground", "cat & <dog>", "bird")
SPEC = DatasetSpec("toy", NAMES)
VOID = ("meta", "img")


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
        losses=lambda: {"total": [(1, 3.0), (2, float("nan")), (20, 1.0)]},
    )
    return types.SimpleNamespace(**{**values, **changes})


def make_measured(shrunk=0):
    confusion = np.array([[6, 2, 0], [1, 3, 0], [0, 0, 0]])
    images = [ImageScore("street/<b>1</b>", 0.25)]
    return Measured(images, metrics.scores(confusion), shrunk)


def make_shown(*runs):
    panel = Panel(np.zeros([4, 5, 3], np.uint8), is_flat=True)
    own = {"prediction": panel, "error": panel}
    return page.Shown(
        name="street/<b>1</b>",
        mean_iou=[0.25, None][: len(runs)],
        shared={"image": panel, "truth": panel},
        own={run.name: own for run in runs},
    )


def render(*runs, measured=None):
    measured = measured or [make_measured() for _ in runs]
    return page.render(runs, measured, {"Best images": [make_shown(*runs)]})


def test_the_page_is_valid_and_names_everything():
    text = render(make_run("base <line>"), make_run("Pseudo & Seg"))
    reader = read(text)
    assert text.startswith("<!DOCTYPE html>")
    texts = "\n".join(reader.texts)
    for name in (*NAMES, "base <line>", "Pseudo & Seg", "street/<b>1</b>", "SEED = 3"):
        assert name in texts
    assert "script" not in reader.tags and "b" not in reader.tags
    assert "mIoU base <line> 25.00, Pseudo & Seg –" in texts
    assert "whole images padded to 33 x 33" in texts
    assert [value for tag, name, value in reader.attributes if tag == "html"] == ["en"]


def test_the_page_needs_nothing_else():
    reader = read(render(make_run("one")))
    links = [v for _, name, v in reader.attributes if name in ("src", "href")]
    assert any(link.startswith("data:image/svg+xml;base64,") for link in links)
    assert all(link.startswith(("data:image/", "#")) for link in links)
    assert not {"link", "script", "iframe", "object"} & set(reader.tags)
    (style,) = re.findall("<style>(.*?)</style>", render(make_run("one")), re.DOTALL)
    assert "url(" not in style and "@import" not in style and "//" not in style
    targets = {v for _, name, v in reader.attributes if name == "id"}
    assert {link[1:] for link in links if link.startswith("#")} == targets


def test_numbers_of_the_tables():
    text = render(make_run("one"))
    cells = re.findall(r"<td[^>]*>([^<]*)</td>", text)
    scores = make_measured().total
    assert f"{100 * scores.mean_iou:.2f}" in cells
    assert "66.67" in cells and "50.00" in cells  # IoU: 6 of 9, 3 of 6.
    assert cells.count("–") == 1  # The bird, which is nowhere.
    assert {"75", "25"} <= set(cells)  # The confusion of cats in % of a row.


def test_of_several_trainings_the_better_stands_out():
    better = make_measured()
    worse = Measured(
        better.images, metrics.scores(np.array([[4, 4, 0], [1, 3, 0], [0, 0, 0]])), 0
    )
    text = render(make_run("one"), make_run("two"), measured=[better, worse])
    best = re.findall(r'<td class="n best">([^<]*)</td>', text)
    assert best == ["66.67", "50.00", f"{100 * better.total.mean_iou:.2f}"]


def test_a_training_that_has_not_ended_and_has_no_curves():
    run = make_run("one", record={}, losses=dict, mean_ious=list)
    text = render(run, measured=[make_measured(shrunk=2)])
    read(text)
    assert "one has no run.json" in text and "2 larger images were shrunk" in text
    assert text.count("None was recorded.") == 2


@pytest.mark.parametrize("count", [1, 150, 200, 1234])
def test_long_curves_are_thinned(count):
    points = [(step, 2.0 * step) for step in range(count)]
    thin = page.thinned(points)
    assert len(thin) == min(count, 200)
    assert all(y == pytest.approx(2 * x) for x, y in thin)
    # Groups of neighbours, none of them left out.
    assert thin[0][0] <= 3 and thin[-1][0] >= count - 4
    assert [x for x, _ in thin] == sorted({x for x, _ in thin})


def test_elements_escape_all_but_html():
    built = markup.element("p", "a<b", markup.Html("<i>c</i>"), None, title='"<')
    assert built == '<p title="&quot;&lt;">a&lt;b<i>c</i></p>'
