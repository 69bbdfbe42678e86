"""An experiment: a data set, a network, a method and a schedule, put together.

The only place where all rooms meet. What can be wrong in a configuration is found here
before the network is built.
"""

import dataclasses
import functools
from typing import (
    Annotated,
    Any,
    Callable,
    List,
    Literal,
    Mapping,
    Optional,
    Tuple,
    Type,
)

import gin
import tensorflow as tf

from wss import config
from wss.data import datasets, input_pipeline, parsing
from wss.errors import UserError, first_line
from wss.evaluation.evaluator import Evaluator, restore_method, restore_model
from wss.evaluation.predictor import Predictor
from wss.methods.base import Method
from wss.methods.pseudoseg import PseudoSeg
from wss.models import tf1_checkpoint
from wss.models.backbone import check_multi_grid
from wss.models.batch_norm import collect_batch_statistics
from wss.models.deeplab import DeepLabV3Plus, mean_pixel
from wss.models.layers import PRECISIONS, precision_policy
from wss.ops import losses
from wss.settings import Count, Natural, Range, Size
from wss.training import (
    checkpoints,
    determinism,
    diagnostics,
    run_card,
    run_folder,
    starting_point,
)
from wss.training.loop import Trainer
from wss.training.train_step import TrainingStep
from wss.visualization import label_colors


@gin.configurable(denylist=["model_dir", "strategy", "spec"])
@dataclasses.dataclass
class Experiment:
    """One training with its evaluation.

    Creating one looks up what the configuration names and raises a UserError for an
    unknown data set or backbone, or a crop that does not fit. Nothing big is built.

    Attributes:
      model_dir: where everything goes that the experiment writes.
      strategy: which devices train.
      dataset: name of the data set, see `wss.data.datasets`.
      data_dir: folder with its shards.
      labeled_split: images with masks to learn from.
      unlabeled_split: images that are used without their masks; may be several splits
        joined by "+".
      eval_split: images to evaluate on.
      method: how to learn from both.
      model_variant: the backbone.
      output_stride: image pixels per pixel of the backbone's features: 8, 16 or 32.
      crop_size: side, or (height, width), of the training crops, in pixels.
      eval_crop_size: side, or (height, width), that evaluated images are padded to;
        larger ones are shrunk to it or taken by windows, see `Predictor`.
      batch_size: labeled images in a step, over all replicas; as many unlabeled ones
        come with them.
      accumulation_steps: portions into which each replica divides its images of a
        step, so that a large batch fits on a small device.
      precision: "float32", "mixed_bfloat16" or "mixed_float16".
      train_steps: length of the training.
      init_checkpoint: checkpoint to start from, of TF1 or ours, or its folder.
      initialize_last_layer: take the layers that give the classes' logits from it too.
      seed: decides every random draw.
      deterministic: choose kernels that give the same numbers in every run, see
        `wss.training.determinism`.
      spec: the classes; looked up, with the data's help, unless given.
    """

    model_dir: str
    strategy: tf.distribute.Strategy
    dataset: str
    data_dir: str
    labeled_split: str
    unlabeled_split: Optional[str] = None
    eval_split: str = "val"
    method: Type[Method] = PseudoSeg
    model_variant: str = "xception_65"
    output_stride: Literal[8, 16, 32] = 16
    crop_size: Size = 513
    eval_crop_size: Size = 513
    batch_size: Annotated[int, Range(low=1, high=2**16)] = 64
    accumulation_steps: Count = 1
    precision: Literal[PRECISIONS] = "float32"
    train_steps: Count = 30000
    init_checkpoint: Optional[str] = None
    initialize_last_layer: bool = False
    seed: Natural = 0
    deterministic: bool = False
    spec: Optional[datasets.DatasetSpec] = None

    def __post_init__(self):
        if self.spec is None:
            self.spec = datasets.get(self.dataset, self.data_dir)
        if self.spec.num_classes < 2:
            raise UserError(
                f"The data set {self.spec.name} has one class only, "
                f"{self.spec.class_names[0]}: there is nothing to tell apart. Write it "
                "again with two classes or more."
            )
        self._padding_value = mean_pixel(self.model_variant)
        network = gin.get_bindings(DeepLabV3Plus)
        check_multi_grid(self.model_variant, network.get("multi_grid"))
        self._operations = None  # Of a step; known behind the first.
        self.crop_size = config.crop_size(
            "CROP_SIZE", self.crop_size, self.output_stride
        )
        self.eval_crop_size = config.crop_size(
            "EVAL_CROP_SIZE", self.eval_crop_size, self.output_stride
        )

    def check_evaluation(self) -> None:
        """Finds what can be wrong with an evaluation, without building a network.

        Raises:
          UserError: missing shards, images without masks, a protocol that makes no
            sense or that the method can not be measured by, other classes or images
            than the folder's checkpoints were trained and evaluated on.
        """
        self.count_images("EVAL_SPLIT", self.eval_split, needs_masks=True)
        self._build_evaluator({"model": None})  # Reads no image.
        run_folder.check_evaluation(self)

    def check_training(self) -> None:
        """Finds what can be wrong with a training, without building a network.

        Raises:
          UserError: missing shards, a labeled split without masks, a batch that does
            not divide over the replicas, a missing checkpoint, an unknown augmentation,
            class weights of another number of classes, a folder with checkpoints of
            other settings, classes or images.
        """
        replicas = self.strategy.num_replicas_in_sync
        parts = replicas * self.accumulation_steps
        if self.batch_size % parts:
            portions = ""
            if self.accumulation_steps > 1:
                portions = f" and ACCUMULATION_STEPS = {self.accumulation_steps}"
            raise UserError(
                f"BATCH_SIZE = {self.batch_size} does not divide over {replicas} "
                f"replicas{portions}. Choose a multiple of {parts}."
            )
        self.count_images("LABELED_SPLIT", self.labeled_split, needs_masks=True)
        if self.method.uses_unlabeled:
            if self.unlabeled_split is None:
                raise UserError(
                    f"{self.method.__name__} learns from unlabeled images, but no "
                    "split of them is named. Set UNLABELED_SPLIT."
                )
            self.count_images(
                "UNLABELED_SPLIT", self.unlabeled_split, needs_masks=False
            )
        run_folder.check_training(self)
        starting_point.check(self)
        self._check_loss()
        self._training_batches(start_step=0)  # Builds the graph, reads nothing.

    def train(
        self, evaluates: bool, profile_steps: Optional[Tuple[int, int]] = None
    ) -> None:
        """Trains, from the last checkpoint if there is one, and evaluates on the way.

        Args:
          evaluates: evaluate on the way and at the end.
          profile_steps: steps between which TensorFlow's profiler runs.

        Raises:
          UserError: broken data, a loss that is not finite, a full disk.
          Stopped: a signal came; the state is saved.
        """
        method = self._build_method()
        evaluator = self._build_evaluator(method.evaluated_networks)

        def begin(step: int) -> None:
            if step == 0:
                starting_point.load(self, method)
            # Nothing can be refused any more, and nothing has been written yet.
            run_folder.describe(self)
            if evaluates:
                evaluator.forget_after(step)

        def started(graph: tf.Graph) -> None:
            self._operations = run_card.show_start(self, graph, trainer)

        def evaluate(step: int) -> bool:
            if not evaluator.has_evaluated(step):
                evaluator.evaluate(step, print_table=step == self.train_steps)
            return evaluator.best_step() == step

        trainer = Trainer(
            self._build_training_step(method),
            self._distributed_batches,
            self.model_dir,
            total_steps=self.train_steps,
            images_per_step=self.batch_size * (1 + method.uses_unlabeled),
            items={"model": method.model, "method": method},
            begin=begin,
            started=started,
            evaluate=evaluate if evaluates else None,
            save_batch=functools.partial(diagnostics.save_batch, self),
            input_errors=parsing.user_errors,
            class_names=self.spec.class_names,
            profile_steps=profile_steps,
        )
        print(run_card.describe(self, method), flush=True)
        with parsing.user_errors(), diagnostics.explained_memory(self):
            trainer.train()
        run_folder.describe(self)  # It may have been emptied on the way.
        run_card.write_record(self, self.train_steps, self._operations)

    def evaluate(self, checkpoint: str = "latest") -> None:
        """Evaluates a checkpoint of this experiment; errors as of `restored_model`."""
        self._find_checkpoint(checkpoint)  # Before anything big is built.
        self.repeated_evaluation()(checkpoint)

    def repeated_evaluation(self) -> Callable[[str], int]:
        """A function that evaluates a checkpoint (a path, "latest", ...): its step.

        It builds the networks once, for any number of checkpoints.
        """
        networks = {"model": self._build_model()}
        if self.method.has_teacher:
            networks = {"teacher": networks["model"], "student": self._build_model()}
        evaluator = self._build_evaluator(networks)

        def restore(path: str) -> Tuple[int, str]:
            for name, network in networks.items():
                step = restore_model(network, path, average=name == "teacher")
            return step, path

        def evaluate(checkpoint: str) -> int:
            run_folder.check_evaluation(self)
            step, path = checkpoints.use(self.model_dir, checkpoint, restore)
            with diagnostics.explained_scores(
                self.model_dir
            ), diagnostics.explained_memory(self, evaluates=True):
                evaluator.evaluate(step, checkpoint=path)
                run_folder.remember_evaluation(self)
            return step

        return evaluate

    def restored_model(self, checkpoint: str = "latest") -> Tuple[DeepLabV3Plus, int]:
        """The network as a checkpoint has it, and the training step.

        Args:
          checkpoint: its path, "latest" or "best".

        Raises:
          UserError: there is none, it is damaged, or of another network.
        """
        self._find_checkpoint(checkpoint)  # Before anything big is built.
        model = self._build_model()
        restore = functools.partial(restore_model, model)
        return model, checkpoints.use(self.model_dir, checkpoint, restore)

    def restored_method(self, checkpoint: str = "latest") -> Tuple[Method, int]:
        """The method, its network being the one to evaluate, and the training step.

        Arguments and errors as of `restored_model`.
        """
        self._find_checkpoint(checkpoint)
        method = self._build_method()
        restore = functools.partial(restore_method, method)
        return method, checkpoints.use(self.model_dir, checkpoint, restore)

    def predictor(self, model: Optional[DeepLabV3Plus]) -> Predictor:
        """Predictions of a network for images of any size, as evaluation sees them."""
        return Predictor(model, self.eval_crop_size, self._padding_value)

    def evaluation_batches(self) -> tf.data.Dataset:
        """The images to evaluate on, as `pipeline.evaluation_batches` gives them."""
        return input_pipeline.evaluation_batches(
            self.data_dir, self.eval_split, spec=self.spec
        )

    def count_images(self, macro: str, split: str, needs_masks: bool) -> int:
        """Number of images of the split that a macro names.

        Raises:
          UserError: no such split, or some images lack a mask that they need.
        """
        images = input_pipeline.count_examples(self.data_dir, split, self.dataset)
        manifest = datasets.manifest.read(self.data_dir)
        for part in split.split("+") if manifest and needs_masks else ():
            written = manifest["splits"].get(part)
            if not written:
                continue
            count = written["examples"]
            with_masks = written.get("with_masks", count)  # Of another writer.
            if with_masks < count:
                raise UserError(
                    f"{macro} = {split!r}: only {with_masks} of the {count} images of "
                    f"{part} have masks. Learning from labels and evaluating need a "
                    "split whose images all have."
                )
        return images

    def splits(self) -> List[str]:
        """The splits that a training reads, as they are named."""
        unlabeled = self.unlabeled_split if self.method.uses_unlabeled else None
        splits = [self.labeled_split, unlabeled, self.eval_split]
        return [split for split in splits if split]

    def _check_loss(self) -> None:
        """Has the labeled images' loss refuse settings that do not fit the classes."""
        default = losses.softmax_cross_entropy
        loss = gin.get_bindings(Method).get("supervised_loss", default)
        try:
            loss(
                tf.zeros([1, 1, 1, self.spec.num_classes]),
                tf.zeros([1, 1, 1], tf.int32),
                ignore_label=self.spec.ignore_label,
                step=tf.zeros([], tf.int64),
                count=tf.ones([]),
            )
        except TypeError as error:
            raise UserError(
                f"Method.supervised_loss is no loss of labels ({first_line(error)}). "
                "Choose @softmax_cross_entropy or @ohem_cross_entropy."
            ) from error

    def _find_checkpoint(self, which: str) -> str:
        """The path of a checkpoint whose classes are ours."""
        path = checkpoints.find(self.model_dir, which)
        run_folder.check_checkpoint(path, self.model_dir, self.spec)
        return path

    def _build_model(self) -> DeepLabV3Plus:
        determinism.configure(self.deterministic)
        tf.keras.utils.set_random_seed(self.seed)  # Of the initial weights.
        with self.strategy.scope(), precision_policy(self.precision):
            return DeepLabV3Plus(
                self.spec.num_classes,
                variant=self.model_variant,
                output_stride=self.output_stride,
            )

    def _build_method(self) -> Method:
        """The network and the method, with all their variables."""
        model = self._build_model()
        with self.strategy.scope(), precision_policy(self.precision):
            method = self.method(model, self.spec.ignore_label)
            method.build()
        return method

    def _build_training_step(self, method: Method) -> TrainingStep:
        with self.strategy.scope():
            return TrainingStep(
                method,
                tf1_checkpoint.named_variables(method),
                self.strategy,
                total_steps=self.train_steps,
                seed=self.seed,
                accumulation_steps=self.accumulation_steps,
                scales_loss=self.precision == "mixed_float16",
                collect_statistics=collect_batch_statistics,
                render=functools.partial(
                    label_colors.render, palette=self.spec.palette
                ),
            )

    def _build_evaluator(
        self, networks: Mapping[str, Optional[DeepLabV3Plus]]
    ) -> Evaluator:
        evaluator = Evaluator(
            {name: self.predictor(network) for name, network in networks.items()},
            self.evaluation_batches(),
            self.spec,
            self.eval_split,
            self.model_dir,
        )
        if evaluator.image_labels and not self.method.trains_classifier:
            raise UserError(
                f"{self.method.__name__} trains no classifier of whole images: leave "
                "out --image_labels (Evaluator.image_labels)."
            )
        return evaluator

    def _training_batches(
        self,
        start_step: int,
        input_context: Optional[tf.distribute.InputContext] = None,
    ) -> tf.data.Dataset:
        unlabeled = None
        if self.method.uses_unlabeled:
            unlabeled = input_pipeline.Split(self.data_dir, self.unlabeled_split)
        return input_pipeline.training_batches(
            input_pipeline.Split(self.data_dir, self.labeled_split),
            unlabeled,
            spec=self.spec,
            crop_size=self.crop_size,
            batch_size=self.batch_size,
            seed=self.seed,
            start_step=start_step,
            padding_value=self._padding_value,
            strong_views=self.method.strong_views,
            input_context=input_context,
        )

    def _distributed_batches(self, start_step: int) -> Any:
        return self.strategy.distribute_datasets_from_function(
            functools.partial(self._training_batches, start_step)
        )
