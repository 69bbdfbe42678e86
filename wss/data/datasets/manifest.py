"""`dataset.json`, which data_prep writes next to the shards."""

import os
from typing import Any, Optional

from wss.files import stored_files

FILE_NAME = "dataset.json"


def path(data_dir: str) -> str:
    """The manifest's path."""
    return os.path.join(data_dir, FILE_NAME)


def image_bits(manifest: dict[str, Any]) -> Optional[int]:
    """Bits of the images with more than 8 bits, in all splits; None: there are none.

    `data_prep.folder` chooses them; `wss.image_io.bit_depth.to_8_bits` applies them.
    """
    options = (entry.get("options") or {} for entry in manifest["splits"].values())
    return next((one["image_bits"] for one in options if "image_bits" in one), None)


def read(data_dir: str) -> Optional[dict[str, Any]]:
    """Reads the manifest of a folder of shards.

    Returns:
      `{"name": ..., "class_names": [...], "ignore_label": ..., "splits": {name: {
      "examples": ..., "with_masks": ..., "shards": ..., "files": {shard: {"bytes":
      ..., "sha256": ...}}, "skipped": [{"name": ..., "reason": ...}], "options": ...,
      "sources": {"state": ..., "content": ...}, "plan": ...}}}`, or None if there is
      none (shards of other tools). "sources" are digests of the files that the split
      was made from, see `data_prep.writing.fingerprints`. "skipped" exists only if
      broken images were left out.

    Raises:
      UserError: the file is empty, damaged or not a manifest.
    """
    # Processes that only read images import this module too, without TensorFlow.
    import tensorflow as tf

    file_name = path(data_dir)
    if not tf.io.gfile.exists(file_name):
        return None
    return stored_files.read_json(
        file_name,
        _checked,
        "If data_prep wrote it, put back a copy, or move it away and write the data "
        "set again with --overwrite. If another program did, give data_prep another "
        "--output_dir.",
    )


def _checked(manifest: Any) -> dict[str, Any]:
    """Returns the manifest if it has the entries that others need."""
    names, splits = manifest["class_names"], manifest["splits"]
    is_sound = (
        isinstance(manifest["name"], str)
        and isinstance(names, list)
        and bool(names)
        and all(isinstance(name, str) for name in names)
        and manifest["ignore_label"] in range(256)
        and isinstance(splits, dict)
        and all(
            isinstance(entry["examples"], int)
            and isinstance(entry.get("with_masks", 0), int)
            and all(isinstance(one, dict) for one in entry.get("files", {}).values())
            and (entry.get("options") or {}).get("image_bits", 8) in range(8, 17)
            for entry in splits.values()
        )
    )
    if not is_sound:
        raise ValueError
    return manifest
