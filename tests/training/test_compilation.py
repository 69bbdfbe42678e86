"""When XLA compiles the step, and with which flags."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from wss.training import compilation

VARIABLES = ("XLA_FLAGS", "TF_XLA_FLAGS")


def strategy(*devices):
    return SimpleNamespace(extended=SimpleNamespace(worker_devices=devices))


@pytest.mark.parametrize(
    "choice, devices, compiled",
    [
        ("auto", ["/device:GPU:0"], True),
        ("auto", ["/device:GPU:0", "/device:GPU:1"], True),
        ("auto", ["/device:CPU:0"], False),
        (True, ["/device:CPU:0"], True),
        (False, ["/device:GPU:0"], False),
    ],
)
def test_auto_is_for_gpus(choice, devices, compiled):
    assert compilation.is_compiled(choice, strategy(*devices)) is compiled


def test_auto_without_a_strategy_does_not_compile():
    assert not compilation.is_compiled("auto", tf.distribute.get_strategy())


@pytest.fixture
def prepare(monkeypatch):
    """Runs `prepare` as on a machine with a GPU; returns what it set."""

    def run(version, cache_dir, gpus=("GPU:0",), **variables):
        for name in VARIABLES:
            monkeypatch.setenv(name, variables.get(name, ""))
        monkeypatch.setattr(tf, "__version__", version)
        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: list(gpus))
        monkeypatch.setattr(
            tf.config.experimental,
            "get_device_details",
            lambda gpu: {"device_name": "NVIDIA H200"},
        )
        compilation.prepare(cache_dir)
        return [compilation.os.environ[name].split() for name in VARIABLES]

    return run


def test_flags_that_a_version_knows(prepare):
    """XLA ends the process at a flag that it does not know."""
    old, _ = prepare("2.15.1", None)
    new, _ = prepare("2.21.0", None)
    assert "--xla_gpu_enable_triton_gemm=false" in old
    assert set(old) < set(new)
    added = {flag.split("=")[0] for flag in set(new) - set(old)}
    assert added == {
        "--xla_gpu_enable_llvm_module_compilation_parallelism",
        "--xla_gpu_experimental_enable_fusion_autotuner",
    }


def test_a_users_flags_stay(prepare):
    flags, _ = prepare("2.15.1", None, XLA_FLAGS="--xla_gpu_enable_triton_gemm=true")
    assert "--xla_gpu_enable_triton_gemm=true" in flags
    assert "--xla_gpu_enable_triton_gemm=false" not in flags


def test_the_cache_is_of_this_version_and_card(prepare, tmp_path):
    _, flags = prepare("2.15.1", str(tmp_path))
    folder = f"{tmp_path}/tensorflow-2.15.1-NVIDIA-H200"
    assert f"--tf_xla_persistent_cache_directory={folder}" in flags
    assert prepare("2.15.1", None)[1] == []


def test_a_cpu_needs_nothing(prepare):
    assert prepare("2.21.0", "cache", gpus=()) == [[], []]
