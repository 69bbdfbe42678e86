"""Data sets: one file each, found by its name.

A module of this package that defines `SPEC`, a `DatasetSpec`, is a data set. Adding one
is adding that file. `folder` is for your own images, described by the
`dataset.json` that `python -m data_prep.folder` writes beside the shards.
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
    """The known data sets.

    >>> "voc" in names()
    True
    """
    modules = (module.name for module in pkgutil.iter_modules(__path__))
    return sorted([FOLDER, *(name for name in modules if name not in _NOT_DATASETS)])


def get(name: str, data_dir: Optional[str] = None) -> DatasetSpec:
    """Looks up a data set, and checks that the shards fit it.

    Args:
      name: one of `names()`. "folder" is described by `<data_dir>/dataset.json`.
      data_dir: folder with the shards. Where it holds a `dataset.json`, that must agree
        with the data set in classes, their order and ignore label; shards that other
        tools wrote have none.

    Raises:
      UserError: no such data set, no description of a folder, or the shards were
        written for other classes.

    >>> print(get("voc").class_names[:3])
    ('background', 'aeroplane', 'bicycle')
    """
    known = names()
    if name not in known:
        raise UserError(
            f"There is no data set '{name}'. Known: {', '.join(known)}. A new one is "
            "one file in wss/data/datasets/; your own images need none: use 'folder'."
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
            f"No {manifests.FILE_NAME} in '{data_dir or ''}', so the classes of this "
            "data set are not known. Create the data set with: python -m "
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
