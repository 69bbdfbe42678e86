"""Statistics of the records of a split, and their problems."""

import array
import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import Optional, Union

import numpy as np

from data_prep.validation import reading
from wss.data.datasets.spec import DatasetSpec

_NO_FINGERPRINT = -1
_LISTED = 8
# An image without a brighter value is nearly black.
_DARK = 64


class Tally:
    """Statistics of the records of one split; takes 16 bytes per image.

    Attributes:
      spec: the data set's classes.
      images: number of good records.
      broken: number of records that training could not use.
      with_masks: number of images with a mask.
      with_class_ids: number of images with image-level labels.
      nameless: number of images without a name.
      pixels: [256], int64, number of pixels with each value in all masks.
      shown_by: [256], int64, number of masks with each value.
      brightness: [256], int64, number of images with each largest value.
      sizes: number of images with each (height, width).
      names: fingerprint of each record's name, in order; -1 for no name.
      contents: fingerprint of each record's image, in order; -1 if it is broken.
    """

    def __init__(self, spec: DatasetSpec):
        self.spec = spec
        self.images = self.broken = 0
        self.with_masks = self.with_class_ids = self.nameless = 0
        self.pixels = np.zeros(reading.VALUES, np.int64)
        self.shown_by = np.zeros(reading.VALUES, np.int64)
        self.brightness = np.zeros(reading.VALUES, np.int64)
        self.sizes: collections.Counter[tuple[int, int]] = collections.Counter()
        self.names = array.array("q")
        self.contents = array.array("q")
        self._largest: dict[int, tuple[int, int]] = {}  # value -> pixels, record

    def add(
        self, result: Union[reading.Record, reading.Broken], shard: str
    ) -> Iterator[str]:
        """Counts the next record; yields its problems as sentences.

        Args:
          result: the record.
          shard: name of its shard.
        """
        if isinstance(result, reading.Broken):
            self.broken += 1
            self.names.append(_NO_FINGERPRINT)
            self.contents.append(_NO_FINGERPRINT)
            yield result.problem
            return
        where = f"{shard}, record {result.number} ('{result.name}')"
        self._count(result)
        for recorded, decoded in zip(result.recorded_size, result.size):
            if recorded not in (reading.NOT_RECORDED, decoded):
                yield (
                    f"{where}: the record says {_pixels(result.recorded_size)}, but "
                    f"the image has {_pixels(result.size)}."
                )
                break
        values = self.no_classes(result.pixels)
        if values:
            count = result.pixels[values].sum()
            yield (
                f"{where}: its mask has {listed(map(str, values))} in {count} "
                f"pixels. {self._allowed()}"
            )
        wrong = [i for i in result.class_ids if not 0 <= i < self.spec.num_classes]
        if wrong:
            yield f"{where}: its image-level label {wrong[0]} is not a class."

    def no_classes(self, pixels: Optional[np.ndarray] = None) -> list[int]:
        """Values that are neither a class nor the ignore label.

        Args:
          pixels: [256], of one mask; None: of all masks.
        """
        values = np.flatnonzero(self.pixels if pixels is None else pixels)
        wrong = (values >= self.spec.num_classes) & (values != self.spec.ignore_label)
        return values[wrong].tolist()

    def problems(self) -> Iterator[str]:
        """Problems of the split as a whole, as sentences."""
        if not self.images + self.broken:
            yield "There are no records."
        values = self.no_classes()
        if values:
            found = listed(f"{v} ({self.shown_by[v]} images)" for v in values)
            yield (
                f"Masks have values that are not classes: {found}. {self._allowed()} "
                "Write the split again with these values mapped to a class or to the "
                "ignore label, or describe more classes."
            )
        if self.with_masks and not self.pixels[: self.spec.num_classes].any():
            yield (
                "No pixel of any mask has a class, so there is nothing to learn. Are "
                "these yes/no masks whose 255 means class 1?"
            )

    def notes(self) -> Iterator[str]:
        """What may be a mistake or intended, as sentences."""
        classes = self.pixels[: self.spec.num_classes]
        seen = np.flatnonzero(classes)
        if len(seen) == 1 and len(classes) > 1:
            yield (
                f"The masks show only {self._name(seen[0])}. Are these yes/no masks "
                "whose 255 means class 1?"
            )
        elif self.with_masks and len(seen):
            never = np.flatnonzero(classes == 0)
            if len(never):
                names = listed(map(self._name, never))
                yield f"{len(never)} of {len(classes)} classes never occur: {names}."
        dark = self.brightness[:_DARK]
        if dark.any():
            yield (
                f"{dark.sum()} of {self.images} images are nearly black: the brightest "
                f"value is {np.flatnonzero(dark)[-1]} of 255. If their files have more "
                "than 8 bits, set the bits in use with data_prep.folder --image_bits."
            )
        without = self.images - self.with_masks
        if self.with_masks and without:
            yield (
                f"{without} of {self.images} images have no mask: the split cannot be "
                "LABELED_SPLIT or EVAL_SPLIT."
            )
        if self.nameless:
            yield f"{self.nameless} images have no name (image/filename)."
        copies = len(repeated(self.contents))
        if copies:
            yield f"{copies} images are copies of others in the split."

    def choose(self, count: int) -> list[int]:
        """Chooses records for the contact sheet, by number in the split.

        For each class the record with most of its pixels, rarest classes first, then
        records from the whole split.
        """
        seen = [value for value in self._largest if value != self.spec.ignore_label]
        rarest_first = sorted(seen, key=lambda i: (self.shown_by[i], i))
        good = np.flatnonzero(np.array(self.contents) != _NO_FINGERPRINT)
        spread = np.linspace(0, len(good) - 1, min(count, len(good))).round()
        candidates = [self._largest[i][1] for i in rarest_first]
        candidates += good[spread.astype(int)].tolist() + good[:count].tolist()
        return sorted(list(dict.fromkeys(candidates))[:count])

    def size_summary(self) -> str:
        """The images' sizes in one line."""
        if len(self.sizes) == 1:
            return f"all of {_pixels(next(iter(self.sizes)))}"
        sizes = np.array(sorted(self.sizes))
        counts = np.array([self.sizes[tuple(size)] for size in sizes.tolist()])
        parts = []
        for axis, name in ((1, "width"), (0, "height")):
            order = np.argsort(sizes[:, axis], kind="stable")
            middle = np.searchsorted(np.cumsum(counts[order]), (self.images + 1) // 2)
            values = sizes[order, axis]
            parts.append(f"{name} {values[0]} / {values[middle]} / {values[-1]}")
        return (
            f"{', '.join(parts)} pixels (min / median / max); {len(sizes)} different "
            "sizes"
        )

    def _count(self, record: reading.Record) -> None:
        index = len(self.contents)
        self.images += 1
        self.with_masks += record.has_mask
        self.with_class_ids += bool(len(record.class_ids))
        self.nameless += not record.name
        self.sizes[record.size] += 1
        self.brightness[record.brightest] += 1
        self.pixels += record.pixels
        self.shown_by += record.pixels > 0
        for value in np.flatnonzero(record.pixels).tolist():
            if record.pixels[value] > self._largest.get(value, (0, 0))[0]:
                self._largest[value] = (int(record.pixels[value]), index)
        self.names.append(record.name_fingerprint if record.name else _NO_FINGERPRINT)
        self.contents.append(record.fingerprint)

    def _name(self, class_id: int) -> str:
        return f"{class_id} ({self.spec.class_names[class_id]})"

    def _allowed(self) -> str:
        return (
            f"Classes are 0..{self.spec.num_classes - 1}, {self.spec.ignore_label} is "
            "ignored."
        )


def listed(words: Iterable[str]) -> str:
    """Joins words by commas, the first ones only."""
    words = list(words)
    more = len(words) - _LISTED
    return ", ".join(words[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def repeated(fingerprints: Sequence[int]) -> list[tuple[int, int]]:
    """Finds repeated values: (index of the first, index of the other) for each."""
    values = np.array(fingerprints, np.int64)
    order = np.argsort(values, kind="stable")
    values = values[order]
    again = np.flatnonzero(
        (values[1:] == values[:-1]) & (values[1:] != _NO_FINGERPRINT)
    )
    first = np.searchsorted(values, values[again + 1])
    return sorted(zip(order[first].tolist(), order[again + 1].tolist()))


def shared(some: Sequence[int], others: Sequence[int]) -> np.ndarray:
    """Indices into `some` of values that are also in `others`, int64."""
    values = np.array(some, np.int64)
    return np.flatnonzero(np.isin(values, others) & (values != _NO_FINGERPRINT))


def _pixels(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} pixels"
