"""From shards to batches: the tf.data graphs of training and evaluation.

The training input is a pure function of (seed, step). `sampling.py` defines the order
of the records; the random draws for example i of a stream (scale, crop, colors, hole)
depend on (seed, i). A run that starts at step k gets the same batches as a run from
step 0, without reading the earlier ones: checkpoints do not contain iterators. Records
are read from disk by their position, in shuffled order: the data need not fit in
memory, and there is no shuffle buffer.
"""

import functools
from collections.abc import Sequence
from typing import Annotated, Callable, NamedTuple, Optional, Union

import gin
import tensorflow as tf

from wss.data import augmentations, geometry, parsing, sampling, service, views
from wss.data.datasets.spec import DatasetSpec
from wss.data.tfrecords import Records, count_examples
from wss.data.views import Canvas
from wss.errors import UserError
from wss.settings import Count, Natural, NonNegative, Range, Share

__all__ = ["Split", "count_examples", "evaluation_batches", "training_batches"]

GRAY = (127.5, 127.5, 127.5)

# Purposes of an example's draws. Further strong views have the next numbers.
_VIEW, _STRONG = 0, 1


class Split(NamedTuple):
    """Folder and name of a split; `name` may be several splits joined by "+"."""

    data_dir: str
    name: str


@gin.configurable(
    allowlist=[
        "min_scale",
        "max_scale",
        "scale_step",
        "flip_probability",
        "strong_augmentation",
        "max_broken_records",
        "data_service",
    ]
)
def training_batches(
    labeled: Split,
    unlabeled: Optional[Split],
    *,
    spec: DatasetSpec,
    crop_size: tuple[int, int],
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    padding_value: tuple[float, float, float] = GRAY,
    min_scale: Annotated[float, Range(low=0.01, high=100)] = 0.5,
    max_scale: Annotated[float, Range(low="min_scale", high=100)] = 2.0,
    scale_step: NonNegative = 0.25,
    flip_probability: Share = 0.5,
    strong_augmentation: Union[str, Sequence[str]] = ("color_jitter", "cutout"),
    strong_views: int = 1,
    max_broken_records: Natural = 0,
    data_service: Optional[str] = None,
    input_context: Optional[tf.distribute.InputContext] = None,
) -> tf.data.Dataset:
    """The endless training input from `start_step` on.

    Args:
      labeled: split with masks.
      unlabeled: split used without its masks, or None.
      spec: the data set's classes.
      crop_size: height and width of the views.
      batch_size: labeled images of a step, summed over all replicas; the number of
        unlabeled ones is the same.
      seed: of all random draws.
      start_step: number of the first step.
      padding_value: color of the padding, 0..255 (the network's mean).
      min_scale: smallest random factor of the image's size.
      max_scale: largest.
      scale_step: distance between the possible factors; 0: any factor in the range.
      flip_probability: share of mirrored views.
      strong_augmentation: name of a policy of `wss.data.augmentations`, or several.
      strong_views: number of strong views of each unlabeled image. Their colors are
        drawn independently; they hide the same pixels.
      max_broken_records: number of different damaged records that training tolerates.
        Each is named and replaced with the next record.
      data_service: address of a `wss.data_service` that prepares the batches on
        another machine, where the shards have the same path.
      input_context: this worker's place among the input pipelines. Each worker iterates
        over the same stream and decodes its part of every batch, so that the global
        batch does not depend on the number of workers.

    Returns:
      Dataset of batches for one replica (without a context: of the global batch):
        labeled: image [B, H, W, 3], float32, 0..255; label [B, H, W], int32; valid
          [B, H, W], float32, 0 in the padding; image_labels [B, classes - 1], float32;
          position [B], int64, in the stream: step * batch_size + row.
        unlabeled: weak, strong (strong_2 and so on) [B, H, W, 3]; valid [B, H, W], 0 in
          the padding and where the strong views are hidden; label [B, H, W], int32,
          the ignore label there and without a mask; image_labels
          [B, classes - 1]; position [B]. Only if `unlabeled` is not None.

    Raises:
      UserError: shards are missing or damaged, an augmentation is unknown, the batch
        size is not a multiple of the number of replicas, or no data service answers.
    """
    if isinstance(strong_augmentation, str):
        strong_augmentation = (strong_augmentation,)
    views = {
        "canvas": Canvas(tuple(crop_size), tuple(padding_value), spec.ignore_label),
        "draw_view": functools.partial(
            geometry.draw_view,
            crop_size=crop_size,
            min_scale=min_scale,
            max_scale=max_scale,
            scale_step=scale_step,
            flip_probability=flip_probability,
        ),
    }
    labeled_example = functools.partial(_labeled_example, spec=spec, **views)
    unlabeled_example = functools.partial(
        _unlabeled_example,
        **views,
        chosen=list(map(augmentations.get, strong_augmentation)),
        strong_views=strong_views,
    )
    stream = functools.partial(
        _batches,
        spec=spec,
        batch_size=batch_size,
        seed=seed,
        start_step=start_step,
        tolerance=sampling.Tolerance(max_broken_records),
        context=input_context or tf.distribute.InputContext(),
    )
    parts = {"labeled": stream(labeled, labeled_example, number=sampling.LABELED)}
    if unlabeled is not None:
        parts["unlabeled"] = stream(
            unlabeled, unlabeled_example, number=sampling.UNLABELED
        )
    return _prepared(tf.data.Dataset.zip(parts), data_service)


def _prepared(dataset: tf.data.Dataset, data_service: Optional[str]) -> tf.data.Dataset:
    """Prefetches the batches of an endless stream, here or at a data service."""
    dataset = dataset.with_options(_options())
    if data_service:
        dataset = service.prepared_at(data_service, dataset)
    # If a stream may end, several workers check this before each step, and batches lose
    # their static size.
    endless = tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)
    return dataset.prefetch(tf.data.AUTOTUNE).apply(endless)


@gin.configurable(denylist=["data_dir", "split", "spec"])
def evaluation_batches(
    data_dir: str,
    split: str,
    *,
    spec: DatasetSpec,
    min_resize: Optional[Count] = None,
    max_resize: Optional[Annotated[Count, Range(low="min_resize")]] = None,
    resize_factor: Optional[Count] = None,
) -> tf.data.Dataset:
    """All images of a split, whole and in the order of the shards.

    Args:
      data_dir: folder of the shards.
      split: name of the split.
      spec: the data set's classes.
      min_resize: resize images to this length of the shorter side; None: do not resize.
      max_resize: largest length of the longer side after resizing.
      resize_factor: both sides become a multiple of it plus one.

    Returns:
      Dataset of image [1, H, W, 3], float32, 0..255; label [1, H, W], int32; name [1],
      string. Height and width are the image's own.

    Raises:
      UserError: shards are missing or damaged, or only `min_resize` is missing.
      tf.errors.InvalidArgumentError: when the dataset is read; an image is damaged.
        `parsing.user_errors` turns it into a UserError.
    """
    if (max_resize or resize_factor) and not min_resize:
        raise UserError(
            f"evaluation_batches.max_resize = {max_resize} and resize_factor = "
            f"{resize_factor} need evaluation_batches.min_resize. Set it too."
        )
    records = Records(data_dir, split, spec.name)

    @tf.autograph.experimental.do_not_convert
    def example(index):
        parsed = _with_wide_label(_parse(records, index, spec.ignore_label))
        image, label = tf.cast(parsed["image"], tf.float32), _mask(parsed)
        if min_resize:
            image, label = geometry.resize_to_range(
                image, label, min_resize, max_resize, resize_factor
            )
        return {"image": image, "label": label, "name": parsed["name"]}

    return (
        tf.data.Dataset.range(len(records))
        .map(example, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(1)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_options())
    )


def _batches(
    split: Split,
    make_example: Callable[..., dict[str, tf.Tensor]],
    *,
    number: int,
    spec: DatasetSpec,
    batch_size: int,
    seed: int,
    start_step: int,
    tolerance: sampling.Tolerance,
    context: tf.distribute.InputContext,
) -> tf.data.Dataset:
    """Batches of the stream with this `number`."""
    if batch_size % context.num_replicas_in_sync:
        raise UserError(
            f"BATCH_SIZE = {batch_size} cannot be divided over "
            f"{context.num_replicas_in_sync} replicas. Choose a multiple of their "
            "number."
        )
    records = Records(split.data_dir, split.name, spec.name)
    order_seed, example_seed = sampling.stream_seeds(seed, number)
    parse = functools.partial(_parse, records, ignore_label=spec.ignore_label)

    @tf.autograph.experimental.do_not_convert
    def example(position, index):
        parsed = _with_wide_label(tolerance.parse(parse, len(records), index))
        parts = make_example(parsed, sampling.purpose_seed(example_seed, position))
        return {**_with_image_labels(parts, parsed, spec), "position": position}

    return (
        sampling.visits(len(records), order_seed, start_step * batch_size)
        .apply(
            functools.partial(sampling.own_part, batch_size=batch_size, context=context)
        )
        .map(example, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
        .batch(batch_size // context.num_replicas_in_sync, drop_remainder=True)
    )


def _labeled_example(
    example: dict[str, tf.Tensor],
    seed: tf.Tensor,
    *,
    spec: DatasetSpec,
    canvas: Canvas,
    draw_view: Callable[..., geometry.View],
) -> dict[str, tf.Tensor]:
    view = draw_view(sampling.purpose_seed(seed, _VIEW), tf.shape(example["image"])[:2])
    mask = _check_classes(_mask(example), example["name"], spec)
    return views.labeled_view(example["image"], mask, view, canvas)


def _unlabeled_example(
    example: dict[str, tf.Tensor],
    seed: tf.Tensor,
    *,
    canvas: Canvas,
    draw_view: Callable[..., geometry.View],
    chosen: Sequence[augmentations.Policy],
    strong_views: int,
) -> dict[str, tf.Tensor]:
    seeds = [sampling.purpose_seed(seed, _STRONG + i) for i in range(strong_views)]
    distort, *more_distortions = [
        functools.partial(views.distort_colors, chosen=chosen, seed=strong_seed)
        for strong_seed in seeds
    ]
    return views.weak_and_strong_views(
        example["image"],
        example["label"],
        draw_view(sampling.purpose_seed(seed, _VIEW), tf.shape(example["image"])[:2]),
        canvas,
        distort,
        views.draw_hidden(canvas.crop_size, chosen, seeds[0]),
        more_distortions,
    )


def _parse(
    records: Records, index: tf.Tensor, ignore_label: int
) -> dict[str, tf.Tensor]:
    serialized, source = records.read(index)
    return parsing.parse_example(serialized, ignore_label, source)


def _with_wide_label(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {**example, "label": tf.cast(example["label"], tf.int32)}


def _mask(example: dict[str, tf.Tensor]) -> tf.Tensor:
    """The label of an example; fails if it has none."""
    known = parsing.ensure(
        example["has_label"],
        *(
            "Image ",
            example["name"],
            " has no mask, but its split is used as one with ",
        ),
        "masks (LABELED_SPLIT or EVAL_SPLIT). Choose another split.",
    )
    with tf.control_dependencies([known]):
        return tf.identity(example["label"])


def _check_classes(mask: tf.Tensor, name: tf.Tensor, spec: DatasetSpec) -> tf.Tensor:
    """Fails if a label is neither a class nor the ignore label."""
    strange = (mask >= spec.num_classes) & (mask != spec.ignore_label)
    label = tf.reduce_max(tf.where(strange, mask, -1))
    known = parsing.ensure(
        label < 0,
        *("The mask of image ", name, " has the label ", tf.strings.as_string(label)),
        f", which is neither a class of {spec.name} (0..{spec.num_classes - 1}) nor "
        f"the ignore label {spec.ignore_label}. Convert the masks again.",
    )
    with tf.control_dependencies([known]):
        return tf.identity(mask)


def _with_image_labels(
    parts: dict[str, tf.Tensor], example: dict[str, tf.Tensor], spec: DatasetSpec
) -> dict[str, tf.Tensor]:
    """Adds the classes in the view's mask or, without a mask, the record's."""
    labels = tf.cond(
        example["has_label"],
        lambda: views.image_labels(parts["label"], spec.num_classes, spec.ignore_label),
        lambda: views.image_labels(
            tf.cast(example["class_ids"], tf.int32), spec.num_classes, spec.ignore_label
        ),
    )
    return {**parts, "image_labels": labels}


def _options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # `sampling.own_part` divides the stream among the workers.
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.OFF
    )
    return options
