"""Which check compares which kind of golden file."""

import importlib

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
    "u2pl_losses": "u2pl.check_losses",
    "u2pl_misc": "u2pl.check_misc",
    "published_heads": "heads.check",
    "published_dinov2": "transformers.check",
    "published_dpt": "transformers.check",
    "published_network": "networks.check",
    "unimatch_losses": "unimatch.check",
    "unimatch_v2": "unimatch_v2.check",
    "adamw": "adamw.check",
}
# U2PL's files do not name their case; no other file has this key.
_CASE_OF_KEY = {"unsup_student_logits": "u2pl_losses", "ohem_logits": "u2pl_misc"}


def name_of(golden: Golden) -> str:
    """The case of a golden file."""
    for key, case in _CASE_OF_KEY.items():
        if key in golden:
            return case
    return golden.meta["case"]


def check(golden: Golden) -> list[Check]:
    """Compares our code with the whole content of a golden file."""
    case = name_of(golden)
    if case not in CHECKS:
        raise SystemExit(f"Unknown case {case!r}. Known: {', '.join(sorted(CHECKS))}")
    module, function = CHECKS[case].split(".")
    # Imported by name, so that a file of losses does not build the networks.
    return getattr(importlib.import_module(f"tests.parity.{module}"), function)(golden)
