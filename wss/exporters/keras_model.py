"""Keras' file format: the `Segmenter` with its weights."""

import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from typing import Any, Optional

from wss.errors import UserError, first_line
from wss.evaluation.segmenter import Segmenter
from wss.exporters import checksums, model_card
from wss.exporters.base import Format, Reader, from_segmenter


class KerasModel(Format):
    """One file for `wss.load` and `tf.keras.models.load_model`; both need wss."""

    file_name = "model.keras"

    def write(self, model: Segmenter, path: str, step: int) -> None:
        model.save(path)

    def read(self, path: str, model: Segmenter) -> Reader:
        return from_segmenter(load(path))


def find(path: str) -> Optional[str]:
    """The file to load for a path: itself, or that of a folder of exports.

    Returns:
      None if the path is neither, such as the folder of a run.
    """
    inside = os.path.join(path, KerasModel.file_name)
    return next((one for one in (path, inside) if os.path.isfile(one)), None)


def load(path: str, views: Optional[Mapping[str, Any]] = None) -> Segmenter:
    """Loads an exported network.

    The file may come from anywhere: unlike `tf.keras.models.load_model`, this builds
    nothing but a `Segmenter`, whatever the file names.

    Args:
      path: of the file. If its model card or SHA256SUMS is in the same folder, its
        checksum is compared.
      views: settings of `Predictor` instead of the exported ones.

    Raises:
      UserError: it is damaged, or another kind of file.
    """
    if not path.endswith(".keras"):
        raise UserError(
            f"wss.load reads the folder of a run, or the .keras file of wss.export "
            f"--formats keras; {path} is neither."
        )
    checksums.check(path, (checksums.SUMS_FILE, model_card.CARD_FILE))
    try:
        with zipfile.ZipFile(path) as file:
            broken = file.testzip()
            if broken:
                raise zipfile.BadZipFile(f"{broken} has another checksum")
            written = json.loads(file.read("config.json"))
        return _restored(written, path, views or {})
    except UserError:
        raise
    except (
        zipfile.BadZipFile,
        zlib.error,
        OSError,
        EOFError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:
        raise UserError(
            f"{path} is damaged, or no model.keras of wss.export "
            f"({first_line(error)}). Download or export it again; docs/export.md says "
            "how to read the other formats."
        ) from error


def _restored(written: Any, path: str, views: Mapping[str, Any]) -> Segmenter:
    if written["class_name"] != Segmenter.__name__:
        raise UserError(
            f"{path} holds a Keras model of another program, {written['class_name']}. "
            "wss.load reads what wss.export --formats keras writes."
        )
    config = written["config"]
    config["predictor"].update(views)
    model = Segmenter.from_config(config)
    model.load_weights(path)
    return model
