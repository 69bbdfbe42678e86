"""A short look at another Python or TensorFlow: imports, one golden, two steps."""

import pathlib

from data_prep import shapes
from data_prep.writer import Writer
from tests.parity import cases
from tests.parity.common import Golden
from tests.test_imports import test_every_module_can_be_imported  # noqa: F401
from wss import train

GOLDEN = (
    pathlib.Path(__file__).parent / "golden" / "fe_resnet50beta_os16_c21_129x129.npz"
)


def test_a_golden():
    assert all(check.passed for check in cases.check(Golden(GOLDEN)))


def test_two_steps_of_pseudoseg(tmp_path):
    data_dir, model_dir = tmp_path / "data", tmp_path / "run"
    difficulty = shapes.Difficulty(size=32)
    shapes.write(Writer(str(data_dir)), 64, 2, difficulty=difficulty)
    status = train.main(
        [
            "--gin_file=gin_configs/shapes.gin",
            f"--gin_bindings=DATA_DIR = {str(data_dir)!r}",
            "--gin_bindings=BATCH_SIZE = 2",
            "--gin_bindings=TRAIN_STEPS = 2",
            "--gin_bindings=CROP_SIZE = 33",
            "--gin_bindings=EVAL_CROP_SIZE = 33",
            f"--model_dir={model_dir}",
        ]
    )
    assert status == 0
    assert (model_dir / "ckpt-2.index").exists()
    assert (model_dir / "metrics.json").exists()
