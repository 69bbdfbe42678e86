"""The checkpoint that a new training takes its first weights from."""

import os

from wss.errors import UserError
from wss.experiment import Experiment
from wss.methods.base import Method
from wss.models import pretrained, tf1_checkpoint
from wss.training import checkpoints, run_folder


def check(experiment: Experiment) -> None:
    """Reads INIT_CHECKPOINT, if there is one, before the network is built.

    A training that goes on does not read it again, and it may be gone by then.

    Args:
      experiment: of the run.

    Raises:
      UserError: it is none or damaged; or its last layers, which are wanted, tell other
        classes.
    """
    given = experiment.init_checkpoint
    if not given or checkpoints.exist(experiment.model_dir):
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
    difference = run_folder.class_difference(os.path.dirname(path), experiment.spec)
    if difference:
        raise UserError(
            f"INIT_CHECKPOINT: the last layers of {path} tell other classes than the "
            f"data have: {difference}. Leave out Experiment.initialize_last_layer, or "
            "choose another one."
        )


def load(experiment: Experiment, method: Method) -> None:
    """Gives a method the weights of INIT_CHECKPOINT, if there is one.

    Raises:
      UserError: none of them fits.
    """
    given = experiment.init_checkpoint
    if not given:
        return
    last_layers = ("logits/", f"{method.model.backbone.scope}/logits/")
    exclude = () if experiment.initialize_last_layer else last_layers
    if pretrained.is_published(given):
        pretrained.restore(given, experiment.model_variant, method, exclude)
    else:
        tf1_checkpoint.restore(given, method, exclude)
