"""Folders of finished runs, made without training, and steps without graphs."""

import contextlib
import os

import tensorflow as tf

from wss import config, runs
from wss.experiment import build_method
from wss.models.tf1_checkpoint import named_variables
from wss.run_folder.description import CLASSES_FILE

TINY = [
    "CROP_SIZE = 33",
    "EVAL_CROP_SIZE = 33",
    "DeepLabV3Plus.aspp_channels = 8",
    "DeepLabV3Plus.decoder_channels = 8",
]


@contextlib.contextmanager
def eagerly():
    """Runs steps and predictions operation by operation within this context."""
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(False)


@contextlib.contextmanager
def unoptimized():
    """No passes of TensorFlow's graph optimizer within this context.

    They are a fifth of the time until the first step of two replicas.
    """
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": False})


def make(
    model_dir,
    *bindings,
    data_dir="nowhere",
    step=7,
    gin_file="supervised/shapes.gin",
    sharpness=100.0,
    change=lambda method: None,
):
    """A folder with a checkpoint of a tiny network that tells pixels apart.

    `change` may change the method's variables before they are saved.
    """
    os.makedirs(model_dir, exist_ok=True)
    config.load([gin_file], [*TINY, f"DATA_DIR = '{data_dir}'", *bindings])
    experiment = runs._create(str(model_dir), None)
    method = build_method(experiment)
    model = method.model
    kernels = named_variables(model)
    for scope in ("logits/semantic", f"{model.backbone.scope}/logits"):
        kernel = kernels[f"{scope}/weights"]
        kernel.assign(sharpness * kernel)
    change(method)
    saved = tf.train.Checkpoint(
        model=model, method=method, step=tf.Variable(step, dtype=tf.int64)
    )
    manager = tf.train.CheckpointManager(saved, str(model_dir), max_to_keep=1)
    manager.save(step)
    with open(os.path.join(model_dir, config.CONFIG_FILE), "w") as file:
        file.write(config.text())
    experiment.spec.write(os.path.join(model_dir, CLASSES_FILE))
    return model
