"""The files in gin_configs/ have their published settings.

published_settings.csv has a row for each file: what it is to run, and where that is
published, as a file of UniMatch's (LiheYoung/UniMatch), UniMatch V2's
(LiheYoung/UniMatch-V2) or U2PL's (Haochen-Wang409/U2PL) code. An empty field is not
checked.
"""

import csv
import functools
import itertools
import math
import pathlib
import re

import gin
import pytest
from gin import config_parser

from data_prep import splits
from docs import make_configuration
from wss import config
from wss.data import augmentations, datasets
from wss.evaluation.evaluator import build_predictor
from wss.evaluation.predictor import Predictor
from wss.experiment import Experiment
from wss.models import tf1_checkpoint
from wss.models.deeplab import DeepLabV3Plus
from wss.training import fitting
from wss.training.distribution import get_strategy
from wss.training.optimizers import gradient_multipliers

FOLDER = pathlib.Path(config.CONFIG_DIR)
with open(pathlib.Path(__file__).parent / "published_settings.csv") as _file:
    ROWS = list(csv.DictReader(_file))

all_rows = pytest.mark.parametrize("row", ROWS, ids=lambda row: row["file"])
# Column -> gin name; METHOD is the experiment's method.
NAMES = {
    "labeled_split": "Experiment.labeled_split",
    "unlabeled_split": "Experiment.unlabeled_split",
    "backbone": "Experiment.model_variant",
    "crop_size": "Experiment.crop_size",
    "output_stride": "Experiment.output_stride",
    "heads": "DeepLabV3Plus.heads",
    "batch_size": "Experiment.batch_size",
    "train_steps": "Experiment.train_steps",
    "optimizer": "TrainingStep.optimizer",
    "base_rate": "learning_rate.base",
    "backbone_multiplier": "gradient_multipliers.backbone_multiplier",
    "head_multiplier": "gradient_multipliers.last_layer_multiplier",
    "bias_multiplier": "gradient_multipliers.bias_multiplier",
    "weight_decay": "TrainingStep.weight_decay",
    "sync_batch_norm": "TrainingStep.cross_replica_statistics",
    "batch_norm_decay": "DeepLabV3Plus.batch_norm_decay",
    "backbone_batch_norm_decay": "DeepLabV3Plus.backbone_batch_norm_decay",
    "supervised_loss": "Method.supervised_loss",
    "min_kept": "ohem_cross_entropy.min_kept",
    "auxiliary_weight": "METHOD.auxiliary_weight",
    "threshold": "METHOD.threshold",
    "teacher_decay": "METHOD.teacher_decay",
    "warm_up_steps": "METHOD.warm_up_steps",
    "eval_crop_size": "Experiment.eval_crop_size",
    "eval_window": "Predictor.window",
    "eval_average": "Predictor.average",
}


@pytest.fixture(autouse=True, scope="module")
def configurables():
    make_configuration.configurables()  # All modules are imported.
    yield
    gin.clear_config()


def resolved(name):
    """The resolved value of a parameter: bound, from a macro, or the default."""
    method = gin.query_parameter("Experiment.method").selector.split(".")[-1]
    name = name.replace("METHOD", method)
    try:
        value = gin.query_parameter(name)
    except ValueError:
        configurable, parameter = name.split(".")
        value = config.signature(configurable)[parameter].default
    while getattr(value, "selector", None) == "gin.macro":
        value = gin.query_parameter(f"{value.scoped_selector}.value")
    return value


def written(value):
    """The table's format: functions by name, sizes as height x width."""
    if isinstance(value, tuple):
        return "x".join(map(str, value))
    if callable(value):
        return value.__name__
    return str(getattr(value, "selector", value)).split(".")[-1]


def number(text):
    try:
        return float(text)
    except ValueError:
        return text


def test_every_file_has_a_row():
    assert [f"{row['file']}.gin" for row in ROWS] == sorted(
        config.experiments(), key=lambda name: name[: -len(".gin")]
    )
    assert all(row["source"] for row in ROWS)


@all_rows
def test_settings(row):
    config.load([f"{row['file']}.gin"], choose=fitting.chooser([]))
    for column, name in NAMES.items():
        if row[column]:
            value = resolved(name)
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                assert value == number(row[column]), (column, value)
            else:
                assert written(value) == row[column], (column, value)
    if not row["unlabeled_split"]:
        assert "Experiment.unlabeled_split" not in config.text()


@all_rows
def test_nothing_stands_against_a_training(row, tmp_path):
    """Checks without data: sizes, choices, augmentations."""
    config.load([f"{row['file']}.gin"], choose=fitting.chooser([]))
    spec = datasets.get("voc")  # A folder's spec comes with its data.
    experiment = Experiment(str(tmp_path), get_strategy(), spec=spec)
    assert isinstance(build_predictor(experiment, None), Predictor)
    if experiment.method.uses_unlabeled:
        for name in resolved("training_batches.strong_augmentation"):
            augmentations.get(name)
    if row["gpus"]:
        assert experiment.batch_size % int(row["gpus"]) == 0


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row["epochs"]], ids=lambda row: row["file"]
)
def test_the_steps_are_those_of_the_published_loaders(row):
    gpus, epochs = int(row["gpus"]), int(row["epochs"])
    # UniMatch V2's baseline repeats the labeled images.
    images = row["epoch_images"] or row["unlabeled_images"] or row["labeled_images"]
    images = int(images)
    # DistributedSampler repeats images until all GPUs have as many.
    on_each = math.ceil(images / gpus)
    batches = on_each / (int(row["batch_size"]) // gpus)
    rounded = {"dropped": math.floor, "kept": math.ceil}[row["last_batch"]]
    steps = rounded(batches)
    config.load([f"{row['file']}.gin"], choose=fitting.chooser([]))
    assert resolved("Experiment.train_steps") == steps * epochs
    interval = resolved("run_training.eval_interval")
    assert interval * int(row["evaluations"]) == steps * epochs
    # On VOC the first epoch is supervised only; on Cityscapes none is, which takes one
    # step here.
    if row["warm_up_steps"]:
        is_voc = dataset_of(row) == "voc"
        assert resolved("U2PL.warm_up_steps") == (steps if is_voc else 1)


@all_rows
def test_the_splits_have_so_many_images(row):
    for kind in ("labeled", "unlabeled"):
        dataset = dataset_of(row)
        if row[f"{kind}_images"] and dataset != "camvid":
            assert count(dataset, row[f"{kind}_split"]) == int(row[f"{kind}_images"])


def dataset_of(row):
    return row["file"].split("/")[-1].split("_")[0]


@functools.cache
def count(dataset, split):
    sizes = datasets.get(dataset).split_sizes
    if dataset in ("coco", "ade20k"):  # Their whole lists are not stored.
        if split == "train":
            return sizes["train"]
        if split.endswith("_rest"):
            return sizes["train"] - len(splits.load(dataset, split[: -len("_rest")]))
    return len(splits.load(dataset, split))


@all_rows
def test_the_header_says_what_runs(row):
    text = (FOLDER / f"{row['file']}.gin").read_text(encoding="utf-8")
    comment = text.split("include")[0]
    header = " ".join(line.lstrip("# ") for line in comment.splitlines())
    title, about = header.split("Paper:")
    images = re.search(r"\((\d+) images|all (\d+) (?:precise )?labels", title)
    if row["labeled_images"]:
        assert row["labeled_images"] in images.groups()
    rest = re.search(r"the other (\d+) images of", title)
    if row["unlabeled_split"].endswith("_rest") or row["unlabeled_split"] == "V_9k":
        assert rest[1] == row["unlabeled_images"]
    else:
        assert not rest
    assert ("ResNet-50" in title) == ("resnet_v1_50" in row["backbone"])
    crops = r"(\d+) (?:labeled \+ (\d+) unlabeled )?crops of (\d+) x (\d+)"
    batch = re.search(crops, about)
    if batch:
        unlabeled = row["batch_size"] if row["unlabeled_split"] else None
        crop = row["crop_size"]
        assert batch.groups() == (row["batch_size"], unlabeled, crop, crop)
        assert re.search(r"(\d+) steps", about)[1] == row["train_steps"]
    if row["epochs"]:
        cost = re.search(r"Cost: +(\d+) (?:GPUs|V100), .*: (\d+) epochs of", about)
        assert cost.groups() == (row["gpus"], row["epochs"])
    command = re.search(
        r"data_prep\.(?:voc|coco|cityscapes|ade20k) --split (.*?) --", about
    )
    if command:
        named = command[1].replace("\\", "").split()
        used = [row["labeled_split"], *filter(None, [row["unlabeled_split"]])]
        if "C_" not in row["unlabeled_split"]:
            assert named == [*used, "val"]
    base = re.search(r"see also (base/\w+\.gin)\.", about)[1]
    assert f"include '{base}'" in text


@pytest.mark.parametrize("setting", ["unimatch", "u2pl"])
def test_all_but_the_backbone_learns_ten_times_as_fast(setting):
    config.load([f"{setting}/voc_1-16.gin"])
    small = {"aspp_channels": 8, "decoder_channels": 8, "multi_grid": None}
    model = DeepLabV3Plus(21, variant="resnet_v1_18_quarter_beta", **small)
    trainable = {id(variable) for variable in model.trainable_variables}
    variables = tf1_checkpoint.named_variables(model).items()
    names = [name for name, variable in variables if id(variable) in trainable]
    head = [f"representation/{part}" for part in ("conv1/weights", "outputs/biases")]
    factors = gradient_multipliers([*names, *(head if setting == "u2pl" else [])])
    backbone = f"{model.backbone.scope}/"
    for name in names:
        is_feature = name.startswith(backbone) and "logits" not in name
        assert factors.get(name, 1.0) == (1.0 if is_feature else 10.0)
    assert all(factors[name] == 10.0 for name in head if setting == "u2pl")


def test_the_encoder_of_unimatch_v2_learns_at_its_published_rate():
    config.load(["unimatch_v2/voc_1-16.gin"])
    names = ["dinov2/block_1/mlp/weights", "dinov2/norm/beta", "dpt/layer_1/biases"]
    factors = gradient_multipliers([*names, "logits/semantic/biases"], "dinov2")
    assert factors == {name: 1 / 40 for name in names[:2]}
    assert resolved("learning_rate.base") / 40 == pytest.approx(5e-6)


def test_the_order_of_includes_decides_nothing():
    """No two files included side by side set the same parameter differently."""
    for path in sorted(FOLDER.glob("**/*.gin")):
        included, _ = statements(path.relative_to(FOLDER).as_posix())
        beside = [name for name in included if name != "base/experiment.gin"]
        for first, second in itertools.combinations(beside, 2):
            one, other = bound(first), bound(second)
            for name in one.keys() & other.keys():
                assert one[name] == other[name], (path.name, first, second, name)


def test_defaults_come_first_and_once():
    for path in sorted(FOLDER.glob("**/*.gin")):
        name = path.relative_to(FOLDER).as_posix()
        included, _ = statements(name)
        is_base = name.startswith("base/")
        assert included.count("base/experiment.gin") == (not is_base), name
        assert is_base or included[0] == "base/experiment.gin", name


@functools.cache
def statements(name):
    """What a file includes, and what it binds itself."""
    included, values = [], {}
    text = (FOLDER / name).read_text(encoding="utf-8")
    for statement in config_parser.ConfigParser(text, config._Delegate()):
        if isinstance(statement, config_parser.IncludeStatement):
            included.append(statement.filename)
        else:
            selector, parameter = statement.selector, statement.arg_name
            values[f"{selector}.{parameter}"] = repr(statement.value)
    return included, values


def bound(name):
    """Everything that a file sets, including its includes."""
    included, own = statements(name)
    return {**{k: v for one in included for k, v in bound(one).items()}, **own}
