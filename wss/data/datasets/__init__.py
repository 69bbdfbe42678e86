"""Data sets: one file each, found by name.

A module of this package that defines `SPEC`, a `DatasetSpec`, is a data set; a new one
needs only this file. `folder` is for your own images, described by the `dataset.json`
that `python -m data_prep.folder` writes next to the shards.
"""

import importlib
import pkgutil
from typing import Any, Optional

from wss.data.datasets import manifest as manifests
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError

FOLDER = "folder"
_NOT_DATASETS = ("spec", "manifest")


def names() -> list[str]:
    """Names of all data sets.

    >>> "voc" in names()
    True
    """
    return sorted([FOLDER, *named()])


def named() -> list[str]:
    """Names of the data sets whose classes are known without a `dataset.json`.

    >>> "voc" in named(), "folder" in named()
    (True, False)
    """
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return [name for name in modules if name not in _NOT_DATASETS]


def get(name: str, data_dir: Optional[str] = None) -> DatasetSpec:
    """Looks up a data set, and checks that the shards fit it.

    Args:
      name: one of `names()`. "folder" is described by `<data_dir>/dataset.json`.
      data_dir: folder with the shards. If it has a `dataset.json` (shards of other
        tools do not), the classes, their order and the ignore label must agree with it.

    Raises:
      UserError: there is no such data set, a folder has no description, or the shards
        were written for other classes.

    >>> print(get("voc").class_names[:3])
    ('background', 'aeroplane', 'bicycle')
    """
    known = names()
    if name not in known:
        raise UserError(
            f"There is no data set '{name}'. Known: {', '.join(known)}. Your own "
            "images are 'folder'; a new data set is one file in wss/data/datasets/."
        )
    manifest = manifests.read(data_dir) if data_dir else None
    if name == FOLDER:
        return _from_manifest(manifest, data_dir)
    spec = importlib.import_module(f"{__name__}.{name}").SPEC
    if manifest:
        _check(spec, manifest, data_dir)
    return spec


def _from_manifest(
    manifest: Optional[dict[str, Any]], data_dir: Optional[str]
) -> DatasetSpec:
    if manifest is None:
        raise UserError(
            f"There is no {manifests.FILE_NAME} in '{data_dir or ''}', so the classes "
            "of this data set are unknown. Create the data set with: python -m "
            f"data_prep.folder --images=... --output_dir={data_dir or '...'}"
        )
    return DatasetSpec(
        name=manifest["name"],
        class_names=tuple(manifest["class_names"]),
        ignore_label=manifest["ignore_label"],
        split_sizes={
            split: entry["examples"] for split, entry in manifest["splits"].items()
        },
        image_bits=manifests.image_bits(manifest),
    )


def _check(spec: DatasetSpec, manifest: dict[str, Any], data_dir: str) -> None:
    for what, ours, theirs in (
        ("classes", spec.num_classes, len(manifest["class_names"])),
        ("ignore label", spec.ignore_label, manifest["ignore_label"]),
    ):
        if ours != theirs:
            raise UserError(
                f"The shards in {data_dir} were written for another data set "
                f"('{manifest['name']}', {what}: {theirs}) than '{spec.name}' "
                f"({what}: {ours}). Choose the data set 'folder', or another data_dir."
            )
    written = tuple(manifest["class_names"])
    if written != tuple(spec.class_names):
        raise UserError(
            f"The shards in {data_dir} were written for other classes, or in another "
            f"order, than those of '{spec.name}': {', '.join(written)} instead of "
            f"{', '.join(spec.class_names)}. Choose the data set 'folder', or another "
            "data_dir."
        )
