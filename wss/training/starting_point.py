"""INIT_CHECKPOINT: the checkpoint with the initial weights of a new run."""

import os

from wss.errors import UserError
from wss.experiment import Experiment
from wss.methods.base import Method
from wss.models import networks, pretrained, tf1_checkpoint
from wss.run_folder import checkpoints, description


def check(experiment: Experiment) -> None:
    """Checks INIT_CHECKPOINT, if it is set, before the network is built.

    A resumed run does not need it any more, so it may be gone by then.

    Args:
      experiment: the run.

    Raises:
      UserError: it is missing or damaged, or its last layers are to be used, but belong
        to other classes; or there is none, but batch norm is to stay as it is there.
    """
    given = experiment.init_checkpoint
    if checkpoints.exist(experiment.model_dir):
        return
    if not given:
        _check_frozen(experiment.model_variant)
        return
    if pretrained.is_published(given):
        if experiment.initialize_last_layer:
            raise UserError(
                f"INIT_CHECKPOINT: the last layer of {given} is for other classes than "
                "the data have. Leave out Experiment.initialize_last_layer."
            )
        pretrained.read(given, experiment.model_variant)
        return
    path = tf1_checkpoint.find(given)
    reason = checkpoints.problem(path)
    if reason is not None:
        raise UserError(
            f"INIT_CHECKPOINT: {path} cannot be read ({reason}). Fetch or copy it "
            "again, or choose another one."
        )
    if not experiment.initialize_last_layer:
        return
    difference = description.class_difference(os.path.dirname(path), experiment.spec)
    if difference:
        raise UserError(
            f"INIT_CHECKPOINT: {path} was trained on other classes than those of the "
            f"data: {difference}. Leave out Experiment.initialize_last_layer, or "
            "choose another checkpoint."
        )


def _check_frozen(variant: str) -> None:
    frozen = networks.frozen_batch_norm(variant)
    if frozen != "none":
        raise UserError(
            f"FROZEN_BATCH_NORM = {frozen!r} keeps batch norm as it is in "
            "INIT_CHECKPOINT, but INIT_CHECKPOINT is None: random weights have no "
            "statistics yet. Name a checkpoint, or set FROZEN_BATCH_NORM = 'none'."
        )


def load(experiment: Experiment, method: Method) -> None:
    """Loads the weights of INIT_CHECKPOINT, if it is set; then the method begins.

    Raises:
      UserError: none of the weights fits.
    """
    if experiment.init_checkpoint:
        _load_weights(experiment, method)
    method.on_start()


def _load_weights(experiment: Experiment, method: Method) -> None:
    given = experiment.init_checkpoint
    last_layers = ("logits/", f"{method.model.backbone.scope}/logits/")
    exclude = () if experiment.initialize_last_layer else last_layers
    if pretrained.is_published(given):
        pretrained.restore(given, experiment.model_variant, method, exclude)
    else:
        tf1_checkpoint.restore(given, method, exclude)
