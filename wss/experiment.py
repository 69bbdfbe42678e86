"""An experiment: a data set, a network, a method and a schedule, put together.

The only place where all rooms meet. What can be wrong in a configuration is found here
before the network is built.
"""

import functools
import os
from typing import Any, Callable, Optional, Tuple, Union

import gin
import tensorflow as tf

from wss import config, datasets, files, panels
from wss.data import parsing, pipeline
from wss.errors import UserError
from wss.evaluation import Evaluator, read_metrics
from wss.methods.base import Method
from wss.methods.pseudoseg import PseudoSeg
from wss.models import tf1_checkpoint
from wss.models.batch_norm import collect_batch_statistics
from wss.models.deeplab import DeepLabV3Plus, mean_pixel
from wss.training import distribution
from wss.training.step import TrainingStep
from wss.training.trainer import Trainer

Size = Union[int, Tuple[int, int]]


@gin.configurable(denylist=["model_dir", "strategy"])
class Experiment:
    """One training with its evaluation."""

    def __init__(
        self,
        model_dir: str,
        strategy: tf.distribute.Strategy,
        *,
        dataset: str,
        data_dir: str,
        labeled_split: str,
        unlabeled_split: Optional[str] = None,
        eval_split: str = "val",
        method: Callable[..., Method] = PseudoSeg,
        model_variant: str = "xception_65",
        output_stride: int = 16,
        crop_size: Size = 513,
        eval_crop_size: Size = 513,
        batch_size: int = 64,
        train_steps: int = 30000,
        init_checkpoint: Optional[str] = None,
        initialize_last_layer: bool = False,
        seed: int = 0,
    ):
        """Looks up what the configuration names; nothing big is built yet.

        Args:
          model_dir: where everything goes that the experiment writes.
          strategy: which devices train.
          dataset: name of the data set, see `wss.datasets`.
          data_dir: folder with its shards.
          labeled_split: images with masks to learn from.
          unlabeled_split: images that are used without their masks; may be several
            splits joined by "+".
          eval_split: images to evaluate on.
          method: how to learn from both.
          model_variant: the backbone.
          output_stride: image pixels per pixel of the backbone's features, 8 or 16.
          crop_size: side, or (height, width), of the training crops, in pixels.
          eval_crop_size: side, or (height, width), that holds every evaluated image.
          batch_size: labeled images in a step, over all replicas; as many unlabeled
            ones come with them.
          train_steps: length of the training.
          init_checkpoint: checkpoint to start from, of TF1 or ours, or its folder.
          initialize_last_layer: take the layers that give the classes' logits from it
            too.
          seed: decides every random draw.

        Raises:
          UserError: unknown data set or backbone, or a setting of the wrong kind.
        """
        self._model_dir = model_dir
        self._strategy = strategy
        self._spec = datasets.get(dataset, data_dir)
        self._dataset = dataset
        self._data_dir = data_dir
        self._labeled_split = labeled_split
        self._unlabeled_split = unlabeled_split
        self._eval_split = eval_split
        self._method_class = method
        self._model_variant = model_variant
        self._padding_value = mean_pixel(model_variant)
        self._output_stride = output_stride
        self._crop_size = _size("CROP_SIZE", crop_size, output_stride)
        self._eval_crop_size = _size("EVAL_CROP_SIZE", eval_crop_size, output_stride)
        self._batch_size = _positive("BATCH_SIZE", batch_size)
        self._train_steps = _positive("TRAIN_STEPS", train_steps)
        self._init_checkpoint = init_checkpoint
        self._initialize_last_layer = initialize_last_layer
        self._seed = seed

    def check(self, trains: bool, evaluates: bool) -> None:
        """Finds what can be wrong with data and settings, without building a network.

        Raises:
          UserError: missing shards, a split without masks, a batch that does not divide
            over the replicas, an unknown augmentation.
        """
        if evaluates:
            self._count("EVAL_SPLIT", self._eval_split, needs_masks=True)
        if not trains:
            return
        replicas = self._strategy.num_replicas_in_sync
        if self._batch_size % replicas:
            raise UserError(
                f"BATCH_SIZE = {self._batch_size} does not divide over {replicas} "
                f"replicas. Choose a multiple of {replicas}."
            )
        self._count("LABELED_SPLIT", self._labeled_split, needs_masks=True)
        if self._method_class.uses_unlabeled:
            if self._unlabeled_split is None:
                raise UserError(
                    f"{self._method_class.__name__} learns from unlabeled images, but "
                    "no split of them is named. Set UNLABELED_SPLIT."
                )
            self._count("UNLABELED_SPLIT", self._unlabeled_split, needs_masks=False)
        if self._init_checkpoint:
            tf1_checkpoint.find(self._init_checkpoint)
        self._training_batches(start_step=0)  # Builds the graph, reads nothing.

    def train(self, evaluates: bool) -> None:
        """Trains, from the last checkpoint if there is one, and evaluates on the way.

        Raises:
          UserError: broken data, a loss that is not finite.
        """
        tf.io.gfile.makedirs(self._model_dir)
        files.write_text(self._path(config.CONFIG_FILE), config.text())
        method = self._build_method()
        evaluator = self._build_evaluator(method.model)

        def evaluate(step: int) -> None:
            evaluator.evaluate(step, print_table=step == self._train_steps)

        with self._strategy.scope():
            training_step = TrainingStep(
                method,
                tf1_checkpoint.named_variables(method),
                self._strategy,
                total_steps=self._train_steps,
                seed=self._seed,
                collect_statistics=collect_batch_statistics,
                render=functools.partial(panels.render, palette=self._spec.palette),
            )
        trainer = Trainer(
            training_step,
            self._distributed_batches,
            self._model_dir,
            total_steps=self._train_steps,
            images_per_step=self._batch_size * (1 + method.uses_unlabeled),
            items={"model": method.model, "method": method},
            initialize=lambda: self._initialize(method),
            started=self._write_operative_config,
            evaluate=evaluate if evaluates else None,
        )
        trainer.summaries.text("config", gin.markdown(config.text()))
        print(self._run_card(method), flush=True)
        with parsing.user_errors():
            trainer.train()
        # A run that was stopped in its last evaluation still owes it.
        metrics = read_metrics(self._model_dir) or {}
        if evaluates and metrics.get("step") != self._train_steps:
            evaluate(self._train_steps)

    def evaluate(self, checkpoint: str = "latest") -> None:
        """Evaluates a checkpoint of this experiment.

        Args:
          checkpoint: its path, or "latest".

        Raises:
          UserError: there is none, or it is of another network.
        """
        if checkpoint == "latest":
            checkpoint = tf.train.latest_checkpoint(self._model_dir)
            if checkpoint is None:
                raise UserError(
                    f"There is no checkpoint in {self._model_dir}. Train first: python "
                    f"-m wss.train --gin_file=... --model_dir={self._model_dir}"
                )
        model = self._build_model()
        step = restore_model(model, checkpoint)
        self._build_evaluator(model).evaluate(step)

    def _path(self, name: str) -> str:
        return os.path.join(self._model_dir, name)

    def _count(self, macro: str, split: str, needs_masks: bool) -> int:
        """Number of images of a split."""
        images = pipeline.count_examples(self._data_dir, split, self._dataset)
        manifest = datasets.manifest.read(self._data_dir)
        for part in split.split("+") if manifest and needs_masks else ():
            written = manifest["splits"].get(part)
            if written and written["with_masks"] < written["examples"]:
                raise UserError(
                    f"{macro} = {split!r}: only {written['with_masks']} of the "
                    f"{written['examples']} images of {part} have masks. Learning from "
                    "labels and evaluating need a split whose images all have."
                )
        return images

    def _build_model(self) -> DeepLabV3Plus:
        tf.keras.utils.set_random_seed(self._seed)  # Of the initial weights.
        with self._strategy.scope():
            return DeepLabV3Plus(
                self._spec.num_classes,
                variant=self._model_variant,
                output_stride=self._output_stride,
            )

    def _build_method(self) -> Method:
        """The network and the method, with all their variables."""
        model = self._build_model()
        with self._strategy.scope():
            method = self._method_class(model, self._spec.ignore_label)
            method.build()
        return method

    def _build_evaluator(self, model: DeepLabV3Plus) -> Evaluator:
        batches = pipeline.evaluation_batches(
            self._data_dir,
            self._eval_split,
            spec=self._spec,
            crop_size=self._eval_crop_size,
            padding_value=self._padding_value,
        )
        return Evaluator(model, batches, self._spec, self._eval_split, self._model_dir)

    def _training_batches(
        self,
        start_step: int,
        input_context: Optional[tf.distribute.InputContext] = None,
    ) -> tf.data.Dataset:
        unlabeled = None
        if self._method_class.uses_unlabeled:
            unlabeled = pipeline.Split(self._data_dir, self._unlabeled_split)
        return pipeline.training_batches(
            pipeline.Split(self._data_dir, self._labeled_split),
            unlabeled,
            spec=self._spec,
            crop_size=self._crop_size,
            batch_size=self._batch_size,
            seed=self._seed,
            start_step=start_step,
            padding_value=self._padding_value,
            input_context=input_context,
        )

    def _distributed_batches(self, start_step: int) -> Any:
        return self._strategy.distribute_datasets_from_function(
            functools.partial(self._training_batches, start_step)
        )

    def _initialize(self, method: Method) -> None:
        if self._init_checkpoint:
            last_layers = ("logits/", f"{method.model.backbone.scope}/logits/")
            exclude = () if self._initialize_last_layer else last_layers
            tf1_checkpoint.restore(self._init_checkpoint, method, exclude)

    def _write_operative_config(self) -> None:
        files.write_text(
            self._path(config.OPERATIVE_CONFIG_FILE), config.operative_text()
        )

    def _run_card(self, method: Method) -> str:
        """What will run, for the eye to check."""
        replicas = self._strategy.num_replicas_in_sync
        per_replica = self._batch_size // replicas
        images = f"{per_replica} labeled"
        labeled = self._count("LABELED_SPLIT", self._labeled_split, needs_masks=True)
        data = f"{self._labeled_split} ({labeled} labeled images)"
        if method.uses_unlabeled:
            count = self._count(
                "UNLABELED_SPLIT", self._unlabeled_split, needs_masks=False
            )
            data += f", {self._unlabeled_split} ({count} without labels)"
            images += f" + {per_replica} unlabeled"
        parameters = sum(v.shape.num_elements() for v in method.trainable_variables)
        height, width = self._crop_size
        rows = {
            "data": f"{self._spec.name}, {self._spec.num_classes} classes: {data}",
            "method": type(method).__name__,
            "model": f"{self._model_variant}, output stride {self._output_stride}, "
            f"{parameters / 1e6:.1f} million parameters",
            "batch": f"{replicas} x ({images}), crops of {height} x {width}",
            "steps": f"{self._train_steps}, "
            f"{self._train_steps * self._batch_size / labeled:.1f} times through the "
            "labeled images",
            "devices": ", ".join(
                device.split("device:")[-1]
                for device in self._strategy.extended.worker_devices
            ),
            "output": f"{self._model_dir} (curves: tensorboard --logdir="
            f"{self._model_dir})",
        }
        return "\n".join(f"{name:<7} {value}" for name, value in rows.items())


def run(mode: str, model_dir: str, tpu: Optional[str] = None) -> None:
    """Runs what gin has been configured to: "train", "eval" or "train_and_eval".

    Raises:
      UserError: a mistake in the configuration or the data.
    """
    trains, evaluates = mode != "eval", mode != "train"
    experiment = _create(model_dir, tpu)
    experiment.check(trains, evaluates)
    if trains:
        experiment.train(evaluates)
    else:
        experiment.evaluate()


def run_evaluation(model_dir: str, checkpoint: str, tpu: Optional[str] = None) -> None:
    """Evaluates a checkpoint with what gin has been configured to.

    Raises:
      UserError: a mistake in the configuration or the data, or no such checkpoint.
    """
    experiment = _create(model_dir, tpu)
    experiment.check(trains=False, evaluates=True)
    experiment.evaluate(checkpoint)


def restore_model(model: DeepLabV3Plus, checkpoint: str) -> int:
    """Gives the model the weights of a checkpoint; returns its training step.

    Args:
      model: the network.
      checkpoint: one of ours or of TF1, e.g. of the original code, or its folder.

    Raises:
      UserError: there is no such checkpoint, or it is of another network.
    """
    report = tf1_checkpoint.restore(checkpoint, model)
    classifier = f"{model.backbone.scope}/logits/"  # No part of a segmentation.
    absent = [
        name
        for name in (*report.skipped, *report.missing)
        if not name.startswith(classifier)
    ]
    if absent:
        raise UserError(
            f"{checkpoint} is no checkpoint of this network: {len(absent)} variables "
            f"are not in it or of another shape, such as {absent[0]}. Evaluate with "
            "the configuration that it was trained with."
        )
    reader = tf.train.load_checkpoint(tf1_checkpoint.find(checkpoint))
    for key in ("step/.ATTRIBUTES/VARIABLE_VALUE", "global_step"):
        if reader.has_tensor(key):
            return int(reader.get_tensor(key))
    return 0


def _create(model_dir: str, tpu: Optional[str]) -> Experiment:
    # None would override what gin binds.
    strategy = distribution.get_strategy(**({"tpu": tpu} if tpu else {}))
    try:
        return Experiment(model_dir, strategy)
    except TypeError as error:
        # gin adds which parameters have no value.
        raise UserError(str(error).strip().splitlines()[0]) from error


def _positive(macro: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UserError(f"{macro} = {value!r}: it has to be a whole number above 0.")
    return value


def _size(macro: str, size: Size, output_stride: int) -> Tuple[int, int]:
    """(height, width) of a crop that fits the output stride."""
    sides = (size, size) if isinstance(size, int) else tuple(size)
    for side in sides:
        if (_positive(macro, side) - 1) % output_stride:
            below = max(1, (side - 1) // output_stride) * output_stride + 1
            raise UserError(
                f"{macro} = {size!r}: {side} is no multiple of the output stride "
                f"{output_stride} plus one. The next ones are {below} and "
                f"{below + output_stride}."
            )
    if len(sides) != 2:
        raise UserError(f"{macro} = {size!r}: give a side or (height, width).")
    return sides
