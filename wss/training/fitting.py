"""Settings that fit the machine and the photos: of macros whose value is 'auto'.

`gin_configs/folder.gin` leaves them open. They are chosen when a run begins, stored in
its config.gin, and kept when it resumes, on whatever machine.
"""

import contextlib
import ctypes
import dataclasses
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Optional

import tensorflow as tf

from wss import config, config_changes, settings
from wss.data import crops, image_sizes, tfrecords
from wss.errors import UserError
from wss.files import stored_files
from wss.models import networks
from wss.run_folder import checkpoints
from wss.settings import Count, Size

# How often a run shows each photo with a mask, and each photo of the data set.
_LABELED_EPOCHS, _EPOCHS = 100, 20
_FEWEST_STEPS, _STEPS_UNIT = 1000, 500
_EVALUATIONS = 10
# The paper's atrous rates are 6, 12 and 18; they need crops of more than 300 pixels.
_PAPERS_UNIT, _STRIDE = 6, 16
_LARGE_GPU = 20e9  # Bytes.


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a kind of machine can train.

    Attributes:
      name: for messages.
      model_variant: the backbone.
      largest_crop: of the training crops, in pixels.
      batch_size: labeled images in a step of each GPU.
      most_steps: of a run.
    """

    name: str
    model_variant: str
    largest_crop: int
    batch_size: int
    most_steps: int


MACHINES = {
    "cpu": Machine("a CPU", "efficientnet_lite0", 161, 4, 4000),
    "small_gpu": Machine("a GPU", "efficientnet_lite0", 321, 8, 20000),
    "large_gpu": Machine("a large GPU", "efficientnet_lite2", 513, 8, 20000),
}


def chooser(
    model_dirs: Sequence[str], has_tpu: bool = False
) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """For `config.load`: chooses the values of macros that are 'auto'.

    Args:
      model_dirs: folders of runs; the settings of the first that has begun are kept.
      has_tpu: whether the run uses a TPU.
    """

    def choose(macros: Mapping[str, Any]) -> dict[str, Any]:
        if "MACHINE" not in macros:
            return {}
        chosen = fitting(macros, "large_gpu" if has_tpu else find_machine())
        kept = _recorded(model_dirs)
        return {
            name: kept.get(name, chosen[name]) if value == config.AUTO else value
            for name, value in macros.items()
            if name in chosen
        }

    return choose


def fitting(macros: Mapping[str, Any], found: str) -> dict[str, Any]:
    """The settings that fit the machine and the photos, by macro.

    Args:
      macros: the values of all macros. Others depend on those that are not 'auto'.
      found: the kind of the machine, if MACHINE does not name one.
    """
    kind = _given(macros, "MACHINE", Literal[tuple(MACHINES)]) or found
    machine = MACHINES[kind]
    labeled = _sizes(macros["DATA_DIR"], macros["LABELED_SPLIT"])
    evaluated = _sizes(macros["DATA_DIR"], macros["EVAL_SPLIT"])
    variant = _given(macros, "MODEL_VARIANT", str) or machine.model_variant
    grid = networks.grid(variant, _STRIDE)
    crop = _given(macros, "CROP_SIZE", Size)
    if crop is None:
        fits = crops.training_crop(labeled) if labeled else machine.largest_crop
        crop = _on_grid(min(fits, machine.largest_crop), grid, math.floor)
    whole = crops.evaluation_crop(evaluated) if evaluated else machine.largest_crop
    gpus = max(1, len(tf.config.list_physical_devices("GPU")))
    batch = math.ceil(machine.batch_size / gpus) * gpus
    batch = _given(macros, "BATCH_SIZE", Count) or batch
    steps = _given(macros, "TRAIN_STEPS", Count)
    steps = steps or min(_train_steps(macros, batch), machine.most_steps)
    interval = max(1, steps // _EVALUATIONS)
    return {
        "MACHINE": kind,
        "MODEL_VARIANT": variant,
        "CROP_SIZE": crop,
        "EVAL_CROP_SIZE": _on_grid(whole, grid, math.ceil),
        "ATROUS_RATES": _atrous_rates(crop),
        "BATCH_SIZE": batch,
        "TRAIN_STEPS": steps,
        "EVAL_INTERVAL": interval,
        "CHECKPOINT_INTERVAL": interval,
    }


def _given(macros: Mapping[str, Any], name: str, kind: Any) -> Any:
    """A value that is set and sound; None for others, which are reported later."""
    value = macros.get(name, config.AUTO)
    return None if value == config.AUTO or settings.problem(kind, value) else value


def find_machine() -> str:
    """The kind of this machine: a key of `MACHINES`."""
    if not tf.config.list_physical_devices("GPU"):
        return "cpu"
    return "large_gpu" if (_gpu_memory() or 0) >= _LARGE_GPU else "small_gpu"


def describe(kind: str) -> str:
    """A sentence about the chosen settings, for the table of a run."""
    return (
        f"network, crops, batch and steps fit {MACHINES[kind].name} and the photos, "
        "where they are not set by --gin_bindings"
    )


def _train_steps(macros: Mapping[str, Any], batch: int) -> int:
    """Steps that show the photos often enough; as many for the supervised baseline."""
    data_dir, held_out = macros["DATA_DIR"], macros["EVAL_SPLIT"]
    labeled = _count(data_dir, [macros["LABELED_SPLIT"]])
    photos = _count(data_dir, set(tfrecords.list_splits(data_dir)) - {held_out})
    shown = max(_LABELED_EPOCHS * labeled, _EPOCHS * photos)
    steps = math.ceil(shown / batch / _STEPS_UNIT) * _STEPS_UNIT
    return max(steps, _FEWEST_STEPS)


def _on_grid(side: int, grid: settings.Grid, rounded: Callable[[float], int]) -> int:
    """The next side that a crop may have, below or above."""
    steps = rounded((side - grid.rest) / grid.step)
    return max(steps, 1) * grid.step + grid.rest


def _atrous_rates(crop: Any) -> Optional[tuple[int, int, int]]:
    """Rates whose outer weights see more than padding in features of this crop.

    None for large crops: those of the paper.
    """
    side = min(crop) if isinstance(crop, (tuple, list)) else crop
    unit = max((side - 1) // _STRIDE // 3, 1)
    return None if unit >= _PAPERS_UNIT else (unit, 2 * unit, 3 * unit)


def _sizes(data_dir: str, split: str) -> crops.Sizes:
    """The sizes of a split's photos; none if it is missing, which is reported later."""
    with contextlib.suppress(UserError, OSError):
        return image_sizes.count(data_dir, split)
    return {}


def _count(data_dir: str, splits: Iterable[str]) -> int:
    """Number of photos; 0 if a split is missing, which is reported later."""
    with contextlib.suppress(UserError, OSError):
        return sum(image_sizes.count_images(data_dir, split) for split in splits)
    return 0


def _gpu_memory() -> Optional[int]:
    """Bytes of the first GPU's memory; None if CUDA does not say."""
    memory, device = ctypes.c_size_t(), ctypes.c_int()
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
        failed = (
            cuda.cuInit(0)
            or cuda.cuDeviceGet(ctypes.byref(device), 0)
            or cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        )
    except (OSError, AttributeError):
        return None
    return None if failed else memory.value


def _recorded(model_dirs: Sequence[str]) -> dict[str, Any]:
    """The macros of the first of some runs that has begun."""
    for model_dir in model_dirs:
        path = os.path.join(model_dir, config.CONFIG_FILE)
        if checkpoints.exist(model_dir) and tf.io.gfile.exists(path):
            text = stored_files.read_text(path, config_changes.ADVICE)
            with contextlib.suppress(*config_changes.DAMAGED):  # Reported later.
                return config_changes.macros(text)
    return {}
