"""Writes records: every converter passes its examples to a `Writer`.

A split is a list of items and a function that reads one of them. The writer reads on
all cores or on Apache Beam and publishes a split only when it is complete; an
interrupted run resumes where it stopped. The content of a shard depends only on the
items. All broken images are reported. They either stop the split or are left out and
recorded, so that every item is accounted for.
"""

import contextlib
import dataclasses
import functools
import hashlib
import itertools
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional, TypeVar

from tqdm import tqdm

from data_prep.writing import fingerprints, processes
from data_prep.writing.examples import Example
from wss.data.datasets import manifest as manifests
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.files import atomic

if TYPE_CHECKING:
    from data_prep.writing import shards

Item = TypeVar("Item")

_EXAMPLES_PER_SHARD = 1000
MAX_SHARDS = 99999
_SPLIT_NAME = re.compile(r"\w[\w.-]*")
# Bytes of a split's name: file names may have 255, and shards add to the name.
_LONGEST_NAME = 150
_SHOWN_PROBLEMS = 100
_PROBLEMS_IN_ERROR = 3


@dataclasses.dataclass(frozen=True)
class Writer:
    """How and where splits are written.

    Attributes:
      output_dir: folder of the data set's shards.
      overwrite: replace an existing split; otherwise a split that was made from the
        same items and options is kept.
      workers: number of processes; 0: one per core.
      num_shards: number per split; None: one per 1000 images.
      skip_broken: write a split without its broken images, instead of refusing it.
      runner: name of an Apache Beam runner; empty: processes of this machine.
      runner_options: options of the Beam pipeline, such as "project=mine".
    """

    output_dir: str
    overwrite: bool = False
    workers: int = 0
    num_shards: Optional[int] = None
    skip_broken: bool = False
    runner: str = ""
    runner_options: Sequence[str] = ()

    def write_split(
        self,
        split: str,
        spec: DatasetSpec,
        items: Sequence[Item],
        read: Callable[[Item], Example],
        *,
        options: Optional[dict[str, Any]] = None,
    ) -> None:
        """Writes the shards of one split; see `write_splits`."""
        self.write_splits({split: items}, spec, read, options=options)

    def write_splits(
        self,
        splits: Mapping[str, Sequence[Item]],
        spec: DatasetSpec,
        read: Callable[[Item], Example],
        *,
        options: Optional[dict[str, Any]] = None,
    ) -> None:
        """Writes the shards of splits and records them in the folder's `dataset.json`.

        All splits are published, or none.

        Args:
          splits: what to write, by the name of the split, which is the beginning of its
            shards' names; in the order of the records. The items are tuples of strings
            and numbers. If a field is the path of a file, later changes of the file are
            detected.
          spec: the data set's classes, for the manifest.
          read: makes the example of an item. It runs in other processes: a function at
            module level, or a `functools.partial` of one.
          options: everything else that determines the content (JSON), for the manifest.

        Raises:
          UserError: there is nothing to write; images are broken; a split exists with
            other content, or its source files have changed; the folder has a data set
            with other classes; or the disk is full.
        """
        counts = {
            split: self._check(split, len(items)) for split, items in splits.items()
        }
        # Imported late, so that neither mistakes nor workers wait for TensorFlow.
        from data_prep.writing import shards

        with shards.disk_errors(self.output_dir), contextlib.ExitStack() as locks:
            known = _manifest(self.output_dir, spec)["splits"]
            pending: list[_Pending] = []
            for split, items in splits.items():
                plan = _digest(items, options, counts[split])
                parts = shards.Split(self.output_dir, split, counts[split])
                if not self._is_done(parts, plan, known.get(split), items):
                    pending.append(_Pending(parts, plan, items))
            for one in pending:
                locks.enter_context(one.parts.begin(one.plan))
            fresh = [one for one in pending if not one.parts.are_whole()]
            for one in fresh:
                self._write(one.parts, one.items, read)
            for one in fresh:
                self._refuse_broken(one.parts, len(one.items))
            for one in pending:
                self._publish(one, one in fresh, spec, options)

    def _publish(
        self,
        pending: "_Pending",
        is_fresh: bool,
        spec: DatasetSpec,
        options: Optional[dict[str, Any]],
    ) -> None:
        """Moves the complete shards of a split to the folder and records them."""
        parts, plan, items = pending
        if is_fresh:
            self._note(spec, parts.name, None)
            parts.finish()
        entry = {**parts.publish(), "options": options or {}, "plan": plan}
        self._note(spec, parts.name, entry)
        parts.clean_up(plan)
        if not is_fresh:
            self._refuse_changed(parts, items, entry)
        print(f"{parts.name}: {_summary(entry, ' written')}")

    def _check(self, split: str, num_items: int) -> int:
        """The number of shards, after checking that the split can be written."""
        if not num_items:
            raise UserError(
                f"There are no images to write for the split '{split}'. Check the "
                "folder of the images and the list of ids."
            )
        if not _SPLIT_NAME.fullmatch(split):
            raise UserError(
                f"'{split}' cannot be the name of a split. Use letters, digits, dots, "
                "hyphens and underscores."
            )
        if len(split.encode()) > _LONGEST_NAME:
            raise UserError(
                f"'{split[:20]}...' cannot be the name of a split. Use at most "
                f"{_LONGEST_NAME} bytes."
            )
        if self.num_shards is None:
            return min(-(-num_items // _EXAMPLES_PER_SHARD), MAX_SHARDS)
        if not 1 <= self.num_shards <= min(num_items, MAX_SHARDS):
            raise UserError(
                f"--num_shards must be between 1 and {min(num_items, MAX_SHARDS)}: "
                f"the split '{split}' has {num_items} images."
            )
        return self.num_shards

    def _is_done(
        self,
        parts: "shards.Split",
        plan: str,
        known: Optional[dict[str, Any]],
        items: Sequence[Item],
    ) -> bool:
        """Whether an earlier run already wrote this split.

        Raises:
          UserError: it used other items or files, and overwrite is not set.
        """
        if self.overwrite or parts.can_continue(plan) and not known:
            return False
        if known and known.get("plan") == plan:
            self._refuse_changed(parts, items, known)
            parts.clean_up(plan)
            print(
                f"{parts.name}: already in {self.output_dir}, {_summary(known)} "
                "(--overwrite writes it again)"
            )
            return True
        if known or parts.old():
            raise UserError(
                f"The split '{parts.name}' is already in {self.output_dir}, made from "
                "other images or options. Add --overwrite to replace it, or choose "
                "another --output_dir."
            )
        return False

    def _refuse_changed(
        self, parts: "shards.Split", items: Sequence[Item], known: dict[str, Any]
    ) -> None:
        """Refuses to keep records whose source files have changed."""
        sources = known.get("sources")
        if not sources:
            print(
                f"{parts.name}: an earlier version wrote this split without recording "
                "its files, so later changes cannot be detected. If you have edited "
                "any, add --overwrite."
            )
            return
        if not parts.have_changed(items, sources, self.workers):
            return
        paths = [path for item in items for path in fingerprints.paths(item)]
        newest = max(paths, key=os.path.getmtime, default="")
        which = f"the newest is {newest}" if newest else "none of them is left"
        raise UserError(
            f"Files of the split '{parts.name}' have changed since it was written to "
            f"{self.output_dir}; {which}. Add --overwrite to write the "
            "split again from them, or choose another --output_dir to keep both."
        )

    def _write(
        self,
        parts: "shards.Split",
        items: Sequence[Item],
        read: Callable[[Item], Example],
    ) -> None:
        """Writes the missing shards, and reports broken images."""
        report = _ProblemPrinter()
        missing, num_kept = [], 0
        for shard in parts.divide(items):
            note = shard.kept(read)
            if note is None:
                missing.append(shard)
                continue
            num_kept += len(shard.items)
            for problem in note["problems"]:
                report(problem["reason"])
        if self.runner:
            from data_prep.writing import beam

            beam.run(
                self.runner,
                self.runner_options,
                [shard.save_job(read) for shard in missing],
            )
            for shard in missing:
                for problem in shard.note()["problems"]:
                    report(problem["reason"])
            return
        results = processes.in_order(
            functools.partial(processes.attempt, read=read),
            [item for shard in missing for item in shard.items],
            self.workers,
        )
        with contextlib.closing(results), tqdm(
            desc=parts.name,
            unit=" images",
            total=len(items),
            initial=num_kept,
            disable=None,
        ) as progress:
            results = _watch(results, progress, report)
            for shard in missing:
                shard.write(itertools.islice(results, len(shard.items)))

    def _refuse_broken(self, parts: "shards.Split", num_items: int) -> None:
        """Refuses broken images, unless they are to be skipped."""
        written, broken, first = 0, 0, []
        for note in parts.notes():
            written += note["examples"]
            broken += len(note["problems"])
            first += note["problems"][: _PROBLEMS_IN_ERROR - len(first)]
        if written + broken != num_items:
            raise RuntimeError(f"{written} + {broken} records of {num_items} images")
        if not broken or (self.skip_broken and written):
            return
        reasons = " ".join(problem["reason"] for problem in first)
        if broken > len(first):
            reasons += f" {parts.list_problems()} lists all."
        advice = "Repair them and run the same command again"
        if written and not self.skip_broken:
            advice += f", or add --skip_broken to write the other {written}"
        raise UserError(
            f"{broken} of {num_items} images of the split '{parts.name}' cannot be "
            f"written, so {self.output_dir} has nothing of it yet. {reasons} {advice}."
        )

    def _note(
        self, spec: DatasetSpec, split: str, entry: Optional[dict[str, Any]]
    ) -> None:
        """Adds a split to the manifest, or removes it."""
        # Read again, because another split may have been written at the same time.
        manifest = _manifest(self.output_dir, spec)
        known = manifest["splits"].pop(split, None)
        if entry:
            manifest["splits"][split] = entry
        if entry or known:
            text = json.dumps(manifest, indent=2) + "\n"
            atomic.write_text(manifests.path(self.output_dir), text)


class _Pending(NamedTuple):
    """A split to write: its shards, the digest of its content, its items."""

    parts: "shards.Split"
    plan: str
    items: Sequence[Any]


class _ProblemPrinter:
    """Prints problems above the progress bar, up to a limit."""

    def __init__(self):
        self._count = 0

    def __call__(self, problem: str) -> None:
        self._count += 1
        if self._count <= _SHOWN_PROBLEMS:
            tqdm.write(f"broken: {problem}", file=sys.stderr)
        elif self._count == _SHOWN_PROBLEMS + 1:
            tqdm.write("broken: more, see the last message.", file=sys.stderr)


def _watch(
    results: Iterable[processes.Result], progress: tqdm, report: Callable[[str], None]
) -> Iterator[processes.Result]:
    for result in results:
        if result.problem:
            report(result.problem)
        progress.update()
        yield result


def _summary(entry: dict[str, Any], written: str = "") -> str:
    """One line that accounts for every item."""
    return (
        f"{_number(entry['examples'], 'image')}{written} ({entry['with_masks']} with "
        f"masks), {len(entry.get('skipped', ()))} skipped, "
        f"{_number(entry['shards'], 'shard')}"
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


def _manifest(output_dir: str, spec: DatasetSpec) -> dict[str, Any]:
    """The folder's manifest, or a new one.

    Raises:
      UserError: the folder's manifest has other classes.
    """
    classes = {"class_names": list(spec.class_names), "ignore_label": spec.ignore_label}
    manifest = manifests.read(output_dir)
    if manifest is None:
        return {"name": spec.name, **classes, "splits": {}}
    if any(manifest[key] != value for key, value in classes.items()):
        raise UserError(
            f"{output_dir} contains the data set '{manifest['name']}' with "
            f"{len(manifest['class_names'])} classes and ignore label "
            f"{manifest['ignore_label']}; these records have {spec.num_classes} "
            f"classes and ignore label {spec.ignore_label}, or other class names. Give "
            "all splits the same classes, or choose another --output_dir."
        )
    return manifest


def _digest(
    items: Sequence[Item], options: Optional[dict[str, Any]], num_shards: int
) -> str:
    """Digest of everything that determines what is written."""
    digest = hashlib.sha256()
    for item in items:
        digest.update(json.dumps(str(item)).encode())
    rest = {"options": options, "shards": num_shards}
    digest.update(json.dumps(rest, sort_keys=True).encode())
    return digest.hexdigest()
