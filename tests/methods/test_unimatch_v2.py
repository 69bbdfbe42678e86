"""UniMatch V2 on a tiny network: its teacher, its dropout, its steps."""

import functools

import numpy as np
import pytest
import tensorflow as tf

from tests.methods.test_fixmatch import batch_of, run
from tests.training import tiny
from tests.training.test_train_step import lower
from wss.methods.unimatch_v2 import TeacherFixMatch, UniMatchV2
from wss.models.tf1_checkpoint import named_variables
from wss.training.optimizers import AdamW

METHODS = pytest.mark.parametrize("method", [TeacherFixMatch, UniMatchV2])
make = functools.partial(tiny.make_method, UniMatchV2, threshold=0.26)


def make_batches(steps):
    batches = tiny.make_batches(steps)
    batches["unlabeled"]["strong_2"] = batches["unlabeled"]["strong"][:, :, ::-1]
    return batches


def test_the_published_loss_of_two_strong_views():
    """Without boxes and dropout, both views the same: twice half of FixMatch's."""
    made = make(box_probability=0.0)
    made._drop_channels = lambda end_points, unlabeled, seed: end_points
    batch = batch_of()
    batch["unlabeled"]["strong_2"] = batch["unlabeled"]["strong"]
    found, _ = run(made, batch)
    fixmatch = tiny.make_method(TeacherFixMatch, threshold=0.26, box_probability=0.0)
    other, _ = run(fixmatch, batch)
    both = found["strong"] + found["strong_2"]
    # The batches of batch norm differ.
    np.testing.assert_allclose(both, other["unsupervised"], rtol=0.05)
    np.testing.assert_allclose(found["supervised"], other["supervised"], rtol=0.05)


def test_two_views_see_complementary_channels_of_half_of_the_images():
    made, unlabeled = make(), batch_of()["unlabeled"]
    images = tf.zeros([2 * tiny.BATCH, tiny.SIDE, tiny.SIDE, 3])
    end_points = made.model.backbone(images)
    ones = {name: tf.ones_like(tensor) for name, tensor in end_points.items()}
    dropped = made._drop_channels(ones, unlabeled, seed=3)
    assert list(dropped) == list(made.model.decoder_inputs)
    masks = {}
    for tensor in dropped.values():
        values = tensor.numpy()
        np.testing.assert_array_equal(
            values, np.broadcast_to(values[:, :1, :1], values.shape)
        )
        first, second = np.split(values[:, 0, 0], 2)
        np.testing.assert_array_equal(first + second, np.full_like(first, 2.0))
        whole = np.all(first == 1, axis=1)
        assert np.all(whole[::2] != whole[1::2])  # One of each two.
        assert set(np.unique(first[~whole])) == {0.0, 2.0}
        assert 0.2 < np.mean(first[~whole]) / 2 < 0.8
        masks.setdefault(values.shape[-1], []).append(values[:, 0, 0])
    for same in masks.values():
        assert all(np.array_equal(same[0], mask) for mask in same)


def test_channels_are_those_of_place_and_seed_wherever_the_image_is():
    made, unlabeled = make(), batch_of()["unlabeled"]
    images = tf.zeros([2 * tiny.BATCH, tiny.SIDE, tiny.SIDE, 3])
    ones = {n: tf.ones_like(x) for n, x in made.model.backbone(images).items()}
    whole = made._drop_channels(ones, unlabeled, seed=0)
    half = tiny.BATCH // 2
    part = {"position": unlabeled["position"][half:]}
    ones = {n: x[: 2 * half] for n, x in ones.items()}
    for name, tensor in made._drop_channels(ones, part, seed=0).items():
        expected = tf.split(whole[name], 4)
        np.testing.assert_array_equal(tensor, tf.concat([expected[1], expected[3]], 0))
    others = made._drop_channels(ones, part, seed=1)
    assert any(np.any(others[n] != whole[n][: 2 * half]) for n in others)


@METHODS
@pytest.mark.usefixtures("eagerly")
def test_the_teacher_begins_as_the_network_and_follows(method):
    step = tiny.make_step(
        method=lambda: tiny.make_method(method, threshold=0.26, teacher_decay=0.6)
    )
    made = step._method
    student, teacher = named_variables(made.model), named_variables(made.teacher)
    assert student.keys() == teacher.keys()
    student["logits/semantic/biases"].assign_add([1.0, 2.0, 3.0, 4.0])
    made.on_start()  # Initial weights were loaded.
    for name, variable in student.items():
        np.testing.assert_array_equal(variable, teacher[name], err_msg=name)
    batches = make_batches(1)
    for decay in (0.0, 0.5, 0.6):
        before = {name: variable.numpy() for name, variable in teacher.items()}
        tiny.train(step, batches)
        for name, variable in student.items():
            expected = decay * before[name] + (1 - decay) * variable.numpy()
            np.testing.assert_allclose(
                teacher[name], expected, rtol=1e-5, atol=1e-6, err_msg=name
            )
    networks = made.evaluated_networks
    assert list(networks) == ["teacher", "student"]
    assert networks["teacher"] is made.teacher.model


def test_the_labels_are_the_teachers_in_inference_mode():
    made = make()
    batch = batch_of()
    before, _ = run(made, batch)
    for variable in named_variables(made.teacher).values():
        variable.assign(tf.zeros_like(variable))  # All classes are as probable.
    found, monitors = run(made, batch)
    assert float(found["strong"]) == float(found["strong_2"]) == 0.0
    assert float(monitors["confidence"].result()) == pytest.approx(0.25)
    assert float(found["supervised"]) == float(before["supervised"])


def test_the_teacher_is_not_trained():
    made = make()
    names = set(named_variables(made))
    assert names == set(named_variables(made.model))
    teacher = {v.ref() for v in named_variables(made.teacher).values()}
    assert not teacher & {v.ref() for v in made.trainable_variables}
    assert teacher == {v.ref() for v in made.other_variables}


def test_the_whole_step_is_one_computation_of_xla():
    step = tiny.make_step(method=make, optimizer=AdamW)
    batch = tf.nest.map_structure(lambda x: x[0], make_batches(1))
    assert lower(step, batch).count(" convolution(") > 30


def test_a_restart_goes_on_bit_for_bit(tmp_path):
    """With AdamW: all state that survives a step is in the checkpoint."""
    step = tiny.make_step(
        method=lambda: make(threshold=0.0), optimizer=AdamW, weight_decay=0.01
    )
    method = step._method
    items = {"model": method.model, "method": method, "optimizer": step.optimizer}
    saver = tf.train.Checkpoint(step=step.step, **items)
    batches = make_batches(6)
    tiny.train(step, tf.nest.map_structure(lambda x: x[:3], batches))
    path = saver.write(str(tmp_path / "ckpt"))
    rest = tf.nest.map_structure(lambda x: x[3:], batches)
    undisturbed = tiny.train(step, rest)
    state = [v.numpy() for v in method.other_variables]
    saver.read(path).assert_consumed()
    resumed = tiny.train(step, rest)
    assert undisturbed[0]["losses/strong"].min() > 0
    for before, after in zip(undisturbed, resumed):
        for name, value in before.items():
            np.testing.assert_array_equal(value, after[name], err_msg=name)
    for value, variable in zip(state, method.other_variables):
        np.testing.assert_array_equal(value, variable)
