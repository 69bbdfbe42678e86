"""Input pipeline: geometry, colours, holes and whole views, with the draws fixed."""

import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from tests.parity.common import Check, Golden
from wss.data import geometry, input_pipeline, views
from wss.data.augmentations import color_jitter, cutout
from wss.data.datasets import voc

RECORDS = os.path.join(os.path.dirname(__file__), "../golden/voc_val_3.tfrecord")

# Images: float32 rounding in another order of operations. The rest is exact.
TOLERANCE = 1e-5
IGNORE = 255
_PLAIN_RESNETS = ("resnet_v1_50", "resnet_v1_101")


def check(golden: Golden) -> list[Check]:
    """Compares the whole content of a file of the case "data"."""
    parts = (_records, _scale, _range, _pad, _cutout, _jitter, _flip, _views, _labels)
    return [result for part in parts for result in part(golden)]


def _image(golden: Golden) -> tf.Tensor:
    return tf.cast(golden["piece_image"], tf.float32)


def _label(golden: Golden) -> tf.Tensor:
    return tf.cast(golden["piece_label"][..., 0], tf.int32)


def _compare(golden: Golden, prefix: str, **parts: Any) -> Iterator[Check]:
    """Compares images with a tolerance, labels and masks exactly."""
    for name, actual in parts.items():
        actual = np.asarray(actual)
        is_image = name not in ("label", "valid")
        yield golden.compare(
            f"{prefix}__{name}",
            actual if is_image else actual[..., np.newaxis],
            TOLERANCE if is_image else 0.0,
        )


def _padding(variant: str) -> tuple[float, float, float]:
    return (
        (123.15, 115.90, 103.06) if variant in _PLAIN_RESNETS else input_pipeline.GRAY
    )


def _records(golden: Golden) -> Iterator[Check]:
    """The evaluation pipeline on the original project's test records."""
    for case, run in golden.meta.items():
        if not (isinstance(run, Mapping) and "names" in run):
            continue
        with tempfile.TemporaryDirectory() as data_dir:
            os.symlink(RECORDS, os.path.join(data_dir, "val.tfrecord"))
            examples = input_pipeline.evaluation_batches(
                data_dir,
                "val",
                spec=voc.SPEC,
                min_resize=run.get("min_resize_value"),
                max_resize=run.get("max_resize_value"),
                resize_factor=run.get("resize_factor"),
            )
            examples = list(examples.as_numpy_iterator())
        names = [example["name"][0].decode() for example in examples]
        yield Check(f"{case} names", float(names != run["names"]), 0.0)
        for index, example in enumerate(examples):
            prefix = f"{case}_{index}"
            size = tuple(golden[f"{prefix}__image__shape"][:2])
            padding = _padding(run.get("model_variant", "xception_65"))
            # As `evaluation.predictor` pads; the label of the padding is never counted.
            image = geometry.pad_image(example["image"][0], size, padding).numpy()
            label = geometry.pad_label(example["label"][0], size, 255).numpy()
            yield from _compare(golden, prefix, image=image, label=label)
            histogram = np.bincount(label.reshape(-1), minlength=256)
            yield golden.compare(f"{prefix}__label_hist", histogram, 0.0)
            if f"{prefix}__original_image" in golden:
                rows, columns = golden[f"{prefix}__original_image__shape"][:2]
                original = image[:rows, :columns]
                yield from _compare(golden, prefix, original_image=original)


def _scale(golden: Golden) -> Iterator[Check]:
    image, label = _image(golden), _label(golden)
    for key in sorted(golden.keys):
        found = re.fullmatch(r"(scale_([\d.]+))__image", key)
        if found:
            size = geometry.scaled_size(tf.shape(image)[:2], float(found[2]))
            yield from _compare(
                golden,
                found[1],
                image=geometry.scale_image(image, size),
                label=geometry.scale_label(label, size),
            )


def _range(golden: Golden) -> Iterator[Check]:
    image, label = _image(golden), _label(golden)
    for index, (smallest, largest, factor) in enumerate(golden.meta["range_params"]):
        resized = geometry.resize_to_range(image, label, smallest, largest, factor)
        yield from _compare(
            golden, f"range_{index}", image=resized[0], label=resized[1]
        )
    for index, case in enumerate(golden.meta["range_helper"]):
        size = geometry.size_in_range(
            case["hw"], case["min_size"], case["max_size_after_factor"], case["factor"]
        )
        error = np.max(np.abs(size.numpy() - case["out"]))
        yield Check(f"range_helper_{index}", float(error), 0.0)


def _pad(golden: Golden) -> Iterator[Check]:
    for index, (top, left, height, width, value) in enumerate(
        golden.meta["pad_params"]
    ):
        place = ((height, width), value, (top, left))
        yield from _compare(
            golden,
            f"pad_{index}",
            image=geometry.pad_image(_image(golden), *place),
            label=geometry.pad_label(
                _label(golden), (height, width), IGNORE, (top, left)
            ),
        )


def _cutout(golden: Golden) -> Iterator[Check]:
    image, label = _image(golden), _label(golden)
    height, width = label.shape
    first_invalid = int(re.search(r"rows >=\s*(\d+)", golden.meta["cutout_note"])[1])
    valid = geometry.valid_mask((first_invalid, width), (height, width))
    for index, case in enumerate(golden.meta["cutout"]):
        center = tf.constant([case["centre_h"], case["centre_w"]])
        hidden = cutout.hole((height, width), center, case["pad_size"])
        parts = views.hide_pixels(
            hidden, image, label, valid, input_pipeline.GRAY, IGNORE
        )
        yield from _compare(
            golden, f"cutout_{index}", image=parts[0], label=parts[1], valid=parts[2]
        )


def _drawn_jitter(case: Mapping[str, Any]) -> color_jitter.Jitter:
    (order,) = (value for key, value in case.items() if key.startswith("order_codes"))
    return color_jitter.Jitter(
        brightness=case["brightness_delta"],
        contrast=case["contrast_factor"],
        saturation=case["saturation_factor"],
        hue=case["hue_delta"],
        order=tf.constant(order),
    )


def _jitter(golden: Golden) -> Iterator[Check]:
    for index, case in enumerate(golden.meta["jitter"]):
        image = color_jitter.apply_jitter(_image(golden), _drawn_jitter(case))
        yield from _compare(golden, f"jitter_{index}", image=image)


def _flip(golden: Golden) -> Iterator[Check]:
    for key in sorted(golden.keys):
        if key.startswith("flip_") and key.endswith("__flag"):
            prefix = key[: -len("__flag")]
            image = geometry.flip(_image(golden), tf.constant(bool(golden[key])))
            yield from _compare(golden, prefix, image=image)


def _views(golden: Golden) -> Iterator[Check]:
    """Whole training views, labeled and weak with strong."""
    for case in golden.meta["preproc"]:
        view = geometry.View(
            scale=tf.constant(case["scale"]),
            offset=tf.constant([case["crop_offset_h"], case["crop_offset_w"]]),
            flipped=tf.constant(case["flipped"]),
        )
        canvas = views.Canvas(
            tuple(case["crop"]), _padding(case["model_variant"]), IGNORE
        )
        example = (_image(golden), _label(golden), view, canvas)
        if not case["strong_weak"]:
            parts = views.labeled_view(*example)
            yield from _compare(golden, f"preproc_{case['index']}_labelled", **parts)
            continue
        number = int(re.search(r"\d+", case["jitter"])[0])
        jitter = _drawn_jitter(golden.meta["jitter"][number])
        hidden = cutout.hole(
            canvas.crop_size,
            tf.constant(case["cutout_centre"]),
            case["cutout_pad_size"],
        )
        parts = views.weak_and_strong_views(
            *example,
            lambda image, jitter=jitter: color_jitter.apply_jitter(image, jitter),
            hidden,
        )
        parts["image"] = parts.pop("weak")
        yield from _compare(golden, f"preproc_{case['index']}_strongweak", **parts)


def _labels(golden: Golden) -> Iterator[Check]:
    classes = golden["cls_label_out"].shape[1] + 1
    labels = tf.cast(golden["cls_labels_in"][..., 0], tf.int32)
    actual = [views.image_labels(label, classes, IGNORE) for label in labels]
    yield golden.compare("cls_label_out", tf.stack(actual), 0.0)
