"""Which shards a run reads: their names, sizes and checksums.

A split whose shards change on the way would have the last steps learn, and the last
evaluations count, other images than the first.
"""

import json
import os
from typing import Any, Dict, Iterable, List, Mapping

import tensorflow as tf

from wss.data import tfrecords
from wss.data.datasets import manifest as manifests
from wss.files import outputs, stored_files

DATA_FILE = "data.json"  # In the folder of a run.

# Split -> name of a shard -> "bytes" and, where dataset.json has it, "sha256".
Record = Dict[str, Dict[str, Dict[str, Any]]]


def of(data_dir: str, splits: Iterable[str]) -> Record:
    """Looks up the shards of splits.

    Args:
      data_dir: folder of the shards.
      splits: names, also several joined by "+". Those without shards are left out.

    Raises:
      UserError: the folder's `dataset.json` is damaged.
    """
    manifest = manifests.read(data_dir) or {"splits": {}}
    record: Record = {name: {} for split in splits for name in sorted(split.split("+"))}
    for match in tfrecords.shard_names(data_dir):
        if match["split"] not in record:
            continue
        size = tf.io.gfile.stat(os.path.join(data_dir, match.string)).length
        noted = manifest["splits"].get(match["split"], {}).get("files", {})
        known = noted.get(match.string, {})
        # A checksum of another file, which took this one's place, says nothing.
        checksum = known.get("sha256") if known.get("bytes") == size else None
        record[match["split"]][match.string] = {
            "bytes": size,
            **({"sha256": checksum} if checksum else {}),
        }
    return {
        name: dict(sorted(found.items())) for name, found in record.items() if found
    }


def read(model_dir: str) -> Record:
    """The record in the folder of a run; empty where there is none.

    Raises:
      UserError: it is damaged.
    """
    path = os.path.join(model_dir, DATA_FILE)
    if not tf.io.gfile.exists(path):
        return {}
    return stored_files.read_json(
        path,
        lambda record: {
            split: {name: dict(entry) for name, entry in found.items()}
            for split, found in record.items()
        },
        "It says which images the training began with. Put back a copy, or move it "
        "away: whether the images are still the same is then not known.",
    )


def write(model_dir: str, record: Mapping[str, Any]) -> None:
    """Writes the record into the folder of a run."""
    path = os.path.join(model_dir, DATA_FILE)
    outputs.write_noted(path, json.dumps(record, indent=2) + "\n")


def differences(old: Record, new: Record) -> List[str]:
    """A phrase for each split of both records whose shards are not the same."""
    found = []
    for split in sorted({*old} & {*new}):
        there, here = old[split], new[split]
        if {*there} != {*here}:
            odd = min({*there} ^ {*here})
            where = "there" if odd in there else "here"
            found.append(f"{split} has {odd} only {where}")
            continue
        for name in there:
            difference = _difference(there[name], here[name])
            if difference:
                found.append(f"{name} {difference}")
                break  # One file of a split is enough to know that it changed.
    return found


def _difference(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    if there.get("bytes") != here["bytes"]:
        return f"had {there.get('bytes')} bytes there and has {here['bytes']} here"
    checksums = [one.get("sha256") for one in (there, here)]
    if all(checksums) and checksums[0] != checksums[1]:
        return "has the same size, but another checksum"
    return ""
