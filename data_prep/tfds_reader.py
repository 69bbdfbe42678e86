"""Reads prepared data sets of TensorFlow Datasets, example by example.

TensorFlow Datasets is imported only when needed, because that takes seconds.
"""

import atexit
import functools
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Optional

import numpy as np

from wss.errors import UserError, first_line

# Up to this many examples are skipped by reading instead of opening again.
_FAR = 500
_READERS = threading.local()
# TensorFlow prints complaints if it has to clean up after Python has ended.
atexit.register(_READERS.__dict__.clear)


class Source(NamedTuple):
    """A prepared data set, and its features that are read.

    Attributes:
      folder: folder of the version, with its shards.
      image: name of the feature, with slashes between levels.
      mask: name of the feature, or None for unlabeled images.
      name: name of the feature with the image's file name, or None.
    """

    folder: str
    image: str
    mask: Optional[str]
    name: Optional[str]


class Feature(NamedTuple):
    """A feature of a data set, and its keys in the nested dictionary of an example."""

    keys: tuple[str, ...]
    connector: Any

    def value(self, example: Mapping[str, Any]) -> Any:
        """The feature's value in an example."""
        return functools.reduce(lambda level, key: level[key], self.keys, example)

    def put(self, nested: dict[str, Any], value: Any) -> None:
        """Adds a value under the feature's keys."""
        for key in self.keys[:-1]:
            nested = nested.setdefault(key, {})
        nested[self.keys[-1]] = value

    def fits_image(self) -> bool:
        """Whether it may be a color image."""
        features = load().features
        is_image = isinstance(self.connector, features.Image)
        is_labels = isinstance(self.connector, features.LabeledImage)
        return is_image and not is_labels and self.connector.shape[-1] in (3, 4)

    def fits_mask(self) -> bool:
        """Whether it may be a mask: one integer per pixel."""
        tensor = load().features.Tensor
        if not isinstance(self.connector, (load().features.Image, tensor)):
            return False
        shape = self.connector.shape
        is_integer = np.dtype(self.connector.np_dtype).kind in "iu"
        return is_integer and (len(shape) == 2 or (len(shape) == 3 and shape[2] == 1))


class Reader:
    """Reads examples by their index; quickly where indices grow in small steps.

    The examples come in the order of the data set's files. Images are not decoded, so
    that skipping some costs little.
    """

    def __init__(self, source: Source):
        self.source = source
        self._names = [name for name in source[1:] if name]
        self._builder = load().builder_from_directory(source.folder)
        self._features = features_of(self._builder)
        self._part, self._next, self._examples = "", 0, None

    def example(self, part: str, index: int) -> dict[str, Any]:
        """Reads the features of `source` of one example.

        Returns:
          {name: value}; images as encoded bytes.

        Raises:
          UserError: the data set's files are damaged.
        """
        import tensorflow as tf

        try:
            if part != self._part or not 0 <= index - self._next <= _FAR:
                self._open(part, index)
            while self._next <= index:
                example = next(self._examples)
                self._next += 1
        except (StopIteration, ValueError, tf.errors.OpError) as error:
            self._part = ""
            raise UserError(
                f"{part}[{index}] of {self.source.folder} cannot be read "
                f"({first_line(error)}). Prepare the data set again: remove that "
                "folder and run the same command."
            ) from error
        return {name: self._features[name].value(example) for name in self._names}

    def _open(self, part: str, index: int) -> None:
        tfds = load()
        wanted, decoders = {}, {}
        for name in self._names:
            feature = self._features[name]
            feature.put(wanted, True)
            if isinstance(feature.connector, tfds.features.Image):
                feature.put(decoders, tfds.decode.SkipDecoding())
        dataset = self._builder.as_dataset(
            split=tfds.core.ReadInstruction(part, from_=index, unit="abs"),
            shuffle_files=False,
            decoders=tfds.decode.PartialDecoding(wanted, decoders),
            read_config=_read_config(),
        )
        self._examples = dataset.as_numpy_iterator()
        self._part, self._next = part, index


def _read_config() -> Any:
    """Reads examples one by one, in a fixed order, with one thread."""
    import tensorflow as tf

    options = tf.data.Options()
    options.deterministic = True
    options.threading.private_threadpool_size = 1
    return load().ReadConfig(
        options=options,
        try_autocache=False,
        interleave_cycle_length=1,
        skip_prefetch=True,
    )


def features_of(builder: Any) -> dict[str, Feature]:
    """The features of a builder by name, levels between slashes."""
    return {"/".join(found.keys): found for found in _walk(builder.info.features, ())}


def _walk(connector: Any, keys: tuple[str, ...]) -> Iterator[Feature]:
    if isinstance(connector, load().features.FeaturesDict):
        for key, below in connector.items():
            yield from _walk(below, (*keys, key))
    else:
        yield Feature(keys, connector)


def reader_of(source: Source) -> Reader:
    """This thread's reader of a data set."""
    reader = getattr(_READERS, "reader", None)
    if reader is None or reader.source != source:
        reader = _READERS.reader = Reader(source)
    return reader


@functools.lru_cache(maxsize=1)
def load() -> Any:
    """Imports TensorFlow Datasets, without its warnings to programmers."""
    import absl.logging
    import tensorflow_datasets as tfds

    absl.logging.set_verbosity(absl.logging.ERROR)

    return tfds
