"""Decoded records in memory, so that those of a small split are decoded once.

Few labeled images are visited hundreds of times in a training, and to read and decode
one takes about a quarter of what the input spends on it. Kept is what decoding gave,
before anything is drawn for it: batches are the same numbers with and without.
"""

from typing import Dict, Sequence

import tensorflow as tf

from wss.data import parsing

_BYTES_PER_MEGABYTE = 10**6


def once(parse: parsing.Parse, megabytes: float) -> parsing.Parse:
    """A parser that keeps what it parsed while there is room.

    Args:
      parse: parses the record of a number, scalar int64. What it fails on is not kept.
      megabytes: room for all records, 10^6 bytes each; 0: nothing is kept.

    Returns:
      A function like `parse`. What it keeps is not copied for those who ask for it, and
      is freed with the last dataset that asks.
    """
    if not megabytes:
        return parse
    with tf.device("/cpu:0"):
        parse = tf.function(parse).get_concrete_function(tf.TensorSpec([], tf.int64))
        kept = _Kept(int(megabytes * _BYTES_PER_MEGABYTE))
    layout = parse.structured_outputs

    def parse_and_keep(index):
        example = parse(index)
        kept.add(index, tf.nest.flatten(example))
        return example

    def parse_once(index):
        found = kept.find(index)
        return tf.cond(
            tf.raw_ops.OptionalHasValue(optional=found),
            lambda: _parts(found, layout),
            lambda: parse_and_keep(index),
        )

    return parse_once


class _Kept:
    """Lists of tensors by number, up to a number of bytes.

    Made of the operations below `tf.lookup`, whose tables hold values of one shape.
    These have no name, and live as long as a dataset's function knows them.
    """

    def __init__(self, room: int):
        self._room = room
        table = tf.raw_ops.AnonymousMutableHashTable
        self._parts = table(key_dtype=tf.int64, value_dtype=tf.variant)
        self._sizes = table(key_dtype=tf.int64, value_dtype=tf.int64)

    def find(self, index: tf.Tensor) -> tf.Tensor:
        """An optional, scalar variant: the parts of a number, if they are here."""
        return tf.raw_ops.LookupTableFindV2(
            table_handle=self._parts,
            keys=index,
            default_value=tf.raw_ops.OptionalNone(),
        )

    def add(self, index: tf.Tensor, parts: Sequence[tf.Tensor]) -> None:
        """Adds the parts of a number, if they fit beside the others.

        Several who add at the same moment may each take the last room.
        """
        size = tf.add_n([_bytes(part) for part in parts])
        _, sizes = tf.raw_ops.LookupTableExportV2(
            table_handle=self._sizes, Tkeys=tf.int64, Tvalues=tf.int64
        )
        fits = tf.reduce_sum(sizes) + size <= self._room
        tf.cond(fits, lambda: self._insert(index, parts, size), lambda: None)

    def _insert(self, index, parts, size):
        insert = tf.raw_ops.LookupTableInsertV2
        optional = tf.raw_ops.OptionalFromValue(components=parts)
        insert(table_handle=self._parts, keys=index, values=optional)
        insert(table_handle=self._sizes, keys=index, values=size)


def _parts(optional: tf.Tensor, layout: Dict[str, tf.Tensor]) -> Dict[str, tf.Tensor]:
    """What an optional holds, with the names, types and shapes of `layout`."""
    specs = tf.nest.flatten(layout)
    parts = tf.raw_ops.OptionalGetValue(
        optional=optional,
        output_types=[spec.dtype for spec in specs],
        output_shapes=[spec.shape for spec in specs],
    )
    return tf.nest.pack_sequence_as(layout, parts)


def _bytes(part: tf.Tensor) -> tf.Tensor:
    """Size of a tensor's contents, scalar int64; a string's length."""
    if part.dtype == tf.string:
        return tf.reduce_sum(tf.cast(tf.strings.length(part), tf.int64))
    return tf.size(part, out_type=tf.int64) * part.dtype.size
