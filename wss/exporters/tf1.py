"""A TensorFlow 1 checkpoint, for the original code."""

import os

import tensorflow as tf

from wss.errors import UserError
from wss.evaluation.segmenter import Segmenter
from wss.exporters.base import Format, Reader, from_segmenter
from wss.files import atomic
from wss.models import tf1_checkpoint


class TF1Checkpoint(Format):
    """A folder as written by a TF1 saver; INIT_CHECKPOINT can name it too."""

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


# The fields that tf.train.latest_checkpoint reads, in TensorFlow 1 and 2.
_STATE = ("model_checkpoint_path", "all_model_checkpoint_paths")
