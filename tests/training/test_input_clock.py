"""How long a step waits, measured within its graph."""

import time

import tensorflow as tf

from wss.training.input_clock import InputClock


def slow(seconds, count=4):
    def wait(number):
        time.sleep(seconds)
        return number

    options = tf.data.Options()
    options.autotune.enabled = False  # It would prefetch.
    return (
        tf.data.Dataset.range(count)
        .map(lambda number: tf.numpy_function(wait, [number], tf.int64))
        .with_options(options)
    )


@tf.function
def consume(batches, count):
    total = next(batches)
    for _ in tf.range(count - 1):
        total += next(batches)
    return total


def test_waits_add_up():
    clock = InputClock()
    timed = clock.timed(iter(slow(0.2)), tf.Variable(0))
    consume(timed, tf.constant(1))
    clock.take()
    assert int(consume(timed, tf.constant(3))) == 1 + 2 + 3
    assert 0.5 < clock.take() < 5.0
    assert clock.take() == 0.0


def test_the_time_of_the_steps_does_not_count():
    clock = InputClock()
    step = tf.Variable(0)

    @tf.function
    def take_step(batch):
        with tf.control_dependencies([batch]):
            seconds = tf.numpy_function(lambda: time.sleep(0.5) or 0, [], tf.int64)
        with tf.control_dependencies([seconds]):
            step.assign_add(1)

    @tf.function
    def run(batches, count):
        for _ in tf.range(count - 1):
            take_step(next(batches))
        take_step(next(batches))

    timed = clock.timed(iter(slow(0.0, count=5)), step)
    run(timed, tf.constant(1))
    clock.take()
    run(timed, tf.constant(4))
    assert clock.take() < 0.5  # Of 2.


def test_a_stall_is_reported_while_it_lasts(capsys):
    clock = InputClock(stall_seconds=0.3)
    with clock.watch():
        consume(clock.timed(iter(slow(1.5)), tf.Variable(0)), tf.constant(1))
    printed = capsys.readouterr().err
    assert "warning: the step has waited for its batch for " in printed
    assert printed.count("warning") <= 3  # At 0.3, 0.6 and 1.2 seconds.


def test_without_stalls_nothing_is_said(capsys):
    clock = InputClock(stall_seconds=0.3)
    with clock.watch():
        consume(clock.timed(iter(slow(0.0)), tf.Variable(0)), tf.constant(2))
        time.sleep(0.5)
    assert "warning" not in capsys.readouterr().err


def test_nothing_is_measured_where_tensorflow_has_no_clock(monkeypatch):
    def fail():
        raise tf.errors.FailedPreconditionError(None, None, "deterministic")

    clock, batches = InputClock(), iter(slow(0.0))
    monkeypatch.setattr(tf, "timestamp", fail)
    assert clock.timed(batches, tf.Variable(0)) is batches
    assert clock.take() == 0.0
