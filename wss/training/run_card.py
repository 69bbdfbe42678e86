"""The table at the start of a run, and run.json at its end."""

import json
import os
import textwrap
from collections.abc import Iterator
from typing import Any

import gin
import tensorflow as tf

from wss import config
from wss.data import tfrecords
from wss.experiment import Experiment
from wss.files import outputs
from wss.methods.base import Method
from wss.run_folder import data_record, results
from wss.run_folder.description import RUN_FILE
from wss.run_folder.event_files import SAMPLES, Summaries, tagged
from wss.training import distribution, fitting, optimizers, versions

_LABEL = 9  # Columns of a row's name.
_WIDTH = 88
# Compute capability of NVIDIA's Ampere.
_FIRST_WITH_BFLOAT16 = (8, 0)


def describe(experiment: Experiment, method: Method, compiles: bool = False) -> str:
    """The table of a run: data, classes, network, batch, schedule, devices, output.

    Args:
      experiment: the run.
      method: its method, with all variables.
      compiles: whether XLA compiles the step.
    """
    model_dir = experiment.model_dir
    rows = {
        "data": _data(experiment, method),
        "classes": ", ".join(
            f"{number} {name}"
            for number, name in enumerate(experiment.spec.class_names)
        ),
        "method": type(method).__name__,
        "model": _model(experiment, method),
        "batch": _batch(experiment, method),
        **_schedule(experiment),
        "devices": _devices(experiment, compiles),
        **(
            {"fitted": fitting.describe(experiment.machine)}
            if experiment.machine in fitting.MACHINES
            else {}
        ),
        "code": ", ".join(f"{k} {v}" for k, v in versions.versions().items()),
        "output": f"{model_dir} (curves: tensorboard --logdir={model_dir})",
    }
    lines = [_row(name, value) for name, value in rows.items()]
    lines += [_row("warning", text) for text in _warnings(experiment, method)]
    return "\n".join(lines)


def _warnings(experiment: Experiment, method: Method) -> Iterator[str]:
    """Warnings about valid settings that are probably a mistake."""
    rates = method.model.untrained_rates(
        experiment.crop_size, experiment.eval_crop_size
    )
    if rates:
        named = ", ".join(map(str, rates))
        yield (
            f"crops are too small for these atrous rates: {named}. The outer weights "
            "see only padding and learn nothing, but are used on images of "
            "EVAL_CROP_SIZE. Choose a larger CROP_SIZE or smaller "
            "DeepLabV3Plus.atrous_rates."
        )
    replicas = experiment.strategy.num_replicas_in_sync
    micro_batches = experiment.accumulation_steps
    if method.mixes_images and experiment.batch_size == replicas * micro_batches:
        advice = f"Choose BATCH_SIZE = {2 * replicas * micro_batches}"
        if micro_batches > 1:
            advice += " or a smaller ACCUMULATION_STEPS"
        yield (
            f"{type(method).__name__} pastes parts of an image into the next (CutMix), "
            "but each step sees one image at a time: images are mixed with themselves, "
            f"which changes nothing. {advice}."
        )


def write_record(experiment: Experiment, step: int) -> str:
    """Writes run.json at the end of a run: settings, versions and results.

    Args:
      experiment: the run.
      step: number of steps taken.

    Returns:
      The path of the file.
    """
    metrics = results.read_metrics(experiment.model_dir) or {}
    replicas = experiment.strategy.num_replicas_in_sync
    data = data_record.of(experiment.data_dir, experiment.splits())
    content: dict[str, Any] = {
        "command": versions.command(),
        "versions": versions.versions(),
        "seed": experiment.seed,
        "deterministic": experiment.deterministic,
        "steps": step,
        "finished": step >= experiment.train_steps,
        "final": metrics if metrics.get("step") == step else None,
        "best": results.best(
            experiment.model_dir,
            experiment.eval_split,
            metrics.get("protocol", {}).get("text"),
        ),
        "dataset": experiment.dataset,
        "data": data,
        "images": {
            split: tfrecords.count_examples(
                experiment.data_dir, split, experiment.dataset
            )
            for split in data
        },
        "method": experiment.method.__name__,
        "model": experiment.model_variant,
        "precision": experiment.precision,
        "batch": {
            "global": experiment.batch_size,
            "replicas": replicas,
            "portions": experiment.accumulation_steps,
        },
        "devices": distribution.device_names(experiment.strategy),
        "config": config.text(),
        "operative_config": config.operative_text(),
    }
    path = os.path.join(experiment.model_dir, RUN_FILE)
    outputs.write_noted(path, json.dumps(content, indent=2) + "\n")
    return path


def show_start(experiment: Experiment, summaries: Summaries, step: int) -> None:
    """Writes what is known once a step was traced: settings in use, command, code.

    Args:
      experiment: the run.
      summaries: TensorBoard's.
      step: the step at which this process started.
    """
    settings = config.operative_text()
    path = os.path.join(experiment.model_dir, config.OPERATIVE_CONFIG_FILE)
    outputs.write_noted(path, settings)
    texts = {**startup_texts(), "operative_config": gin.markdown(settings)}
    for tag, text in texts.items():
        summaries.text(tag, text, step)
    if step == 0:
        spec = experiment.spec
        from wss.visualization import figures  # Takes half a second.

        legend = figures.class_legend(spec.class_names, spec.palette)
        images = tagged(SAMPLES, {"legend": figures.pixels(legend)})
        summaries.images(images, step)


def startup_texts() -> dict[str, str]:
    """Command, code and configuration for TensorBoard: markdown by tag."""
    code = "\n".join(f"    {k} {v}" for k, v in versions.versions().items())
    return {
        "command": f"    {versions.command()}",
        "code": code,
        "config": gin.markdown(config.text()),
    }


def _data(experiment: Experiment, method: Method) -> str:
    labeled = experiment.count_images(
        "LABELED_SPLIT", experiment.labeled_split, needs_masks=True
    )
    spec = experiment.spec
    text = (
        f"{spec.name}, {spec.num_classes} classes: {experiment.labeled_split} "
        f"({labeled} labeled images)"
    )
    if method.uses_unlabeled:
        unlabeled = experiment.count_images(
            "UNLABELED_SPLIT", experiment.unlabeled_split, needs_masks=False
        )
        text += f", {experiment.unlabeled_split} ({unlabeled} without labels)"
    return text


def _model(experiment: Experiment, method: Method) -> str:
    weights = sum(v.shape.num_elements() for v in method.trainable_variables)
    return (
        f"{experiment.model_variant}, output stride {method.model.output_stride}, "
        f"{1e-6 * weights:.1f} million parameters, {experiment.precision}"
    )


def _batch(experiment: Experiment, method: Method) -> str:
    replicas = experiment.strategy.num_replicas_in_sync
    micro_batches = experiment.accumulation_steps
    share = experiment.batch_size // (replicas * micro_batches)
    part = f"{share} labeled"
    if method.uses_unlabeled:
        part += f" + {share} unlabeled"
    height, width = experiment.crop_size
    return (
        f"{experiment.batch_size} = {replicas} x ({part}) x {micro_batches}: replicas "
        f"x images x micro-batches, crops of {height} x {width}"
    )


def _schedule(experiment: Experiment) -> dict[str, str]:
    steps = experiment.train_steps
    labeled = experiment.count_images(
        "LABELED_SPLIT", experiment.labeled_split, needs_masks=True
    )
    epochs = steps * experiment.batch_size / labeled
    rates = [
        f"{float(optimizers.learning_rate(step, steps)):.2g} at step {step}"
        for step in sorted({0, steps // 2, steps - 1})
    ]
    return {
        "steps": f"{steps}, {epochs:.1f} epochs of the labeled images, seed "
        f"{experiment.seed}",
        "rate": ", ".join(rates),
    }


def _devices(experiment: Experiment, compiles: bool) -> str:
    """The devices, the precision that they are made for, and what XLA does."""
    text = ", ".join(distribution.device_names(experiment.strategy))
    if compiles:
        text += "; XLA compiles the first step, which takes minutes"
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus or "GPU" not in text:
        return text
    details = tf.config.experimental.get_device_details(gpus[0])
    text += f"; {details.get('device_name', 'unknown GPU')}"
    if details.get("compute_capability", (0, 0)) >= _FIRST_WITH_BFLOAT16:
        if experiment.precision == "float32":
            text += ", made for PRECISION = 'mixed_bfloat16'"
    elif experiment.precision == "mixed_bfloat16":
        text += " without bfloat16, made for PRECISION = 'mixed_float16'"
    return text


def _row(name: str, value: str) -> str:
    indent = " " * _LABEL
    return textwrap.fill(
        value,
        _WIDTH,
        initial_indent=f"{name:<{_LABEL}}",
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
