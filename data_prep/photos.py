"""Reads photos with their masks: files, or what a labeling tool drew."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
from tqdm import tqdm

from data_prep import images, masks
from data_prep.pairing import Item
from data_prep.writing import processes
from data_prep.writing.examples import Example
from wss.data.datasets.spec import DatasetSpec

_ADVICE = (
    "Raise the number of classes, or map the label: --map {value}=CLASS or "
    "--map {value}=ignore"
)


class Drawn(NamedTuple):
    """A mask that was drawn from outlines or from several files.

    Attributes:
      mask: [height, width], uint8 class ids.
      as_stored: it fits the photo's pixels as stored, not the upright photo.
    """

    mask: np.ndarray
    as_stored: bool = False


# Draws the mask of an item; a function at module level, or a partial of one.
Draw = Callable[[Item, DatasetSpec], Drawn]


class _Labels(NamedTuple):
    """A mask, its file if it can become part of a record, and `Drawn.as_stored`."""

    mask: np.ndarray
    png: Optional[bytes]
    as_stored: bool


def read(
    item: Item,
    spec: DatasetSpec,
    labels: masks.Labels = masks.AS_THEY_ARE,
    max_side: Optional[int] = None,
    image_bits: Optional[int] = None,
    draw: Optional[Draw] = None,
) -> Example:
    """Reads a photo and its mask.

    Args:
      item: what to read.
      spec: the classes.
      labels: how the labels in a mask's file become class ids.
      max_side: larger photos are shrunk to it.
      image_bits: bits in use of photos with more than 8 bits.
      draw: draws the mask; None: `item.mask` is its file.

    Raises:
      UserError: the photo or its mask is broken.
    """
    found = _Labels(None, None, False)
    if item.mask:
        found = _read_labels(item, spec, labels, draw)
    return images.read_example(
        item.name,
        item.image,
        found.mask,
        item.class_ids,
        max_side,
        mask_png=found.png,
        as_stored=found.as_stored,
        image_bits=image_bits,
    )


def _read_labels(
    item: Item, spec: DatasetSpec, labels: masks.Labels, draw: Optional[Draw]
) -> _Labels:
    if draw:
        drawn = draw(item, spec)
        return _Labels(drawn.mask, None, drawn.as_stored)
    mask, png = masks.read_mask_and_png(
        item.mask, spec.num_classes, spec.ignore_label, labels, _ADVICE
    )
    return _Labels(mask, png, False)


def classes_shown(
    items: Sequence[Item],
    spec: DatasetSpec,
    labels: masks.Labels,
    draw: Optional[Draw],
    workers: int = 0,
) -> list[Optional[np.ndarray]]:
    """The classes in each mask: [classes], bool; None for a broken one."""
    look = functools.partial(_look, spec=spec, labels=labels, draw=draw)
    found = processes.in_order(look, items, workers)
    return list(tqdm(found, "checking masks", len(items), leave=False, disable=None))


def _look(
    item: Item, spec: DatasetSpec, labels: masks.Labels, draw: Optional[Draw]
) -> Optional[np.ndarray]:
    # On damaged files decoders may raise any exception; writing the records reports it.
    try:
        mask = _read_labels(item, spec, labels, draw).mask
    except Exception:
        return None
    return np.bincount(mask.ravel(), minlength=spec.num_classes)[: spec.num_classes] > 0


def options(labels: masks.Labels, max_side: Optional[int]) -> dict[str, Any]:
    """What determines the content of the records, apart from the items (JSON)."""
    found: dict[str, Any] = {}
    if labels.colormap:
        found["colormap"] = [list(color) for color in labels.colormap.colors]
    if labels.binary:
        found["binary"] = True
    if labels.changes:
        # JSON has no numbers such as NaN.
        found["map"] = [
            [x if math.isfinite(x) else str(x) for x in change]
            for change in labels.changes
        ]
    if max_side:
        found["max_side"] = max_side
    return found
