"""The order of the records, and the replacement of damaged ones.

The order is a pure function of the seed and the step. Epoch e of a stream visits the
records in a permutation given by (seed, e). The random draws for the i-th example of
the stream depend on (seed, i).
"""

import sys
import threading
from typing import Any

import numpy as np
import tensorflow as tf

from wss.data import parsing
from wss.data.tfrecords import Records
from wss.errors import UserError

# The streams of records.
LABELED, UNLABELED = 0, 1


def purpose_seed(seed: tf.Tensor, purpose: tf.Tensor) -> tf.Tensor:
    """The seed [2] of a purpose, which is an integer."""
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(purpose, tf.int64))


def stream_seeds(seed: int, stream: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The seeds [2] of a stream's order and of its examples' draws."""
    with tf.device("/cpu:0"):
        stream_seed = purpose_seed(tf.constant([seed, 0], tf.int64), stream)
        return purpose_seed(stream_seed, 0), purpose_seed(stream_seed, 1)


def visits(size: int, seed: tf.Tensor, start: int) -> tf.data.Dataset:
    """Endless pairs (position in the stream, number of the record), both int64.

    Every epoch has its own permutation of the records.

    Args:
      size: number of records.
      seed: [2], the first of `stream_seeds`.
      start: position of the first pair.
    """

    def epoch(number):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(size, dtype=tf.int64), purpose_seed(seed, number)
        )
        return tf.data.Dataset.from_tensor_slices(order)

    epochs = tf.data.Dataset.range(start // size, tf.int64.max)
    return epochs.flat_map(epoch).skip(start % size).enumerate(start)


def own_part(
    pairs: tf.data.Dataset, batch_size: int, context: tf.distribute.InputContext
) -> tf.data.Dataset:
    """Keeps this input pipeline's part of every global batch of `visits`."""
    size = batch_size // context.num_input_pipelines
    first = context.input_pipeline_id * size
    return (
        pairs.batch(batch_size)
        .map(lambda *batch: tuple(part[first : first + size] for part in batch))
        .unbatch()
    )


class Tolerance:
    """Replaces unreadable records with the next readable one.

    The replacement depends only on the records, so that every run takes the same steps.
    Each damaged record is counted and named once.

    Args:
      limit: largest number of different damaged records.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._found = set()
        self._lock = threading.Lock()

    def parse(
        self, parse: parsing.Parse, size: int, index: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Parses a record, or the first readable one after it.

        Args:
          parse: parses the record of a number; fails by `parsing.ensure`.
          size: number of records; the first one follows the last.
          index: scalar int64, number of the record.

        Returns:
          What `parse` returns.
        """
        if not self._limit:
            return parse(index)

        def candidate(distance):
            return parse((index + distance) % size), distance

        # The last candidate fails with its own message.
        near = tf.data.Dataset.range(self._limit).map(candidate).ignore_errors()
        last = tf.data.Dataset.range(self._limit, self._limit + 1).map(candidate)
        parsed, distance = near.concatenate(last).take(1).get_single_element()

        def report(first, count):
            return self._report(parse, [(first + i) % size for i in range(count)])

        problem = tf.cond(
            distance > 0,
            lambda: tf.numpy_function(report, [index, distance], tf.string),
            lambda: tf.constant(""),
        )
        tolerated = parsing.ensure(tf.strings.length(problem) == 0, problem)
        with tf.control_dependencies([tolerated]):
            return tf.nest.map_structure(tf.identity, parsed)

    def _report(self, parse: parsing.Parse, indices: list[int]) -> bytes:
        """Warns of each new record; returns an error message if there are too many."""
        for index in indices:
            sentence = _problem(parse, index)
            with self._lock:
                if sentence in self._found:
                    continue
                self._found.add(sentence)
                count = len(self._found)
            if count > self._limit:
                return (
                    f"{sentence} {count} records are damaged, and "
                    f"training_batches.max_broken_records = {self._limit}. Write the "
                    "shards again, or raise the limit."
                ).encode()
            print(
                f"warning: {sentence} The next record takes its place ({count} of at "
                f"most {self._limit}).",
                file=sys.stderr,  # Of every worker: stdout is only the chief's.
                flush=True,
            )
        return b""


def _problem(parse: parsing.Parse, index: int) -> str:
    """What is wrong with a record, which is read again."""
    try:
        with tf.device("/cpu:0"), parsing.user_errors():
            parse(tf.constant(index, tf.int64))
    except UserError as error:
        return str(error)
    return f"Record {index} could not be read at first, but could the second time."


def records_of_step(
    records: Records, *, stream: int, seed: int, batch_size: int, step: int
) -> list[dict[str, Any]]:
    """The records of a step's global batch, computed from the seed.

    Args:
      records: of the split.
      stream: `LABELED` or `UNLABELED`.
      seed: of the run.
      batch_size: the stream's images in a step, over all replicas.
      step: number of the step, from 0.

    Returns:
      For each row of the batch the "name" of the image and the place of its "record". A
      damaged record, which the next one replaced, has an empty name.
    """
    order_seed, _ = stream_seeds(seed, stream)
    with tf.device("/cpu:0"):
        pairs = visits(len(records), order_seed, step * batch_size)
        return [
            {"name": _name(records, index), "record": records.describe(int(index))}
            for _, index in pairs.take(batch_size).as_numpy_iterator()
        ]


def _name(records: Records, index: np.int64) -> str:
    try:
        with parsing.user_errors():
            serialized, source = records.read(tf.constant(index))
            return parsing.record_name(serialized, source).numpy().decode()
    except (UserError, UnicodeDecodeError):
        return ""
