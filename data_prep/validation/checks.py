"""Checks one split of a data set: its shards, its records, its manifest entry."""

import concurrent.futures
import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional

import numpy as np
from tqdm import tqdm

from data_prep.validation import reading
from data_prep.validation.tally import Tally, listed, repeated, shared
from data_prep.writing import shards
from wss.data.datasets import manifest as manifests
from wss.data.datasets.spec import DatasetSpec

_MANIFEST = manifests.FILE_NAME
_EVALUATION = re.compile(r"(mini)?(val|test|eval|dev)", re.IGNORECASE)


@dataclasses.dataclass
class Split:
    """A split and what was found in it, as sentences.

    Attributes:
      name: the split.
      shards: its shards.
      tally: its records.
      problems: what is wrong with the split.
      record_problems: what is wrong with single records, only the first ones.
      num_problems: total number of problems.
      notes: what may be intended.
    """

    name: str
    shards: Sequence[reading.Shard]
    tally: Tally
    problems: list[str] = dataclasses.field(default_factory=list)
    record_problems: list[str] = dataclasses.field(default_factory=list)
    num_problems: int = 0
    notes: list[str] = dataclasses.field(default_factory=list)

    def decode(self, index: int) -> dict[str, np.ndarray]:
        """Decodes a good record, by its number in the split."""
        return reading.decode(*self._place(index), self.tally.spec.ignore_label)

    def describe(self, index: int) -> str:
        """Shard and number of a record, by its number in the split."""
        shard, number = self._place(index)
        return f"{shard.name}, record {number}"

    def _place(self, index: int) -> tuple[reading.Shard, int]:
        ends = np.cumsum([len(shard) for shard in self.shards])
        shard = int(np.searchsorted(ends, index, side="right"))
        return self.shards[shard], index - int(ends[shard - 1] if shard else 0)


def check(
    data_dir: str,
    name: str,
    spec: DatasetSpec,
    manifest: Optional[Mapping[str, Any]],
    max_record_problems: int,
) -> Split:
    """Reads a split and checks everything.

    Args:
      data_dir: folder of the shards.
      name: of the split.
      spec: the data set's classes.
      manifest: the folder's manifest, or None.
      max_record_problems: number of record problems to keep.
    """
    files = reading.find(data_dir).get(name, [])
    paths = [os.path.join(data_dir, match.string) for match in files]
    split = Split(name, reading.open_shards(paths), Tally(spec))
    entry = manifest["splits"].get(name) if manifest else None
    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as thread:
        changed = thread.submit(_changed, split.shards, (entry or {}).get("files", {}))
        found = _read(split)
        split.record_problems = list(itertools.islice(found, max_record_problems))
        num_more = sum(1 for _ in found)
        split.problems += _missing(files)
        split.problems += [shard.problem for shard in split.shards if shard.problem]
        split.problems += changed.result()
    split.problems += _namesakes(split, max_record_problems)
    if files:
        split.problems += split.tally.problems()
    if entry:
        split.problems += _differences(split, entry)
    split.num_problems = len(split.problems) + len(split.record_problems) + num_more
    split.notes += _notes(split, manifest, entry)
    return split


def overlaps(splits: Sequence[Split]) -> Iterator[str]:
    """Notes on images of evaluation splits that are also in training splits."""
    for test in splits:
        for train in splits:
            if not _EVALUATION.match(test.name) or _EVALUATION.match(train.name):
                continue
            indices = shared(test.tally.contents, train.tally.contents)
            if len(indices):
                yield (
                    f"{len(indices)} of {test.tally.images} images of '{test.name}' "
                    f"are also in '{train.name}'; the first is "
                    f"{test.describe(indices[0])}. After training on "
                    f"'{train.name}', the evaluation is too optimistic."
                )


def _read(split: Split) -> Iterator[str]:
    """Reads all records into the split's tally; yields their problems."""
    tally = split.tally
    results = reading.examine(split.shards, tally.spec.ignore_label)
    total = sum(map(len, split.shards))
    for result in tqdm(
        results,
        desc=split.name,
        total=total,
        unit=" images",
        leave=False,
        disable=None,
    ):
        yield from tally.add(result, split.shards[result.shard].name)


def _missing(files: Sequence["re.Match[str]"]) -> Iterator[str]:
    """Problems that the names of a split's shards show."""
    if not files:
        yield f"{_MANIFEST} describes this split, but it has no shards."
        return
    totals = sorted({int(match["shards"] or 1) for match in files})
    if len(totals) > 1:
        counts = " and ".join(map(str, totals))
        yield (
            f"The shards are from conversions into {counts} shards. Remove those of "
            "the older conversion."
        )
        return
    expected = set(range(totals[0]))
    present = [int(match["index"] or 0) for match in files]
    missing = [f"{index:05d}" for index in sorted(expected - set(present))]
    if missing:
        yield f"{len(missing)} of {totals[0]} shards are missing: {listed(missing)}."
    elif len(present) > len(expected):
        names = listed(match.string for match in files)
        yield f"There are more shards than their names say: {names}."


def _changed(
    found: Sequence[reading.Shard], files: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Problems of shards that differ from the manifest."""
    return [
        f"The sha256 of {shard.name} differs from {_MANIFEST}: it is not the file "
        "that was written."
        for shard in found
        if shard.name in files
        and shards.measure(shard.path)[1] != files[shard.name]["sha256"]
    ]


def _namesakes(split: Split, max_problems: int) -> Iterator[str]:
    """Problems of records with the same name."""
    pairs = repeated(split.tally.names)
    for first, other in pairs[:max_problems]:
        name = split.decode(other)["name"].decode(errors="replace")
        yield (
            f"{split.describe(first)} and {split.describe(other)} have the same name "
            f"'{name}'."
        )
    if len(pairs) > max_problems:
        yield f"{len(pairs) - max_problems} more records share a name."


def _differences(split: Split, entry: Mapping[str, Any]) -> Iterator[str]:
    """Differences between manifest and records."""
    tally = split.tally
    found = {"examples": tally.images + tally.broken, "shards": len(split.shards)}
    if not tally.broken:
        found["with_masks"] = tally.with_masks
    for key, number in found.items():
        if entry.get(key, number) != number:
            what = key.replace("_", " ")
            yield f"There are {number} {what}, but {_MANIFEST} says {entry[key]}."


def _notes(
    split: Split,
    manifest: Optional[Mapping[str, Any]],
    entry: Optional[Mapping[str, Any]],
) -> Iterator[str]:
    tally = split.tally
    yield from tally.notes()
    if manifest and not entry:
        yield (
            f"{_MANIFEST} does not list this split: another program wrote it, or its "
            "conversion is unfinished."
        )
    skipped = (entry or {}).get("skipped", ())
    if skipped:
        yield (
            f"{len(skipped)} images were left out when the split was written; the "
            f"first is '{skipped[0]['name']}': {skipped[0]['reason']}"
        )
    published = tally.spec.split_sizes.get(split.name)
    records = tally.images + tally.broken
    if not entry and published not in (None, records):
        yield f"{records} images; the published split has {published}."
