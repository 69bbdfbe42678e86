"""Measures training steps: time, memory, and share of the machine's limit.

    python -m benchmarks.training_step
    python -m benchmarks.training_step --crop 129 257 --classes 21 81
    python -m benchmarks.training_step --method PseudoSeg UniMatch --jit_compile
    python -m benchmarks.training_step --precision float32 mixed_bfloat16 --batch 4 8
    python -m benchmarks.training_step --replicas 1 2 --batch 4
    python -m benchmarks.training_step --method UniMatchV2 --optimizer AdamW \\
        --variant dinov2_vits14 --crop 126
    TF_NUM_INTRAOP_THREADS=2 TF_NUM_INTEROP_THREADS=2 python -m benchmarks.training_step

runs complete steps (losses, gradients, momentum, moving averages) on synthetic images,
for all combinations of the flags. The cases take turns, each in its own process.
"share" is the time that the convolutions and matrix products of the step would take at
the rate of one large float32 matrix product, divided by the time of the step.
"""

import argparse
import importlib
import itertools
import os
import time
from collections.abc import Callable
from typing import Any

from benchmarks import measuring

# The module of each method.
METHODS = {
    "Supervised": "supervised",
    "PseudoSeg": "pseudoseg",
    "FixMatch": "fixmatch",
    "UniMatch": "unimatch",
    "UniMatchV2": "unimatch_v2",
    "U2PL": "u2pl",
}
OPTIMIZERS = ("Momentum", "AdamW")


def make_step(
    method: str,
    variant: str,
    crop: int,
    classes: int,
    batch: int,
    precision: str,
    jit_compile: bool,
    output_stride: int = 16,
    accumulation_steps: int = 1,
    recompute: int = 0,
    replicas: int = 1,
    optimizer: str = "Momentum",
) -> Callable[[], Any]:
    """A function that runs one step; for `measuring.measure`.

    `batch` is the global batch size.
    """
    start = time.perf_counter()
    import tensorflow as tf

    imported = time.perf_counter()
    from benchmarks import cost

    strategy = _strategy(replicas)
    training_step = _build(
        strategy,
        method,
        precision,
        dict(
            num_classes=classes,
            variant=variant,
            output_stride=output_stride,
            recompute=bool(recompute),
        ),
        accumulation_steps=accumulation_steps,
        jit_compile=jit_compile,
        optimizer=optimizer,
    )
    iterator = _repeated(make_batch(batch // replicas, crop, classes), strategy)
    built = time.perf_counter()
    training_step.run(iterator, tf.constant(0))

    traced = time.perf_counter()
    number = tf.TensorSpec([], tf.int32)
    graph = training_step.run.get_concrete_function(iterator, number).graph
    operations = cost.of_round(graph, accumulation_steps - 1)

    def run():
        results = training_step.run(iterator, tf.constant(1))
        return results["losses"]["total"].numpy()

    run.facts = {
        "gigaflops": operations / 1e9,
        "import_seconds": imported - start,
        "build_seconds": built - imported,
        "trace_seconds": traced - built,
    }
    return run


def _build(
    strategy: Any,
    method: str,
    precision: str,
    network: dict[str, Any],
    optimizer: str,
    **settings: Any,
) -> Any:
    """A `TrainingStep`; `network` has the arguments of `networks.create`."""
    import tensorflow as tf

    from wss.data.datasets.spec import pascal_palette
    from wss.models import networks, tf1_checkpoint
    from wss.training import distribution, optimizers
    from wss.training.train_step import TrainingStep

    distribution.configure_determinism()
    tf.keras.mixed_precision.set_global_policy(precision)
    with strategy.scope():
        learner = _find(method)(networks.create(**network), 255)
        learner.build()
        return TrainingStep(
            learner,
            tf1_checkpoint.named_variables(learner),
            strategy,
            total_steps=10**6,
            scales_loss=precision == "mixed_float16",
            palette=pascal_palette(network["num_classes"]),
            optimizer=getattr(optimizers, optimizer),
            **settings,
        )


def _strategy(replicas: int) -> Any:
    """The strategy for the first GPUs or, without GPUs, for logical CPU devices."""
    import tensorflow as tf

    from wss.training import distribution

    if replicas == 1:
        return distribution.get_strategy()
    if tf.config.list_physical_devices("GPU"):
        devices = [f"/gpu:{index}" for index in range(replicas)]
        return tf.distribute.MirroredStrategy(devices)
    return distribution.get_strategy(logical_cpus=replicas)


def _repeated(batch: dict[str, Any], strategy: Any) -> Any:
    """An iterator that yields the same batch to every replica at each step."""
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensors(batch).repeat()
    return iter(strategy.distribute_datasets_from_function(lambda context: batches))


def _find(method: str) -> Callable[..., Any]:
    module = importlib.import_module(f"wss.methods.{METHODS[method]}")
    return getattr(module, method)


def make_batch(batch: int, crop: int, classes: int) -> dict[str, Any]:
    """A batch of synthetic images with labels of all classes."""
    import tensorflow as tf

    def images(seed: int) -> tf.Tensor:
        coarse = tf.random.stateless_uniform([batch, 9, 9, 3], [seed, 0], 0.0, 255.0)
        return tf.image.resize(coarse, [crop, crop])

    def part(seed: int, first: int, *names: str) -> dict[str, tf.Tensor]:
        coarse = tf.random.stateless_uniform(
            [batch, 9, 9, 1], [seed, 1], 0, classes, tf.int32
        )
        label = tf.image.resize(coarse, [crop, crop], "nearest")[..., 0]
        shown = tf.reduce_max(tf.one_hot(label, classes), [1, 2])[:, 1:]
        return {
            **{name: images(seed + i) for i, name in enumerate(names)},
            "label": label,
            "valid": tf.ones([batch, crop, crop]),
            "image_labels": shown,
            "position": tf.range(first, first + batch, dtype=tf.int64),
        }

    return {
        "labeled": part(0, 0, "image"),
        "unlabeled": part(10, batch, "weak", "strong", "strong_2"),
    }


# The dimensions of a case: argument of `make_step`, its type and default.
AXES = {
    "method": (str, "PseudoSeg"),
    "variant": (str, "xception_65"),
    "output_stride": (int, 16),
    "crop": (int, 129),
    "classes": (int, 21),
    "batch": (int, 2),
    "precision": (str, "float32"),
    "accumulation_steps": (int, 1),
    "recompute": (int, 0),
    "replicas": (int, 1),
    "optimizer": (str, "Momentum"),
}


def combinations(flags: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """The arguments of every case, by a name with the values that differ."""
    axes = {name: getattr(flags, name) for name in AXES}
    varied = [name for name, values in axes.items() if len(values) > 1] or ["method"]
    cases = [dict(zip(axes, values)) for values in itertools.product(*axes.values())]
    return {
        ", ".join(
            (
                str(case[name])
                if name in ("method", "variant", "optimizer")
                else f"{name} {case[name]}"
            )
            for name in varied
        ): {**case, "jit_compile": flags.jit_compile}
        for case in cases
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    explained = {
        "method": f"of {', '.join(METHODS)}",
        "batch": "labeled images over all replicas; as many unlabeled ones",
        "recompute": "1: gradient checkpointing of the backbone's modules",
        "replicas": "GPUs, or logical CPU devices if there are none",
        "optimizer": f"of {', '.join(OPTIMIZERS)}",
    }
    for name, (kind, default) in AXES.items():
        choices = {"method": METHODS, "optimizer": OPTIMIZERS}.get(name)
        parser.add_argument(
            f"--{name}",
            nargs="+",
            type=kind,
            default=[default],
            choices=choices,
            metavar=name.upper(),
            help=f"{explained.get(name, '')} (default: {default})".strip(),
        )
    parser.add_argument("--jit_compile", action="store_true", help="slow on a CPU")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--one_by_one", action="store_true", help="no turns, to save memory"
    )
    parser.add_argument("--output", default="runs/training_step.json")
    flags = parser.parse_args()
    cases = combinations(flags)
    for case in cases.values():
        if case["replicas"] < 1 or case["batch"] % case["replicas"]:
            parser.error(
                f"--batch {case['batch']} is not divisible by --replicas "
                f"{case['replicas']}"
            )
    ceilings = measuring.ceilings()
    found = measuring.measure(
        make_step, cases, flags.repeats, together=not flags.one_by_one
    )
    measuring.add_shares(found, ceilings)
    columns = {
        "s": "seconds",
        "CPU s": "cpu_seconds",
        "GFLOP": "gigaflops",
        "share": "share",
        "peak GB": "gigabytes",
        "startup s": "start_seconds",
    }
    measuring.report(found, columns, flags.output, "case", ceilings=ceilings)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
