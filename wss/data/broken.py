"""Records that can not be read, and the records of a batch by name."""

import sys
import threading
from typing import Any, Dict, List

import numpy as np
import tensorflow as tf

from wss.data import order, parsing
from wss.data.tfrecords import Records
from wss.errors import UserError


class Tolerance:
    """Puts the next record in the place of one that can not be read.

    Which one takes the place depends on the records alone, so that every run takes the
    same steps. Each broken record is named once, and counted.

    Args:
      limit: how many different records may be broken; 0: none.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._found = set()
        self._lock = threading.Lock()

    def parse(
        self, parse: parsing.Parse, size: int, index: tf.Tensor
    ) -> Dict[str, tf.Tensor]:
        """Parses a record, or the first behind it that can be read.

        Args:
          parse: parses the record of a number and fails by `parsing.ensure`.
          size: number of records; behind the last comes the first.
          index: scalar int64, number of the record.

        Returns:
          What `parse` returns.
        """
        if not self._limit:
            return parse(index)

        def candidate(distance):
            return parse((index + distance) % size), distance

        # The last candidate fails with its own sentence.
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

    def _report(self, parse: parsing.Parse, indices: List[int]) -> bytes:
        """Names records that are new; a sentence where they are too many, else b""."""
        for index in indices:
            sentence = _problem(parse, index)
            with self._lock:
                if sentence in self._found:
                    continue
                self._found.add(sentence)
                count = len(self._found)
            if count > self._limit:
                return (
                    f"{sentence} It is the {count}. broken record, and "
                    f"training_batches.max_broken_records = {self._limit}. Write the "
                    "shards again, or raise the limit."
                ).encode()
            print(
                f"warning: {sentence} The next record takes its place ({count} of at "
                f"most {self._limit}).",
                file=sys.stderr,  # Each worker's own: only the chief prints.
                flush=True,
            )
        return b""


def _problem(parse: parsing.Parse, index: int) -> str:
    """What is wrong with a record; it is read once more for that."""
    try:
        with tf.device("/cpu:0"), parsing.user_errors():
            parse(tf.constant(index, tf.int64))
    except UserError as error:
        return str(error)
    return f"Record {index} could be read the second time only."


def records_of_step(
    records: Records, *, stream: int, seed: int, batch_size: int, step: int
) -> List[Dict[str, Any]]:
    """The records of a step's global batch, found again from the seed.

    Args:
      records: the split's.
      stream: `order.LABELED` or `order.UNLABELED`.
      seed: the training's.
      batch_size: images of the stream in a step, on all replicas.
      step: number of the step, 0 for the first.

    Returns:
      For each row of the batch the image's name and the place of its record. A broken
      record has no name; the next took its place.
    """
    order_seed, _ = order.stream_seeds(seed, stream)
    with tf.device("/cpu:0"):
        pairs = order.visits(len(records), order_seed, step * batch_size)
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
