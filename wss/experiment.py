"""What a run is to do: data, network, method and schedule, described and checked.

An `Experiment` only describes. What is built from it (the network, the method, the
batches) comes from the functions below it; `wss.training.loop` trains it.
"""

import dataclasses
import functools
from typing import Annotated, List, Literal, Optional, Type

import gin
import tensorflow as tf

from wss import config
from wss.data import datasets, input_pipeline
from wss.errors import UserError, first_line
from wss.methods.base import Method
from wss.methods.pseudoseg import PseudoSeg
from wss.models.backbone import check_multi_grid
from wss.models.deeplab import DeepLabV3Plus, mean_pixel
from wss.models.layers import PRECISIONS, precision_policy
from wss.ops import losses
from wss.settings import Count, Natural, Range, Size


@gin.configurable(denylist=["model_dir", "strategy", "spec"])
@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """What a run trains and evaluates, and where it writes.

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
      accumulation_steps: micro-batches into which each replica divides its images of
        a step, so that a large batch fits on a small device.
      precision: "float32", "mixed_bfloat16" or "mixed_float16".
      train_steps: number of steps.
      init_checkpoint: weights to start from: a checkpoint of TF1 or ours, or its
        folder; "imagenet" for an installed package's; a .pth, .safetensors or .h5 file;
        hf://<owner>/<repository>/<file>.
      initialize_last_layer: take the layers that give the classes' logits from it too.
      seed: decides every random draw.
      deterministic: choose kernels that give the same numbers in every run, see
        `distribution.configure_determinism`.
      spec: the classes; by default those of the data set.
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
            self._settle(spec=datasets.get(self.dataset, self.data_dir))
        if self.spec.num_classes < 2:
            raise UserError(
                f"The data set {self.spec.name} has one class only, "
                f"{self.spec.class_names[0]}: there is nothing to tell apart. Write it "
                "again with two classes or more."
            )
        mean_pixel(self.model_variant)  # Refuses an unknown backbone.
        network = gin.get_bindings(DeepLabV3Plus)
        check_multi_grid(self.model_variant, network.get("multi_grid"))
        stride = self.output_stride
        self._settle(
            crop_size=config.crop_size("CROP_SIZE", self.crop_size, stride),
            eval_crop_size=config.crop_size(
                "EVAL_CROP_SIZE", self.eval_crop_size, stride
            ),
        )

    def _settle(self, **values: object) -> None:
        """Fills in what follows from the rest; afterwards nothing changes."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def check_training(self) -> None:
        """Finds what can be wrong with a training, without building a network.

        Raises:
          UserError: missing shards, a labeled split without masks, a batch that does
            not divide over the replicas, an unknown augmentation, class weights of
            another number of classes.
        """
        self._check_batch_size()
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
        self._check_loss()
        training_batches(self, start_step=0)  # Builds the graph, reads nothing.

    def check_evaluation(self) -> None:
        """Finds images to evaluate on that are missing or have no masks.

        Raises:
          UserError: there are such.
        """
        self.count_images("EVAL_SPLIT", self.eval_split, needs_masks=True)

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

    @property
    def images_per_step(self) -> int:
        """Images that all replicas see in a step."""
        return self.batch_size * (1 + self.method.uses_unlabeled)

    def _check_batch_size(self) -> None:
        replicas = self.strategy.num_replicas_in_sync
        parts = replicas * self.accumulation_steps
        if self.batch_size % parts:
            micro_batches = ""
            if self.accumulation_steps > 1:
                micro_batches = f" and ACCUMULATION_STEPS = {self.accumulation_steps}"
            raise UserError(
                f"BATCH_SIZE = {self.batch_size} does not divide over {replicas} "
                f"replicas{micro_batches}. Choose a multiple of {parts}."
            )

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


def build_network(experiment: Experiment) -> DeepLabV3Plus:
    """The network with its initial weights."""
    tf.keras.utils.set_random_seed(experiment.seed)  # Of the initial weights.
    with experiment.strategy.scope(), precision_policy(experiment.precision):
        return DeepLabV3Plus(
            experiment.spec.num_classes,
            variant=experiment.model_variant,
            output_stride=experiment.output_stride,
        )


def build_method(experiment: Experiment) -> Method:
    """The network and the method, with all their variables."""
    model = build_network(experiment)
    with experiment.strategy.scope(), precision_policy(experiment.precision):
        method = experiment.method(model, experiment.spec.ignore_label)
        method.build()
    return method


def training_batches(
    experiment: Experiment,
    start_step: int,
    input_context: Optional[tf.distribute.InputContext] = None,
) -> tf.data.Dataset:
    """The batches from a step on, as `input_pipeline.training_batches` gives them.

    Args:
      experiment: names the splits.
      start_step: the first batch is that of this step.
      input_context: which replicas read them; None: all images are for one.
    """
    unlabeled = None
    if experiment.method.uses_unlabeled:
        unlabeled = input_pipeline.Split(
            experiment.data_dir, experiment.unlabeled_split
        )
    return input_pipeline.training_batches(
        input_pipeline.Split(experiment.data_dir, experiment.labeled_split),
        unlabeled,
        spec=experiment.spec,
        crop_size=experiment.crop_size,
        batch_size=experiment.batch_size,
        seed=experiment.seed,
        start_step=start_step,
        padding_value=mean_pixel(experiment.model_variant),
        strong_views=experiment.method.strong_views,
        input_context=input_context,
    )


def distributed_batches(
    experiment: Experiment, start_step: int
) -> tf.distribute.DistributedDataset:
    """As `training_batches`, each replica's part on its device."""
    return experiment.strategy.distribute_datasets_from_function(
        functools.partial(training_batches, experiment, start_step)
    )


def evaluation_batches(experiment: Experiment) -> tf.data.Dataset:
    """The images to evaluate on, as `input_pipeline.evaluation_batches` gives them."""
    return input_pipeline.evaluation_batches(
        experiment.data_dir, experiment.eval_split, spec=experiment.spec
    )
