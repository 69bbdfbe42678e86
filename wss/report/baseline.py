"""A run beside its supervised baseline: what the unlabeled photos brought."""

import os
from typing import Any, Optional

from wss import config
from wss.errors import UserError
from wss.run_folder import data_record, description, results

_FOLDER = "supervised"  # Of the baselines' gin files.


def gin_file(path: str) -> str:
    """The gin file of the supervised baseline of an experiment.

    Args:
      path: of the experiment's gin file.

    Raises:
      UserError: there is none, or the experiment is the baseline.
    """
    if os.path.basename(os.path.dirname(path)) == _FOLDER:
        raise UserError(
            f"{path} is a supervised baseline itself. Leave out --baseline, or name "
            "the gin file of a method."
        )
    found = f"{_FOLDER}/{os.path.basename(path)}"
    if found not in config.experiments():
        raise UserError(
            f"There is no supervised baseline of {path}: gin_configs has no {found}. "
            "Leave out --baseline."
        )
    return found


def folder(path: str, model_dir: Optional[str] = None) -> str:
    """The folder of the baseline's run, beside that of a method.

    >>> print(folder("gin_configs/folder.gin"))
    runs/folder_supervised

    Args:
      path: of the method's gin file.
      model_dir: folder of the method's run, if it is not the default.
    """
    if model_dir:
        return f"{model_dir.rstrip('/')}_{_FOLDER}"
    name = config.experiment_name(f"{_FOLDER}/{os.path.basename(path)}")
    return os.path.join("runs", name)


def comparison(model_dir: str, baseline_dir: str) -> Optional[str]:
    """A sentence about both scores; None if there is no baseline of the same images.

    Args:
      model_dir: folder of a method's finished run.
      baseline_dir: folder of the baseline's run.
    """
    run, baseline = _last(model_dir), _last(baseline_dir)
    if not run or not baseline or model_dir == baseline_dir:
        return None
    same = all(run[key] == baseline[key] for key in ("split", "protocol"))
    records = data_record.read(baseline_dir), data_record.read(model_dir)
    if not same or data_record.differences(*records):
        return None
    with_photos, without = (100 * one["mean_iou"] for one in (run, baseline))
    steps = ""
    if run["step"] != baseline["step"]:
        steps = f", after {run['step']} and {baseline['step']} steps"
    return (
        f"The unlabeled photos brought {with_photos - without:+.1f} points of mean IoU "
        f"on the {run['images']} images of {run['split']}: {with_photos:.1f} in "
        f"{model_dir}, {without:.1f} with the supervised baseline in "
        f"{baseline_dir}{steps}."
    )


def _last(model_dir: str) -> Optional[dict[str, Any]]:
    """The last evaluation of a finished run."""
    path = os.path.join(model_dir, description.RUN_FILE)
    record = results.read_json(path, lambda read: {"finished", "final"} <= set(read))
    return record["final"] if record and record["finished"] else None
