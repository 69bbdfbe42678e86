"""Networks and methods as checkpoints have them, and their evaluation."""

import functools
from typing import Tuple

from wss.errors import UserError
from wss.evaluation.evaluator import build_evaluator
from wss.experiment import Experiment, build_method, build_network
from wss.methods.base import Method
from wss.models import tf1_checkpoint
from wss.models.deeplab import DeepLabV3Plus
from wss.training import checkpoints, diagnostics, run_folder


def restored_network(
    experiment: Experiment, checkpoint: str = "latest"
) -> Tuple[DeepLabV3Plus, int]:
    """The network as a checkpoint has it, and the training step.

    Args:
      experiment: of the run.
      checkpoint: its path, "latest" or "best".

    Raises:
      UserError: there is none, it is damaged, or of another network or classes.
    """
    _check(experiment, checkpoint)
    network = build_network(experiment)
    restore = functools.partial(restore_network, network)
    return network, checkpoints.use(experiment.model_dir, checkpoint, restore)


def restored_method(
    experiment: Experiment, checkpoint: str = "latest"
) -> Tuple[Method, int]:
    """The method as a checkpoint has it, and the training step.

    Its network is the one to evaluate: the teacher's, where there is one. Arguments and
    errors: see `restored_network`.
    """
    _check(experiment, checkpoint)
    method = build_method(experiment)
    restore = functools.partial(restore_method, method)
    return method, checkpoints.use(experiment.model_dir, checkpoint, restore)


class CheckpointEvaluator:
    """Evaluates checkpoints of a run; its networks are built once for all of them."""

    def __init__(self, experiment: Experiment):
        self._experiment = experiment
        self._networks = {"model": build_network(experiment)}
        if experiment.method.has_teacher:
            self._networks = {
                "teacher": self._networks["model"],
                "student": build_network(experiment),
            }
        self._evaluator = build_evaluator(experiment, self._networks)

    def evaluate(self, checkpoint: str = "latest") -> int:
        """Evaluates a checkpoint and returns its training step.

        Args:
          checkpoint: its path, "latest" or "best".

        Raises:
          UserError: there is none, it is damaged, or of another network; or the split's
            images are not those of earlier evaluations.
        """
        folder = self._experiment.model_dir
        run_folder.check_evaluation(self._experiment)
        step, path = checkpoints.use(folder, checkpoint, self._restore)
        with diagnostics.explained_scores(folder), diagnostics.explained_memory(
            self._experiment, evaluates=True
        ):
            self._evaluator.evaluate(step, checkpoint=path)
            run_folder.remember_evaluation(self._experiment)
        return step

    def _restore(self, path: str) -> Tuple[int, str]:
        step = 0
        for name, network in self._networks.items():
            step = restore_network(network, path, average=name == "teacher")
        return step, path


def evaluate_checkpoint(experiment: Experiment, checkpoint: str = "latest") -> None:
    """Evaluates one checkpoint; errors: see `restored_network`."""
    _check(experiment, checkpoint)
    CheckpointEvaluator(experiment).evaluate(checkpoint)


def _check(experiment: Experiment, checkpoint: str) -> None:
    """Finds a checkpoint and compares its classes, before anything big is built."""
    path = checkpoints.find(experiment.model_dir, checkpoint)
    run_folder.check_checkpoint(path, experiment.model_dir, experiment.spec)


def restore_network(model: DeepLabV3Plus, checkpoint: str, average: bool = True) -> int:
    """Gives the model the weights of a checkpoint; returns its training step.

    Args:
      model: the network.
      checkpoint: one of ours or of TF1, e.g. of the original code, or its folder.
      average: take the moving average of the network, where the checkpoint has one.

    Raises:
      UserError: there is no such checkpoint, it is damaged, or of another network.
    """
    reason = checkpoints.problem(tf1_checkpoint.find(checkpoint))
    if reason is not None:
        raise UserError(
            f"The checkpoint {checkpoint} cannot be read ({reason}). Choose another: "
            "--checkpoint=latest, best or a path."
        )
    report = tf1_checkpoint.restore(checkpoint, model, average=average)
    classifier = f"{model.backbone.scope}/logits/"  # No part of a segmentation.
    absent = [
        name
        for name in (*report.skipped, *report.missing)
        if not name.startswith(classifier)
    ]
    if absent:
        raise UserError(
            f"{checkpoint} is no checkpoint of this network: {len(absent)} variables "
            f"are not in it or of another shape, such as {absent[0]}. Evaluate with "
            "the configuration that it was trained with."
        )
    return tf1_checkpoint.step_of(checkpoint)


def restore_method(method: Method, checkpoint: str) -> int:
    """As `restore_network`, for a network and what its method learned beside it.

    Raises:
      UserError: see `restore_network`; or the checkpoint is of another method.
    """
    step = restore_network(method.model, checkpoint)
    network = tf1_checkpoint.named_variables(method.model)
    beside = set(tf1_checkpoint.named_variables(method)).difference(network)
    if beside:
        report = tf1_checkpoint.restore(checkpoint, method)
        absent = beside.intersection((*report.skipped, *report.missing))
        if absent:
            raise UserError(
                f"{checkpoint} is no checkpoint of {type(method).__name__}: "
                f"{len(absent)} variables are not in it or of another shape, such as "
                f"{min(absent)}. Use the configuration that it was trained with."
            )
        # Where a teacher is the result, the network is its student's by now.
        restore_network(method.model, checkpoint)
    return step
