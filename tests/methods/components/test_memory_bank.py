"""Roles, memory banks, draws and the loss; its numbers are in `tests.parity`."""

import numpy as np
import pytest
import tensorflow as tf

from wss.methods.components import memory_bank

CAPACITIES = (5, 3)


def push_rounds(bank, rounds):
    """Pushes keys numbered from 1; returns the keys that lists per class would have."""
    held = [[], []]
    push = tf.function(bank.push, autograph=False)
    number = 0
    for counts in rounds:
        keys = np.zeros([2, 4, 1], np.float32)
        present = np.zeros([2, 4], bool)
        for c, places in enumerate(counts):
            for place in places:
                number += 1
                keys[c, place], present[c, place] = number, True
                held[c].append(number)
        push(tf.constant(keys), tf.constant(present))
    return [rows[-size:] for rows, size in zip(held, CAPACITIES)]


ROUNDS = [([0, 2], [1]), ([], [0, 1, 2, 3]), ([3], []), ([0, 1, 2, 3], [0])]


@pytest.mark.parametrize("rounds", range(len(ROUNDS) + 1))
def test_the_bank_keeps_the_last_rows(rounds):
    bank = memory_bank.MemoryBank(CAPACITIES, 1)
    held = push_rounds(bank, ROUNDS[:rounds])
    assert bank.sizes.numpy().tolist() == [len(rows) for rows in held]
    for c, rows in enumerate(held):
        ages = tf.tile(tf.range(len(rows), dtype=tf.int64)[tf.newaxis], [2, 1])
        assert bank.take(ages)[c, :, 0].numpy().tolist() == rows


def test_every_replica_holds_the_same_rows(two_cpus):
    with two_cpus.scope():
        bank = memory_bank.MemoryBank(CAPACITIES, 1)

    @tf.function(autograph=False)
    def push():
        two_cpus.run(bank.push, args=(tf.ones([2, 2, 1]), tf.ones([2, 2], tf.bool)))

    push()
    push()
    assert bank.sizes.numpy().tolist() == [4, 3]
    for rows in two_cpus.experimental_local_results(bank.rows):
        np.testing.assert_array_equal(rows[:-1, 0], [1, 1, 1, 1, 0, 1, 1, 1])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_draws_fall_on_members_alike(jit_compile):
    members = np.zeros([50, 3], bool)
    members[[3, 7, 49], 0] = True
    members[10, 1] = True
    uniforms = tf.random.stateless_uniform([3, 3000], [1, 2])
    draw = tf.function(
        memory_bank.draw_members, jit_compile=jit_compile, autograph=False
    )
    pixels = draw(tf.constant(members), uniforms).numpy()
    drawn, counts = np.unique(pixels[0], return_counts=True)
    assert drawn.tolist() == [3, 7, 49]
    assert np.all(np.abs(counts / 1000 - 1) < 0.1)
    assert set(pixels[1]) == {10}


def test_keys_are_those_of_the_largest_priority_in_order():
    members = tf.constant([[1, 0], [1, 1], [0, 0], [1, 0], [1, 0]]) > 0
    priorities = tf.constant([0.3, 0.1, 0.9, 0.2, 0.0])
    pixels, present = memory_bank.select_keys(members, priorities, 2)
    assert pixels[0].numpy().tolist() == [0, 3]
    assert present[0].numpy().all()
    assert pixels[1].numpy()[present[1].numpy()].tolist() == [1]


def test_roles_of_two_classes():
    """Ranks for two classes: a pixel is a negative of the less likely class."""
    one_hot = tf.constant([[1, 0], [0, 1], [1, 0], [0, 0]], tf.float32)
    probabilities = tf.constant([[0.9, 0.1], [0.6, 0.4], [0.55, 0.45], [0.5, 0.5]])
    yes = tf.ones([4], tf.bool)
    roles = memory_bank.assign_roles(
        one_hot, yes, yes, probabilities, num_labeled=2, low_rank=1, high_rank=20
    )
    assert roles.anchors.numpy().tolist() == [[1, 0], [0, 1], [1, 0], [0, 0]]
    assert roles.negatives.numpy().tolist() == [[0, 0], [1, 0], [0, 1], [0, 0]]


def loss_of(anchors, usable, present):
    negatives = tf.constant([[[[0.0, 1.0]]], [[[1.0, 0.0]]]])
    return memory_bank.contrastive_loss(
        tf.constant(anchors)[:, tf.newaxis],
        tf.eye(2),
        negatives,
        tf.constant(usable),
        tf.constant(present),
        temperature=1.0,
    )


def test_loss_by_hand():
    near = np.log(1 + np.exp(-1.0))
    far = np.log(1 + np.exp(1.0))
    both = [True, True]
    loss = loss_of([[2.0, 0.0], [3.0, 0.0]], both, both)
    np.testing.assert_allclose(loss, (near + far) / 2, rtol=1e-6)
    # Anchors without negatives count but add nothing; a single class has no contrast.
    loss = loss_of([[2.0, 0.0], [3.0, 0.0]], [True, False], both)
    np.testing.assert_allclose(loss, near / 2, rtol=1e-6)
    assert loss_of([[2.0, 0.0], [3.0, 0.0]], both, [True, False]) == 0


def test_gradient_of_representations_that_are_zero_is_finite():
    anchors = tf.Variable(tf.zeros([2, 1, 2]))
    with tf.GradientTape() as tape:
        loss = memory_bank.contrastive_loss(
            anchors,
            tf.zeros([2, 2]),
            tf.zeros([2, 1, 1, 2]),
            tf.constant([True, False]),
            tf.constant([True, True]),
        )
    assert np.all(np.isfinite(tape.gradient(loss, anchors)))
