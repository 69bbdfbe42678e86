"""What belongs to the checkpoints of a run: settings, classes and data."""

import os

import tensorflow as tf

from wss import config, config_changes
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.experiment import Experiment
from wss.files import outputs
from wss.run_folder import access, checkpoints, data_record, results

CLASSES_FILE = "classes.json"
RUN_FILE = "run.json"
# The files that a run replaces.
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
    """Writes configuration, classes and data record into the folder of a run.

    Args:
      experiment: the run.

    Raises:
      UserError: the folder cannot be created.
    """
    folder = experiment.model_dir
    access.make_folder(folder)
    outputs.write_noted(os.path.join(folder, config.CONFIG_FILE), config.text())
    classes = os.path.join(folder, CLASSES_FILE)
    outputs.write_noted(classes, experiment.spec.text())
    # Splits that were only evaluated stay in the record, like their evaluations.
    known = data_record.read(folder) if checkpoints.exist(folder) else {}
    record = data_record.of(experiment.data_dir, experiment.splits())
    data_record.write(folder, {**known, **record})


def check_training(experiment: Experiment) -> None:
    """Checks that a run can resume from the checkpoints in its folder, or start there.

    Args:
      experiment: the run.

    Raises:
      UserError: settings, classes or images differ from those of the folder's
        checkpoints, only the best checkpoint is left, or a new run would replace a
        file that wss did not write.
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
    """Checks that a new run would replace no file that wss did not write."""
    foreign = outputs.OutputFolder(folder).foreign(_WRITTEN)
    if foreign:
        raise UserError(
            f"A new run would replace {os.path.join(folder, foreign[0])}, which no run "
            "of wss wrote, or which was changed since. Move or rename it, or train "
            "into another --model_dir."
        )


def check_evaluation(experiment: Experiment) -> None:
    """Checks that all evaluations of a split in a folder use the same images.

    Arguments and errors: see `check_training`; settings may differ.
    """
    folder = experiment.model_dir
    if checkpoints.exist(folder):
        check_classes(folder, experiment.spec)
        check_data(experiment, [experiment.eval_split])


def remember_evaluation(experiment: Experiment) -> None:
    """Records the images of an evaluated split that the run does not read."""
    folder = experiment.model_dir
    known = data_record.read(folder)
    record = data_record.of(experiment.data_dir, [experiment.eval_split])
    if {**known, **record} != known:
        data_record.write(folder, {**known, **record})


def check_classes(folder: str, spec: DatasetSpec) -> None:
    """Compares the classes of a folder's checkpoints with those of the data.

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
    """Checks that a checkpoint has the classes of the run that is to use it.

    Args:
      path: path of a checkpoint or its folder; it may belong to another run.
      model_dir: folder of the run that is to use it.
      spec: the classes of that run.

    Raises:
      UserError: the names or the order of the classes differ.
    """
    folder = path if tf.io.gfile.isdir(path) else os.path.dirname(path)
    difference = class_difference(folder, spec)
    if difference:
        raise UserError(
            f"The checkpoint {path} has other classes than {model_dir}: {difference}. "
            f"Choose a checkpoint of {model_dir}, or --model_dir={folder}."
        )


def class_difference(folder: str, spec: DatasetSpec, ignore_label: bool = False) -> str:
    """How the classes of a folder's checkpoints differ from other classes.

    Args:
      folder: folder of the checkpoints.
      spec: the other classes.
      ignore_label: also compare the ignore labels.

    Returns:
      A phrase with both lists; empty if they are equal, or if the folder has no
      `classes.json`, like those of other programs.

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


def check_data(experiment: Experiment, splits: list[str]) -> None:
    """Compares the shards with the record in the folder of a run.

    Args:
      experiment: the run.
      splits: the splits to compare.

    Raises:
      UserError: the shards of a split have changed, or the record is damaged.
    """
    folder = experiment.model_dir
    record = data_record.of(experiment.data_dir, splits)
    differences = data_record.differences(data_record.read(folder), record)
    if differences:
        raise UserError(
            f"The images in {experiment.data_dir} are not those that {folder} was "
            f"trained or evaluated on: {'; '.join(differences)}. Use the old images "
            "(DATA_DIR) or train into another --model_dir; to evaluate on the new "
            "ones, write them as a split of another name and choose it as EVAL_SPLIT."
        )


def _listed(spec: DatasetSpec) -> str:
    return ", ".join(f"{number} {name}" for number, name in enumerate(spec.class_names))
