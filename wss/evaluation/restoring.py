"""Restores networks and methods from checkpoints, and evaluates them."""

import functools
from collections.abc import Mapping

from wss.errors import UserError
from wss.evaluation.evaluator import build_evaluator
from wss.experiment import Experiment, build_method, build_network
from wss.methods.base import Method
from wss.models import tf1_checkpoint
from wss.models.network import SegmentationNetwork
from wss.ops.memory import explained_memory
from wss.run_folder import access, checkpoints, description


def restored_network(
    experiment: Experiment, checkpoint: str = "latest"
) -> tuple[SegmentationNetwork, int]:
    """Restores the network of a checkpoint; returns it and its training step.

    Args:
      experiment: the run.
      checkpoint: "latest", "best" or a path.

    Raises:
      UserError: the checkpoint is missing or damaged, or belongs to another network or
        other classes.
    """
    _check(experiment, checkpoint)
    network = build_network(experiment)
    restore = functools.partial(restore_network, network)
    return network, checkpoints.use(experiment.model_dir, checkpoint, restore)


def restored_networks(
    experiment: Experiment, checkpoint: str = "latest"
) -> dict[str, SegmentationNetwork]:
    """Restores all networks of a checkpoint that evaluation scores.

    Arguments and errors: see `restored_network`.

    Returns:
      {"model": ...}, or {"teacher": ..., "student": ...}; the first is the result.
    """
    _check(experiment, checkpoint)
    networks = _build_networks(experiment)
    restore = functools.partial(_restore_networks, networks)
    checkpoints.use(experiment.model_dir, checkpoint, restore)
    return networks


def restored_method(
    experiment: Experiment, checkpoint: str = "latest"
) -> tuple[Method, int]:
    """Restores the method of a checkpoint; returns it and its training step.

    Its network is the one to evaluate: the teacher, if there is one. Arguments and
    errors: see `restored_network`.
    """
    _check(experiment, checkpoint)
    method = build_method(experiment)
    restore = functools.partial(restore_method, method)
    return method, checkpoints.use(experiment.model_dir, checkpoint, restore)


class CheckpointEvaluator:
    """Evaluates checkpoints of a run with networks that are built once."""

    def __init__(self, experiment: Experiment):
        self._experiment = experiment
        self._networks = _build_networks(experiment)
        self._evaluator = build_evaluator(experiment, self._networks)

    def evaluate(self, checkpoint: str = "latest") -> int:
        """Evaluates a checkpoint and returns its training step.

        Args:
          checkpoint: "latest", "best" or a path.

        Raises:
          UserError: the checkpoint is missing or damaged, or belongs to another
            network; or the images of the split are not those of earlier evaluations.
        """
        folder = self._experiment.model_dir
        description.check_evaluation(self._experiment)
        step, path = checkpoints.use(folder, checkpoint, self._restore)
        with access.explained_scores(folder), explained_memory(
            lambda: less_memory(self._experiment)
        ):
            self._evaluator.evaluate(step, checkpoint=path)
            description.remember_evaluation(self._experiment)
        return step

    def _restore(self, path: str) -> tuple[int, str]:
        return _restore_networks(self._networks, path), path


def evaluate_checkpoint(experiment: Experiment, checkpoint: str = "latest") -> None:
    """Evaluates one checkpoint; errors: see `restored_network`."""
    _check(experiment, checkpoint)
    CheckpointEvaluator(experiment).evaluate(checkpoint)


def _build_networks(experiment: Experiment) -> dict[str, SegmentationNetwork]:
    names = ["teacher", "student"] if experiment.method.has_teacher else ["model"]
    return {name: build_network(experiment) for name in names}


def _restore_networks(networks: Mapping[str, SegmentationNetwork], path: str) -> int:
    """Restores the networks of a checkpoint; returns its training step."""
    step = 0
    for name, network in networks.items():
        step = restore_network(network, path, average=name == "teacher")
    return step


def less_memory(experiment: Experiment) -> str:
    """Which setting reduces the memory of an evaluation, for `explained_memory`."""
    height, width = experiment.eval_crop_size
    return (
        "An image needs less memory with a smaller EVAL_CROP_SIZE (now "
        f"{height} x {width}); --sliding_window then still predicts it at full "
        "resolution."
    )


def _check(experiment: Experiment, checkpoint: str) -> None:
    """Finds a checkpoint and compares its classes, before a network is built."""
    path = checkpoints.find(experiment.model_dir, checkpoint)
    description.check_checkpoint(path, experiment.model_dir, experiment.spec)


def restore_network(
    model: SegmentationNetwork, checkpoint: str, average: bool = True
) -> int:
    """Restores the weights of a checkpoint; returns its training step.

    Args:
      model: the network.
      checkpoint: a wss or TF1 checkpoint, e.g. of the original code, or its folder.
      average: use the moving average of the weights, if the checkpoint has one.

    Raises:
      UserError: the checkpoint is missing or damaged, or belongs to another network.
    """
    reason = checkpoints.problem(tf1_checkpoint.find(checkpoint))
    if reason is not None:
        raise UserError(
            f"The checkpoint {checkpoint} cannot be read ({reason}). Choose another: "
            "--checkpoint=latest, best or a path."
        )
    report = tf1_checkpoint.restore(checkpoint, model, average=average)
    classifier = f"{model.backbone.scope}/logits/"  # Not used for segmentation.
    absent = [
        name
        for name in (*report.skipped, *report.missing)
        if not name.startswith(classifier)
    ]
    if absent:
        raise UserError(
            f"{checkpoint} is not a checkpoint of this network: {len(absent)} "
            f"variables are missing or have another shape, such as {absent[0]}. "
            "Evaluate with the configuration of its run."
        )
    return tf1_checkpoint.step_of(checkpoint)


def restore_method(method: Method, checkpoint: str) -> int:
    """Like `restore_network`, for a network and the other variables of its method.

    Raises:
      UserError: as for `restore_network`, or the checkpoint belongs to another method.
    """
    step = restore_network(method.model, checkpoint)
    network = tf1_checkpoint.named_variables(method.model)
    extra = set(tf1_checkpoint.named_variables(method)).difference(network)
    if extra:
        report = tf1_checkpoint.restore(checkpoint, method)
        absent = extra.intersection((*report.skipped, *report.missing))
        if absent:
            raise UserError(
                f"{checkpoint} is not a checkpoint of {type(method).__name__}: "
                f"{len(absent)} variables are missing or have another shape, such as "
                f"{min(absent)}. Use the configuration of its run."
            )
        # If the teacher is the result, the network now has the student's weights.
        restore_network(method.model, checkpoint)
    return step
