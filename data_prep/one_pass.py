"""Writes a whole data set from photos and masks: labeled, unlabeled and held out.

`data_prep.folder` without --split. Everything is read and decided first; then all
splits are written, or none; then they are read back.
"""

import argparse
import fractions
import functools
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from data_prep import (
    class_names,
    cli,
    colormaps,
    exports,
    id_lists,
    mask_values,
    masks,
    pairing,
    photos,
    relabel,
    survey,
)
from data_prep.exports.export import Export, Place, class_of
from data_prep.pairing import Item
from data_prep.splits import stratified
from wss.data import crops, datasets
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.files import atomic
from wss.image_io.patterns import Pattern

LABELED, UNLABELED, VAL = "labeled", "unlabeled", "val"
MAX_SIDE = 640
VAL_RATIO = fractions.Fraction(1, 5)
_SHOWN = 10


class _Classes(NamedTuple):
    """The classes, and how the masks' labels become class ids."""

    spec: DatasetSpec
    labels: masks.Labels


def write(flags: argparse.Namespace) -> bool:
    """Writes, verifies and describes the data set of the flags.

    Returns:
      Whether the records read back without problems.

    Raises:
      UserError: the photos or masks are not as they must be; nothing was written.
    """
    export = exports.find(_place(flags), vars(flags)["from"])
    print(f"{export.found}.")
    spec, labels = _choose_classes(flags, export)
    splits = _divide(flags, export, spec, labels)
    if flags.max_side is None:
        print(
            f"Photos larger than {MAX_SIDE} pixels are shrunk to it (--max_side=N; 0 "
            "keeps their size)."
        )
    _write_splits(flags, export, splits, spec, labels)
    return _look_back(flags.output_dir, list(splits))


def _write_splits(
    flags: argparse.Namespace,
    export: Export,
    splits: Mapping[str, Sequence[Item]],
    spec: DatasetSpec,
    labels: masks.Labels,
) -> None:
    """Writes all splits or none, and the list of the photos of `val`."""
    max_side = MAX_SIDE if flags.max_side is None else flags.max_side or None
    everything = [item for items in splits.values() for item in items]
    if export.draw:  # There are no mask files to survey.
        everything = [item._replace(mask=None) for item in everything]
    found = survey.decide(
        everything,
        labels,
        flags.output_dir,
        list(splits),
        flags.image_bits,
        flags.workers,
        flags.skip_broken,
    )
    cli.writer(flags).write_splits(
        splits,
        spec,
        functools.partial(
            photos.read,
            spec=spec,
            labels=labels,
            max_side=max_side,
            image_bits=found.image_bits,
            draw=export.draw,
        ),
        options={
            "images": flags.images,
            "masks": flags.masks,
            **photos.options(labels, max_side),
            **found.options(),
        },
    )
    if VAL in splits and not flags.val_ids:
        path = os.path.join(flags.output_dir, f"{VAL}.txt")
        atomic.write_text(path, "".join(f"{item.name}\n" for item in splits[VAL]))
        print(f"{path} lists the photos of '{VAL}': --val_ids={path} keeps them.")


def _place(flags: argparse.Namespace) -> Place:
    return Place(
        flags.images,
        flags.masks or flags.images,
        pattern(flags, "image"),
        pattern(flags, "mask"),
        flags.ids,
        flags.exclude,
        bool(flags.class_names or flags.num_classes),
    )


def pattern(flags: argparse.Namespace, kind: str) -> Pattern:
    """The flags' pattern of the paths of a kind of files, "image" or "mask"."""
    given = vars(flags)
    return Pattern(given[f"{kind}_pattern"] or "{id}" + given[f"{kind}_suffix"])


# --- The classes.


def _choose_classes(flags: argparse.Namespace, export: Export) -> _Classes:
    """The classes that the user named, the export's own, or the values in masks."""
    names, labels, how = export.class_names, None, export.names_from
    if flags.class_names or flags.num_classes:
        spec = class_names.make_spec(
            flags.output_dir, flags.num_classes, flags.class_names, flags.ignore_label
        )
        how = flags.class_names or "--num_classes"
    else:
        if names is None:
            names, labels, how = _classes_in_masks(flags, export)
        spec = class_names.describe(flags.output_dir, names, flags.ignore_label)
    if export.draw:
        _check_drawn(export, spec)
    if labels is None:
        labels = _labels(flags, export, spec)
    shown = ", ".join(f"{i} {n}" for i, n in enumerate(spec.class_names[:_SHOWN]))
    more = f", ... ({spec.num_classes})" if spec.num_classes > _SHOWN else ""
    print(f"Classes ({how}): {shown}{more}.")
    return _Classes(spec, labels)


def _check_drawn(export: Export, spec: DatasetSpec) -> None:
    """Refuses classes that lack a name of the outlines, or the background."""
    _, *drawn = export.class_names
    for name in drawn:
        class_of(name, spec, export.names_from)
    if spec.class_names[0] in drawn:
        raise UserError(
            f"Pixels without outline become class 0, but class 0 is "
            f"'{spec.class_names[0]}', which has outlines in {export.names_from}. Put "
            "the background first."
        )


def _classes_in_masks(flags: argparse.Namespace, export: Export) -> mask_values.Found:
    if flags.colormap in datasets.names():
        spec = datasets.get(flags.colormap)
        colormap = masks.Labels(colormaps.load(flags.colormap, spec))
        return mask_values.Found(spec.class_names, colormap, flags.colormap)
    if flags.colormap or flags.map:
        flag = "colormap" if flags.colormap else "map"
        raise UserError(
            f"--{flag} needs the names of the classes: write one per line into a file, "
            "class 0 first, and pass it as --class_names."
        )
    if flags.binary:
        binary = masks.Labels(binary=True)
        return mask_values.Found(mask_values.YES_NO, binary, "--binary")
    paths = list(export.masks.values())
    return mask_values.find(paths, flags.ignore_label, flags.workers)


def _labels(
    flags: argparse.Namespace, export: Export, spec: DatasetSpec
) -> masks.Labels:
    """How the labels in mask files become class ids, with known classes."""
    given = [flag for flag in ("colormap", "binary", "map") if getattr(flags, flag)]
    if given and export.draw:
        raise UserError(
            f"--{given[0]} is for the labels in mask files, but {export.names_from} "
            "gives each label its class. Remove the flag."
        )
    own = masks.AS_THEY_ARE if given else export.labels(spec)
    if export.draw or own != masks.AS_THEY_ARE:
        return own
    colormap = colormaps.load(flags.colormap, spec) if flags.colormap else None
    changes = relabel.parse_changes(flags.map, spec)
    labels = masks.Labels(colormap, flags.binary, changes)
    paths = list(export.masks.values())
    if spec.num_classes == 2 and labels.keeps(255):
        if mask_values.are_yes_no(paths, flags.workers):
            print("The masks have only 0 and 255, read as the classes 0 and 1.")
            return masks.Labels(binary=True)
    survey.check_binaries(paths, spec.ignore_label, labels)
    return labels


# --- The splits.


def _divide(
    flags: argparse.Namespace, export: Export, spec: DatasetSpec, labels: masks.Labels
) -> dict[str, list[Item]]:
    """The items of each split; prints what is held out and why."""
    paths = export.photos.known.paths
    items = {
        name: Item(name, paths[name], export.masks.get(name))
        for name in export.photos.names
    }
    masked = [name for name in items if name in export.masks]
    held_out = {split: set(ids) for split, ids in export.held_out.items()}
    if flags.val_ids or flags.val_ratio is not None or not held_out.get(VAL):
        held_out.pop(VAL, None)
        others = set().union(*held_out.values())
        pool = [name for name in masked if name not in others]
        held_out[VAL] = set(_choose_val(flags, export, items, pool, spec, labels))
    else:
        print(f"{len(held_out[VAL] & set(masked))} photos are '{VAL}' in the export.")
    split_of: dict[str, str] = {}
    for split, names in held_out.items():
        for name in names:
            if split_of.setdefault(name, split) != split:
                raise UserError(
                    f"The photo '{name}' is in '{split_of[name]}' and in '{split}' of "
                    f"{flags.masks or flags.images}. Remove it from one of them."
                )
    splits: dict[str, list[Item]] = {LABELED: [], UNLABELED: []}
    for name, item in items.items():
        split = split_of.get(name, LABELED) if item.mask else UNLABELED
        splits.setdefault(split, []).append(item)
    if not (flags.ids or flags.image_suffix or flags.image_pattern):
        unlabeled = [item.name for item in splits[UNLABELED]]
        pairing.check_no_masks(flags.images, unlabeled, paths)
    if not splits[LABELED]:
        raise UserError(
            "No photo with a mask is left to learn from: all are held out. Hold out "
            "fewer with --val_ids, or label more photos."
        )
    return {split: chosen for split, chosen in splits.items() if chosen}


def _choose_val(
    flags: argparse.Namespace,
    export: Export,
    items: Mapping[str, Item],
    pool: Sequence[str],
    spec: DatasetSpec,
    labels: masks.Labels,
) -> list[str]:
    """Chooses the photos to evaluate on, among those with a mask."""
    if flags.val_ids:
        names = id_lists.read_ids(flags.val_ids, export.photos.known)
        id_lists.refuse_missing(
            [name for name in names if name not in pool],
            f"photos of {flags.val_ids} have no mask, or are left out by --ids, "
            "--exclude or another split of the export",
            "Only photos with masks can be held out. Remove these lines.",
        )
        print(f"{len(names)} photos are held out as '{VAL}': those of {flags.val_ids}.")
        return names
    ratio = VAL_RATIO if flags.val_ratio is None else flags.val_ratio
    if not ratio:
        print("No photo is held out (--val_ratio=0): nothing will measure the model.")
        return []
    shown = photos.classes_shown(
        [items[name] for name in pool], spec, labels, export.draw, flags.workers
    )
    # Writing the records reports the broken ones.
    good = [name for name, classes in zip(pool, shown) if classes is not None]
    if len(good if flags.skip_broken else pool) < 2:
        raise UserError(
            "Too few masks: at least one is needed to learn from, and another to "
            "measure the model. Label more photos, or add --val_ratio=0 to hold out "
            "none."
        )
    if len(good) < 2:
        return []
    count = min(math.ceil(ratio * len(good)), len(good) - 1)
    classes = np.array([one for one in shown if one is not None])
    drawn = stratified.hold_out(classes, count, flags.seed)
    print(
        f"{count} of {len(pool)} photos with masks are held out as '{VAL}' to measure "
        f"the model, drawn so that each class keeps its share (--val_ratio={ratio} "
        f"--seed={flags.seed}, or --val_ids=FILE)."
    )
    return [good[i] for i in drawn]


# --- Afterwards.


def _look_back(output_dir: str, names: Sequence[str]) -> bool:
    """Verifies the records, and prints the command that trains on them."""
    # Imported late, so that neither mistakes nor workers wait for TensorFlow.
    from data_prep.validation import reading, report
    from wss.data.datasets import manifest as manifests

    reading.hide_gpus()
    manifest = manifests.read(output_dir)
    spec = reading.find_spec(output_dir, None, manifest)
    found = report.report(output_dir, names, spec, manifest)
    print(report.format_verdict(found))
    if any(split.num_problems for split in found):
        return False
    others = [f"'{name}'" for name in manifest["splits"] if name not in names]
    if others:
        print(
            f"{output_dir} also has {', '.join(others)} of an earlier command, which "
            "this one did not write. If photos have changed since, remove the files of "
            "these splits, or write to another --output_dir."
        )
    sizes = {split.name: split.tally.sizes for split in found}
    print(training_command(output_dir, sizes))
    return True


def training_command(
    output_dir: str, sizes: Mapping[str, Mapping[tuple[int, int], int]]
) -> str:
    """The command that trains on a data set, and the crops that it will choose.

    Args:
      output_dir: folder of the records.
      sizes: {split: {(height, width): number of photos}}.
    """
    evaluated = sizes.get(VAL) or sizes[LABELED]
    bindings = {"DATA_DIR": repr(output_dir)}
    if VAL not in sizes:
        bindings["EVAL_SPLIT"] = repr(LABELED)
    gin_file = "folder.gin" if UNLABELED in sizes else "supervised/folder.gin"
    flags = [_flag(f"{name} = {value}") for name, value in bindings.items()]
    command = " \\\n    ".join(
        [f"python -m wss.train --gin_file=gin_configs/{gin_file}", *flags]
    )
    return (
        f"Train, with crops of up to {crops.training_crop(sizes[LABELED])} pixels, and "
        f"measure on {crops.evaluation_crop(evaluated)}:\n{command}"
    )


def _flag(binding: str) -> str:
    if set(binding) & set('"$`\\!'):
        return shlex.quote(f"--gin_bindings={binding}")
    return f'--gin_bindings="{binding}"'


def ratio(text: str) -> fractions.Fraction:
    """A `type` for argparse: a share from 0 to below 1, such as 1/5 or 0.2."""
    try:
        found = fractions.Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = fractions.Fraction(-1)
    if not 0 <= found < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a share such as 1/5 or 0.2")
    return found
