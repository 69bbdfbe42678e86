"""What the folder of a run says of its checkpoints: settings, classes, data."""

import os
from typing import List

import tensorflow as tf

from wss import config, config_changes
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.experiment import Experiment
from wss.files import outputs
from wss.run_folder import access, checkpoints, data_record, results

CLASSES_FILE = "classes.json"
RUN_FILE = "run.json"
# What a run replaces.
_WRITTEN = (
    config.CONFIG_FILE,
    config.OPERATIVE_CONFIG_FILE,
    CLASSES_FILE,
    data_record.DATA_FILE,
    RUN_FILE,
    results.METRICS_FILE,
    results.EVALUATIONS_FILE,
)


def write(experiment: Experiment) -> None:
    """Writes what the folder's checkpoints are to be read with.

    Args:
      experiment: the run that writes there.

    Raises:
      UserError: the folder cannot be made.
    """
    folder = experiment.model_dir
    access.make_folder(folder)
    outputs.write_noted(os.path.join(folder, config.CONFIG_FILE), config.text())
    classes = os.path.join(folder, CLASSES_FILE)
    outputs.write_noted(classes, experiment.spec.text())
    # Splits that were only evaluated stay, as long as their evaluations do.
    known = data_record.read(folder) if checkpoints.exist(folder) else {}
    record = data_record.of(experiment.data_dir, experiment.splits())
    data_record.write(folder, {**known, **record})


def check_training(experiment: Experiment) -> None:
    """Finds out what would have the last steps learn other than the first.

    Args:
      experiment: of the run.

    Raises:
      UserError: settings, classes or images are not those of the folder's checkpoints,
        or only the best of them is there; or there are none, and a file of a user's own
        has a name that the training writes.
    """
    folder = experiment.model_dir
    if checkpoints.exist(folder):
        checkpoints.check_latest(folder)
        check_classes(folder, experiment.spec)
        config_changes.check(folder)
        check_data(experiment, experiment.splits())
    else:
        _check_new(folder)


def _check_new(folder: str) -> None:
    """Refuses to begin a run where it would replace what no command wrote."""
    foreign = outputs.OutputFolder(folder).foreign(_WRITTEN)
    if foreign:
        raise UserError(
            f"{os.path.join(folder, foreign[0])} would be replaced by a new run, but "
            "no run of wss wrote it, or it was changed since. Move or rename it, or "
            "train into another --model_dir."
        )


def check_evaluation(experiment: Experiment) -> None:
    """Finds out what would have evaluations of one split count different images.

    Arguments and errors: see `check_training`, without the settings.
    """
    folder = experiment.model_dir
    if checkpoints.exist(folder):
        check_classes(folder, experiment.spec)
        check_data(experiment, [experiment.eval_split])


def remember_evaluation(experiment: Experiment) -> None:
    """Notes the images of a split that was evaluated beside the training."""
    folder = experiment.model_dir
    known = data_record.read(folder)
    record = data_record.of(experiment.data_dir, [experiment.eval_split])
    if {**known, **record} != known:
        data_record.write(folder, {**known, **record})


def check_classes(folder: str, spec: DatasetSpec) -> None:
    """Compares the classes that a folder's checkpoints tell apart with the data's.

    Raises:
      UserError: names, order or ignore label differ, or `classes.json` is damaged.
    """
    difference = class_difference(folder, spec, ignore_label=True)
    if difference:
        raise UserError(
            f"The checkpoints in {folder} were trained on other classes than the data "
            f"have: {difference}. Choose data with the classes of "
            f"{os.path.join(folder, CLASSES_FILE)} (DATA_DIR), or train into another "
            "--model_dir."
        )


def check_checkpoint(path: str, model_dir: str, spec: DatasetSpec) -> None:
    """Finds out whether a checkpoint tells the classes that it is asked for.

    Args:
      path: of a checkpoint or its folder, maybe of another training.
      model_dir: folder of the training that it is to be read for.
      spec: the classes there.

    Raises:
      UserError: the names or the order of the classes differ.
    """
    folder = path if tf.io.gfile.isdir(path) else os.path.dirname(path)
    difference = class_difference(folder, spec)
    if difference:
        raise UserError(
            f"The checkpoint {path} tells other classes than {model_dir}: {difference}."
            f" Choose a checkpoint of {model_dir}, or --model_dir={folder}."
        )


def class_difference(folder: str, spec: DatasetSpec, ignore_label: bool = False) -> str:
    """What differs between the classes of a folder's checkpoints and other classes.

    Args:
      folder: where the checkpoints lie.
      spec: the other classes.
      ignore_label: whether the labels to ignore have to be the same too.

    Returns:
      A phrase with both lists; empty where they are the same, or where the folder has
      no `classes.json` (of other programs).

    Raises:
      UserError: the file is damaged.
    """
    path = os.path.join(folder, CLASSES_FILE)
    if not tf.io.gfile.exists(path):
        return ""
    old = DatasetSpec.read(path)
    differences = []
    if old.class_names != spec.class_names:
        differences.append(f"{_listed(old)} there and {_listed(spec)} here")
    if ignore_label and old.ignore_label != spec.ignore_label:
        differences.append(
            f"ignore label {old.ignore_label} there and {spec.ignore_label} here"
        )
    return "; ".join(differences)


def check_data(experiment: Experiment, splits: List[str]) -> None:
    """Compares the shards with those that the folder's record names.

    Args:
      experiment: of the run.
      splits: the ones to compare.

    Raises:
      UserError: the shards of a split are others, or the record is damaged.
    """
    folder = experiment.model_dir
    record = data_record.of(experiment.data_dir, splits)
    differences = data_record.differences(data_record.read(folder), record)
    if differences:
        raise UserError(
            f"The images in {experiment.data_dir} are not those that {folder} was "
            f"trained or evaluated on: {'; '.join(differences)}. Go back to the old "
            "ones (DATA_DIR) or train into another --model_dir; to evaluate on the new "
            "ones, write them as a split of another name and choose it as EVAL_SPLIT."
        )


def _listed(spec: DatasetSpec) -> str:
    return ", ".join(f"{number} {name}" for number, name in enumerate(spec.class_names))
