"""Which check compares which kind of golden file (`meta["case"]`)."""

import importlib
from typing import List

from tests.parity.common import Check, Golden

CHECKS = {
    "forward_eval": "forward.check",
    "forward_train": "forward.check",
    "cam_unit": "pseudo_labels.check_unit",
    "cam_net": "pseudo_labels.check_network",
    "fusion": "pseudo_labels.check_fusion",
    "losses_schedules": "losses.check",
    "train_step": "step.check",
    "data": "data.check",
    "eval_metric": "metric.check",
}


def check(golden: Golden) -> List[Check]:
    """Compares our code with everything that a golden file holds."""
    case = golden.meta["case"]
    if case not in CHECKS:
        raise SystemExit(f"Unknown case {case!r}. Known: {', '.join(sorted(CHECKS))}")
    module, function = CHECKS[case].split(".")
    # Imported by name, so that a file of losses does not build the networks.
    return getattr(importlib.import_module(f"tests.parity.{module}"), function)(golden)
