"""A run that is opened, evaluated and used for predictions, against its parts."""

import numpy as np
import pytest
import tensorflow as tf

from data_prep import shapes
from data_prep.writer import Writer
from tests import trained as folders
from wss import runs
from wss.errors import UserError
from wss.evaluation.restoring import restored_method
from wss.models.tf1_checkpoint import named_variables
from wss.ops.metrics import ConfusionMatrix
from wss.report import run_results
from wss.run_folder import results

IMAGES = 5


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A PseudoSeg run, opened."""
    folder = tmp_path_factory.mktemp("trained")
    data_dir = str(folder / "data")
    writer = Writer(data_dir)
    shapes.write(writer, 32, IMAGES, difficulty=shapes.Difficulty(size=40))
    folders.make(folder / "run", data_dir=data_dir, gin_file="shapes.gin")
    (run,) = run_results.open_all({"one": str(folder / "run")}, "latest")
    return run


def test_images_are_scored_one_by_one_and_together(run):
    evaluation = run.evaluate()
    assert [image.name for image in evaluation.images] == run.names()
    assert len(evaluation.images) == IMAGES == evaluation.shrunk_images
    total = ConfusionMatrix(run.spec.num_classes, run.spec.ignore_label)
    for place, result in run.predict(range(IMAGES)):
        one = ConfusionMatrix(run.spec.num_classes, run.spec.ignore_label)
        for matrix in (one, total):
            matrix.update(result.truth, result.prediction)
        assert evaluation.images[place].mean_iou == one.result().mean_iou
    np.testing.assert_array_equal(evaluation.total.confusion, total.result().confusion)
    assert evaluation.total.mean_iou == total.result().mean_iou


def test_a_look_at_one_image(run):
    ((place, result),) = run.predict([3], probabilities=True)
    assert place == 3 and result.image.shape == (40, 40, 3)
    assert result.image.dtype == np.uint8 and result.truth.shape == (40, 40)
    np.testing.assert_array_equal(
        np.argmax(result.probabilities, -1), result.prediction
    )
    np.testing.assert_array_equal(np.max(result.probabilities, -1), result.confidence)
    shapes_seen = {name: one.shape for name, one in result.class_scores.items()}
    # As large as the crop.
    assert shapes_seen == dict.fromkeys(
        ["pseudo label", "CAM", "attention"], (33, 33, 5)
    )


def test_what_the_method_learned_is_restored(run, tmp_path):
    path = tf.train.latest_checkpoint(run.model_dir)
    reader = tf.train.load_checkpoint(path)
    saved = {
        tuple(reader.get_tensor(key).ravel())
        for key in reader.get_variable_to_shape_map()
        if "attention" in key and "VARIABLE_VALUE" in key
    }
    method, step = restored_method(runs.open_trained(run.model_dir))
    assert step == 7
    beside = set(named_variables(method)) - set(named_variables(method.model))
    assert "hyper_column/key/weights" in beside
    restored = {tuple(named_variables(method)[n].numpy().ravel()) for n in beside}
    assert restored == saved


def test_a_checkpoint_of_another_method_is_named(run, tmp_path):
    folders.make(tmp_path, data_dir="nowhere")
    checkpoint = tf.train.latest_checkpoint(str(tmp_path))
    with pytest.raises(UserError, match="not a checkpoint of PseudoSeg: 6 variables"):
        run_results.open_all({"one": run.model_dir}, checkpoint)


def test_the_teacher_is_the_result(run, tmp_path):
    data_dir = f"{run.model_dir}/../data"
    folders.make(tmp_path, data_dir=data_dir, gin_file="u2pl/shapes.gin")
    method, _ = restored_method(runs.open_trained(str(tmp_path)))
    reader = tf.train.load_checkpoint(str(tmp_path))
    teacher, student = (
        reader.get_tensor(f"{path}/semantic_logits/kernel/.ATTRIBUTES/VARIABLE_VALUE")
        for path in ("method/teacher/model", "model")
    )
    kernel = method.model.semantic_logits.kernel.numpy()
    np.testing.assert_array_equal(kernel, teacher)
    assert (kernel != student).any()


@pytest.mark.parametrize("content", ["", '{"command": "train"', '["train"]'])
def test_a_damaged_record_is_none(tmp_path, capsys, content):
    path = tmp_path / "run.json"
    path.write_text(content)
    assert results.read_json(str(path), run_results._is_record) is None
    assert f"warning: {path} is damaged" in capsys.readouterr().out
