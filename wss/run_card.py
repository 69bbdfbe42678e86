"""The table at the start of a run: what will run, for the eye to check."""

from typing import Any

from wss.methods.base import Method


def describe(experiment: Any, method: Method) -> str:
    """Data, method, network, batch, steps, devices and output, a line each.

    Args:
      experiment: a `wss.experiment.Experiment`.
      method: its method, with all variables.
    """
    labeled = experiment.count_images(
        "LABELED_SPLIT", experiment.labeled_split, needs_masks=True
    )
    replicas = experiment.strategy.num_replicas_in_sync
    share = experiment.batch_size // replicas
    data = f"{experiment.labeled_split} ({labeled} labeled images)"
    batch = f"{share} labeled"
    if method.uses_unlabeled:
        unlabeled = experiment.count_images(
            "UNLABELED_SPLIT", experiment.unlabeled_split, needs_masks=False
        )
        data += f", {experiment.unlabeled_split} ({unlabeled} without labels)"
        batch += f" + {share} unlabeled"
    spec = experiment.spec
    height, width = experiment.crop_size
    millions = 1e-6 * sum(v.shape.num_elements() for v in method.trainable_variables)
    epochs = experiment.train_steps * experiment.batch_size / labeled
    devices = experiment.strategy.extended.worker_devices
    model_dir = experiment.model_dir
    rows = {
        "data": f"{spec.name}, {spec.num_classes} classes: {data}",
        "method": type(method).__name__,
        "model": f"{experiment.model_variant}, output stride "
        f"{experiment.output_stride}, {millions:.1f} million parameters",
        "batch": f"{replicas} x ({batch}), crops of {height} x {width}",
        "steps": f"{experiment.train_steps}, {epochs:.1f} times through the labeled "
        "images",
        "devices": ", ".join(device.split("device:")[-1] for device in devices),
        "output": f"{model_dir} (curves: tensorboard --logdir={model_dir})",
    }
    return "\n".join(f"{name:<7} {value}" for name, value in rows.items())
