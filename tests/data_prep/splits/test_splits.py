"""The packaged lists are the published ones."""

import fnmatch
import hashlib
import pathlib
import re
import runpy

import pytest

from data_prep import splits
from wss.data import datasets
from wss.errors import UserError

ROOT = pathlib.Path(__file__).parents[3]
FOLDER = pathlib.Path(splits.__file__).parent
SIZES = {
    "voc": {
        "1-16": 92,
        "1-16_draw14": 92,
        "1-16_draw20": 92,
        "1-2": 732,
        "1-2_u2pl": 732,
        "1-4": 366,
        "1-8": 183,
        "V_9k": 9118,
        "blended_cps_1-16": 662,
        "blended_cps_1-2": 5291,
        "blended_cps_1-4": 2646,
        "blended_cps_1-8": 1323,
        "blended_u2pl_1-16": 662,
        "blended_u2pl_1-2": 5291,
        "blended_u2pl_1-4": 2646,
        "blended_u2pl_1-8": 1323,
        "train": 1464,
        "train_aug": 10582,
        "val": 1449,
    },
    "coco": {"1-128": 925, "1-256": 463, "1-32": 3697, "1-512": 232, "1-64": 1849},
    "cityscapes": {
        "cps_1-16": 186,
        "cps_1-2": 1488,
        "cps_1-4": 744,
        "cps_1-8": 372,
        "train": 2975,
        "u2pl_1-16": 186,
        "u2pl_1-2": 1488,
        "u2pl_1-4": 744,
        "u2pl_1-8": 372,
        "val": 500,
    },
    "ade20k": {
        "1-16": 1263,
        "1-2": 10105,
        "1-32": 631,
        "1-4": 5052,
        "1-64": 316,
        "1-8": 2526,
    },
}
# sha256 of all names and ids of a data set.
CHECKSUMS = {
    "ade20k": "f4c8d9ffc0262fde02e0b513a98bfcf0aab48d8811998e2480e00bf916341289",
    "cityscapes": "33cc3d71794761a33faf4f77d70ade53338f3e650d10e15a889e7ffc38e0ee11",
    "coco": "acbbe511628dff42ed25ed4da1203adc5780baec96e18cdaf95a959a3b38a525",
    "voc": "e6d1211a0feee0e4929f22fbdff5532b1db5b28cceef3044b01a2509fff21e09",
}


@pytest.mark.parametrize("dataset", sorted(SIZES))
def test_sizes_and_contents(dataset):
    names = [name for name in splits.names(dataset) if not name.endswith("_rest")]
    lists = {name: splits.load(dataset, name) for name in names}
    assert {name: len(ids) for name, ids in lists.items()} == SIZES[dataset]
    assert all(len(set(ids)) == len(ids) for ids in lists.values())
    text = "\n".join(" ".join([name, *lists[name]]) for name in sorted(lists))
    assert hashlib.sha256(text.encode()).hexdigest() == CHECKSUMS[dataset]


def test_each_file_has_its_checksum():
    lines = (FOLDER / "SHA256SUMS").read_text().splitlines()
    expected = {name: digest for digest, name in map(str.split, lines)}
    found = {
        path.relative_to(FOLDER).as_posix(): _sha256(path)
        for path in FOLDER.glob("*/*.txt")
    }
    assert len(found) == 39
    assert found == expected


def test_the_table_in_the_docs():
    """The sections of datasets.md are one for each data set, in this order."""
    text = (ROOT / "docs" / "datasets.md").read_text(encoding="utf-8")
    sections = re.split(r"^\*\*", text, flags=re.MULTILINE)[1:]
    for dataset, section in zip(SIZES, sections):
        rows = re.findall(r"^\| `(\S+)` \| (\d+) \| `(\w+)` \|", section, re.MULTILINE)
        told = {name: (int(size), digest) for name, size, digest in rows}
        assert told == {
            path.stem: (len(splits.load(dataset, path.stem)), _sha256(path)[:8])
            for path in (FOLDER / dataset).glob("*.txt")
        }


def test_the_wheel_holds_them(monkeypatch):
    setuptools = pytest.importorskip("setuptools")
    given = {}
    monkeypatch.setattr(setuptools, "setup", given.update)
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / "setup.py"))
    assert "data_prep.splits" in given["packages"]
    patterns = given["package_data"]["data_prep"]
    for path in FOLDER.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            name = path.relative_to(FOLDER.parent).as_posix()
            assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name


@pytest.mark.parametrize(
    "dataset, whole, lengths",
    [
        # As long as `unlabeled.txt` of U2PL's and UniMatch's code.
        (
            "voc",
            "train_aug",
            {
                "1-16": 10490,
                "1-16_draw14": 10490,
                "1-16_draw20": 10490,
                "1-8": 10399,
                "1-4": 10216,
                "1-2": 9850,
                "1-2_u2pl": 9850,
                **{f"blended_{p}_1-16": 9920 for p in ("cps", "u2pl")},
                **{f"blended_{p}_1-8": 9259 for p in ("cps", "u2pl")},
                **{f"blended_{p}_1-4": 7936 for p in ("cps", "u2pl")},
                **{f"blended_{p}_1-2": 5291 for p in ("cps", "u2pl")},
            },
        ),
        (
            "cityscapes",
            "train",
            {
                f"{protocol}_1-{part}": length
                for protocol in ("cps", "u2pl")
                for part, length in {16: 2789, 8: 2603, 4: 2231, 2: 1487}.items()
            },
        ),
    ],
)
def test_the_rest_of_each_draw(dataset, whole, lengths):
    rests = [name for name in splits.names(dataset) if name.endswith("_rest")]
    assert sorted(rests) == sorted(f"{name}_rest" for name in lengths)
    for name, length in lengths.items():
        drawn, rest = splits.load(dataset, name), splits.load(dataset, f"{name}_rest")
        assert len(rest) == length and not set(rest) & set(drawn)
        assert {*drawn, *rest} == set(splits.load(dataset, whole))


def test_the_rest_of_ade20ks_draws():
    """As long as `unlabeled.txt` of UniMatch V2's code; the draws are nested."""
    smaller = set()
    for part, length in {64: 19894, 32: 19579, 16: 18947, 8: 17684, 4: 15158}.items():
        drawn = set(splits.load("ade20k", f"1-{part}"))
        rest = splits.load("ade20k", f"1-{part}_rest")
        assert len(rest) == length and not drawn & set(rest)
        assert len(drawn) + length == datasets.get("ade20k").split_sizes["train"]
        assert smaller < drawn
        smaller = drawn
    both = sorted(smaller | set(rest))
    assert both[0] == "ADE_train_00000001" and both[-1] == "ADE_train_00020210"


def test_the_rest_of_cocos_draws_needs_the_whole():
    drawn = splits.load("coco", "1-32")
    whole = ["first", *reversed(drawn), "last"]
    assert splits.load("coco", "1-32_rest", whole) == ["first", "last"]
    assert splits.load("coco", "1-32", whole) == drawn


def test_the_two_blended_protocols_differ_in_their_precise_masks():
    precise = set(splits.load("voc", "train"))
    for protocol, counts in {
        "cps": {2: 742, 4: 388, 8: 193, 16: 93},
        "u2pl": {2: 1464, 4: 1464, 8: 1323, 16: 662},
    }.items():
        for part, count in counts.items():
            ids = set(splits.load("voc", f"blended_{protocol}_1-{part}"))
            assert len(ids & precise) == count
            assert ids <= set(splits.load("voc", "train_aug"))
    shared = set(splits.load("voc", "1-2")) & set(splits.load("voc", "1-2_u2pl"))
    assert len(shared) == 371


def test_which_draws_of_cityscapes_contain_each_other():
    def nested(protocol):
        names = (f"{protocol}_1-{n}" for n in (16, 8, 4, 2))
        sets = [set(splits.load("cityscapes", name)) for name in names]
        return all(small < large for small, large in zip(sets, sets[1:]))

    assert nested("cps") and not nested("u2pl")


def test_no_list_for_training_shows_what_is_evaluated():
    for dataset in ("voc", "cityscapes"):
        val = set(splits.load(dataset, "val"))
        for name in set(splits.names(dataset)) - {"val"}:
            assert not val & set(splits.load(dataset, name))


def _sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_labeled_images_come_from_the_precise_ones():
    precise = set(splits.load("voc", "train"))
    for name in ("1-2", "1-4", "1-8", "1-16"):
        assert set(splits.load("voc", name)) <= precise
    assert not precise & set(splits.load("voc", "V_9k"))


@pytest.mark.parametrize("dataset", SIZES)
def test_sizes_agree_with_the_description(dataset):
    published = datasets.get(dataset).split_sizes
    for name in set(published) & set(splits.names(dataset)):
        assert len(splits.load(dataset, name)) == published[name]


def test_unknown_splits():
    with pytest.raises(UserError, match="no split '1-3' of coco. Known: 1-128"):
        splits.load("coco", "1-3")
    with pytest.raises(UserError, match="Known: none"):
        splits.load("mine", "train")
