"""The record of the shards that a run reads: their names, sizes and checksums.

If shards changed during a run, its later steps and evaluations would use other images
than the earlier ones.
"""

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import tensorflow as tf

from wss.data import tfrecords
from wss.data.datasets import manifest as manifests
from wss.files import outputs, stored_files

DATA_FILE = "data.json"  # In the folder of a run.

# Split -> name of a shard -> "bytes" and, if dataset.json has it, "sha256".
Record = dict[str, dict[str, dict[str, Any]]]


def of(data_dir: str, splits: Iterable[str]) -> Record:
    """The record of the shards that splits have now.

    Args:
      data_dir: folder of the shards.
      splits: names, or several joined by "+"; splits without shards are left out.

    Raises:
      UserError: the folder's `dataset.json` is damaged.
    """
    manifest = manifests.read(data_dir) or {"splits": {}}
    record: Record = {name: {} for split in splits for name in sorted(split.split("+"))}
    for match in tfrecords.shard_names(data_dir):
        if match["split"] not in record:
            continue
        size = tf.io.gfile.stat(os.path.join(data_dir, match.string)).length
        listed = manifest["splits"].get(match["split"], {}).get("files", {})
        entry = listed.get(match.string, {})
        # With another size, the file was replaced: the checksum is of the old one.
        checksum = entry.get("sha256") if entry.get("bytes") == size else None
        record[match["split"]][match.string] = {
            "bytes": size,
            **({"sha256": checksum} if checksum else {}),
        }
    return {
        name: dict(sorted(shards.items())) for name, shards in record.items() if shards
    }


def read(model_dir: str) -> Record:
    """The record in the folder of a run; empty if there is none.

    Raises:
      UserError: it is damaged.
    """
    path = os.path.join(model_dir, DATA_FILE)
    if not tf.io.gfile.exists(path):
        return {}
    return stored_files.read_json(
        path,
        lambda record: {
            split: {name: dict(entry) for name, entry in shards.items()}
            for split, shards in record.items()
        },
        "It records the images that the run started with. Put back a copy, or move it "
        "away: then nothing checks that the images are still the same.",
    )


def write(model_dir: str, record: Mapping[str, Any]) -> None:
    """Writes the record into the folder of a run."""
    path = os.path.join(model_dir, DATA_FILE)
    outputs.write_noted(path, json.dumps(record, indent=2) + "\n")


def differences(old: Record, new: Record) -> list[str]:
    """A phrase for each split of both records whose shards differ."""
    phrases = []
    for split in sorted({*old} & {*new}):
        there, here = old[split], new[split]
        if {*there} != {*here}:
            odd = min({*there} ^ {*here})
            where = "there" if odd in there else "here"
            phrases.append(f"{split} has {odd} only {where}")
            continue
        for name in there:
            difference = _difference(there[name], here[name])
            if difference:
                phrases.append(f"{name} {difference}")
                break  # One file of a split is enough.
    return phrases


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    if there.get("bytes") != here["bytes"]:
        return f"had {there.get('bytes')} bytes there and has {here['bytes']} here"
    checksums = [one.get("sha256") for one in (there, here)]
    if all(checksums) and checksums[0] != checksums[1]:
        return "has the same size, but another checksum"
    return ""
