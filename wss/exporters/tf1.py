"""A checkpoint with the names of TensorFlow 1, for the original code."""

import os

import tensorflow as tf

from wss.errors import UserError
from wss.evaluation.segmenter import Segmenter
from wss.exporters.base import Format, Reader, from_segmenter
from wss.files import atomic
from wss.models import tf1_checkpoint


class TF1Checkpoint(Format):
    """A folder as a TF1 saver leaves it, which INIT_CHECKPOINT may name too."""

    file_name = "tf1"

    def write(self, model: Segmenter, path: str, step: int) -> None:
        name = f"model.ckpt-{step}"
        tf.io.gfile.makedirs(path)
        tf1_checkpoint.export(os.path.join(path, name), model.network, step)
        lines = [f'{key}: "{name}"' for key in _STATE]
        atomic.write_text(os.path.join(path, "checkpoint"), "\n".join(lines) + "\n")

    def read(self, path: str, model: Segmenter) -> Reader:
        fresh = Segmenter.from_config(model.get_config())
        report = tf1_checkpoint.restore(path, fresh.network)
        if report.missing or report.skipped:
            raise UserError(f"{path} lacks {[*report.missing, *report.skipped]}.")
        return from_segmenter(fresh)


# What tf.train.latest_checkpoint of both versions reads.
_STATE = ("model_checkpoint_path", "all_model_checkpoint_paths")
