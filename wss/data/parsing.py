"""Serialized records -> images and labels.

The keys are those of the original project (and of DeepLab's code), so that its
published shards can be read. An unlabeled image lacks the two segmentation features;
the image-level labels of an image without mask may be a list of class ids.
"""

import contextlib
import functools
import re
from collections.abc import Iterator
from typing import Any, Callable

import tensorflow as tf
from PIL import Image

from wss.data.keys import (  # noqa: F401  (part of this module's interface)
    CHANNELS,
    CLASS_IDS,
    ENCODED,
    FILENAME,
    FORMAT,
    HEIGHT,
    LABEL_ENCODED,
    LABEL_FORMAT,
    WIDTH,
)
from wss.errors import UserError

# Parses the record of a number, scalar int64.
Parse = Callable[[tf.Tensor], dict[str, tf.Tensor]]

_FEATURES = {
    ENCODED: tf.io.FixedLenFeature((), tf.string, default_value=""),
    FILENAME: tf.io.FixedLenFeature((), tf.string, default_value=""),
    LABEL_ENCODED: tf.io.FixedLenFeature((), tf.string, default_value=""),
    CLASS_IDS: tf.io.VarLenFeature(tf.int64),
}

# Delimiters of messages for the user in a graph's errors.
_OPENING, _CLOSING = "<<<", ">>>"

# PIL's limit for photos; a record of a few bytes can decode to any size.
MAX_PIXELS = 2 * Image.MAX_IMAGE_PIXELS

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_SIZE_AT = 16
# Bit depth and color type in a PNG header: 8-bit gray, 8-bit gray with alpha.
_GRAY_HEADERS = (b"\x08\x00", b"\x08\x04")


def parse_example(
    serialized: tf.Tensor, ignore_label: int = 255, source: tf.Tensor = ""
) -> dict[str, tf.Tensor]:
    """Parses and decodes one record.

    Args:
      serialized: scalar string, a serialized `tf.train.Example`.
      ignore_label: label of every pixel of an image without mask.
      source: scalar string, the record's place ("shard, record 17"), for messages.

    Returns:
      image: [height, width, 3], uint8; gray and RGBA images become RGB.
      label: [height, width], uint8.
      has_label: scalar bool, whether the record has a mask.
      class_ids: [classes], int64, image-level labels in the record, or empty.
      name: scalar string, the image's file name without folder and extension.

    Raises:
      tf.errors.InvalidArgumentError: when the tensors are evaluated; the record is not
        a `tf.train.Example`, a feature is missing, neither JPEG nor PNG or has too many
        pixels, or image and mask differ in size. The message names the feature and the
        record.
    """
    return _parser(ignore_label)(
        tf.convert_to_tensor(serialized), tf.convert_to_tensor(source)
    )


@functools.cache
def _parser(ignore_label: int) -> Callable[..., dict[str, tf.Tensor]]:
    """The graph of `parse_example`, traced once in a process.

    It is most of an input pipeline's graph, and a run builds six of them.
    """
    text = tf.TensorSpec([], tf.string)

    @tf.function(autograph=False)
    def parse(serialized, source):
        return _parse(serialized, source, ignore_label)

    with tf.init_scope():  # Not within the graph of the first caller.
        return parse.get_concrete_function(text, text)


def _parse(
    serialized: tf.Tensor, source: tf.Tensor, ignore_label: int
) -> dict[str, tf.Tensor]:
    features = _parse_features(serialized, source)
    where = _describe(features[FILENAME], source)
    image = _decode(features[ENCODED], 3, ENCODED, where)
    has_label = tf.strings.length(features[LABEL_ENCODED]) > 0
    label = tf.cond(
        has_label,
        lambda: _decode_label(features[LABEL_ENCODED], image, where),
        lambda: tf.fill(tf.shape(image)[:2], tf.constant(ignore_label, tf.uint8)),
    )
    label.set_shape([None, None])
    return {
        "image": image,
        "label": label,
        "has_label": has_label,
        "class_ids": features[CLASS_IDS],
        "name": features[FILENAME],
    }


def decode_image(encoded: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Decodes JPEG or PNG bytes like those of a record: [height, width, 3], uint8.

    Args:
      encoded: scalar string.
      where: scalar string, the image's place, for messages.

    Raises:
      tf.errors.InvalidArgumentError: see `parse_example`.
    """
    return _decode(encoded, 3, ENCODED, where)


def record_name(serialized: tf.Tensor, source: tf.Tensor = "") -> tf.Tensor:
    """The name of `parse_example`, without decoding the image."""
    return _parse_features(serialized, source)[FILENAME]


def ensure(condition: tf.Tensor, *sentence: tf.Tensor) -> tf.Operation:
    """An operation that fails with a message for the user unless `condition` is True.

    Args:
      condition: scalar bool.
      sentence: strings and integer tensors, to be joined.
    """
    parts = [
        part if tf.as_dtype(part.dtype) == tf.string else tf.strings.as_string(part)
        for part in map(tf.convert_to_tensor, sentence)
    ]
    message = tf.strings.join([_OPENING, *parts, _CLOSING])
    return tf.debugging.Assert(condition, [message])


def attempt(
    function: Callable[[tf.Tensor], Any], argument: tf.Tensor, *, otherwise: Any
) -> Any:
    """`function(argument)`, or `otherwise` if that fails.

    Args:
      function: TensorFlow code that may fail.
      argument: a tensor.
      otherwise: has the structure of the function's result.
    """
    tried = tf.data.Dataset.from_tensors(argument).map(function).ignore_errors()
    fallback = tf.data.Dataset.from_tensors(otherwise)
    return tried.concatenate(fallback).take(1).get_single_element()


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Turns the failure of an `ensure` into a `UserError`.

    tf.data reports failures in its graph as a long `InvalidArgumentError` where the
    next batch is requested: wrap that place, or the whole run.
    """
    try:
        yield
    except (tf.errors.InvalidArgumentError, UnicodeDecodeError) as error:
        found = re.search(f"{_OPENING}(.*?){_CLOSING}", _message(error), re.DOTALL)
        if not found:
            raise
        raise UserError(found[1]) from error


def _message(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        # TensorFlow cannot decode its own message: a name is not UTF-8.
        return bytes(error.object).decode(errors="replace")
    return str(error)


def _parse_features(serialized: tf.Tensor, source: tf.Tensor) -> dict[str, tf.Tensor]:
    """The features by key; class ids [classes] are dense.

    TensorFlow's own failure would show the record's bytes instead of its place.
    """

    def parse(content):
        features = tf.io.parse_single_example(content, _FEATURES)
        features[CLASS_IDS] = tf.sparse.to_dense(features[CLASS_IDS])
        return features, True

    empty = {key: tf.constant("") for key in _FEATURES}
    empty[CLASS_IDS] = tf.zeros([0], tf.int64)
    features, is_example = attempt(parse, serialized, otherwise=(empty, False))
    readable = ensure(
        is_example,
        *("Cannot read ", source, ": it is not a tf.train.Example. Write it again."),
    )
    with tf.control_dependencies([readable]):
        return {key: tf.identity(feature) for key, feature in features.items()}


def _describe(name: tf.Tensor, source: tf.Tensor) -> tf.Tensor:
    return tf.strings.join(["record ", name, " (", source, ")"])


def _decode(
    encoded: tf.Tensor, channels: int, feature: str, where: tf.Tensor
) -> tf.Tensor:
    """Decodes JPEG or PNG bytes to [height, width, channels], uint8."""
    is_jpeg = tf.io.is_jpeg(encoded)
    is_png = tf.strings.substr(encoded, 0, len(_PNG_SIGNATURE)) == _PNG_SIGNATURE
    known = ensure(
        is_jpeg | is_png,
        f"Feature {feature} is missing or neither JPEG nor PNG in ",
        where,
    )
    with tf.control_dependencies([known]):
        image, size = _decode_or_nothing(encoded, channels)
    small = ensure(
        tf.reduce_prod(size) <= MAX_PIXELS,
        *(f"Feature {feature} has ", size[0], " x ", size[1], " pixels, more than "),
        *(f"{MAX_PIXELS:,}, in ", where, ". Write it again as a smaller image."),
    )
    whole = ensure(
        (tf.size(image) > 0) | (tf.reduce_prod(size) > MAX_PIXELS),
        *(f"Feature {feature} is damaged and cannot be decoded, in ", where),
    )
    with tf.control_dependencies([small, whole]):
        return tf.identity(image)


def _decode_or_nothing(
    encoded: tf.Tensor, channels: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """[height, width, channels], uint8, or [0, 0, channels] if decoding fails.

    A decoder's own failure would not name the record. The second result is [height,
    width], int64, from the header; an image that is too large is not decoded.
    """
    nothing = tf.zeros([0, 0, channels], tf.uint8)

    def decode(content):
        is_jpeg = tf.io.is_jpeg(content)
        size = tf.cond(is_jpeg, lambda: _jpeg_size(content), lambda: _png_size(content))
        size = tf.cast(size, tf.int64)
        image = tf.cond(
            tf.reduce_prod(size) > MAX_PIXELS,
            lambda: nothing,
            lambda: tf.cond(
                is_jpeg,
                lambda: tf.io.decode_jpeg(content, channels),
                lambda: tf.io.decode_png(content, channels),
            ),
        )
        return image, size

    return attempt(decode, encoded, otherwise=(nothing, tf.zeros([2], tf.int64)))


def _jpeg_size(content: tf.Tensor) -> tf.Tensor:
    return tf.io.extract_jpeg_shape(content, tf.int32)[:2]


def _png_size(content: tf.Tensor) -> tf.Tensor:
    width_height = tf.strings.substr(content, _PNG_SIZE_AT, 8)
    return tf.io.decode_raw(width_height, tf.int32, little_endian=False)[::-1]


def _decode_label(encoded: tf.Tensor, image: tf.Tensor, where: tf.Tensor) -> tf.Tensor:
    """Decodes a mask of class ids to [height, width], uint8."""
    label = _decode(encoded, 1, LABEL_ENCODED, where)[..., 0]
    with tf.control_dependencies([label]):
        # The decoder silently converts palette colors to gray: wrong class ids.
        header = tf.strings.substr(encoded, 24, 2)
    is_gray = tf.io.is_jpeg(encoded) | tf.reduce_any(header == list(_GRAY_HEADERS))
    gray = ensure(
        is_gray,
        f"Feature {LABEL_ENCODED} is not an 8-bit gray PNG of class ids in ",
        where,
    )
    size, label_size = tf.shape(image)[:2], tf.shape(label)
    same_size = ensure(
        tf.reduce_all(size == label_size),
        *("The image has ", size[0], " x ", size[1], " pixels, but the mask "),
        *(label_size[0], " x ", label_size[1], " in ", where),
    )
    with tf.control_dependencies([gray, same_size]):
        return tf.identity(label)
