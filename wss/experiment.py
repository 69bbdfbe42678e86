"""The description of a run: data, network, method and schedule, with their checks.

An `Experiment` is only a description. The functions below it build the network, the
method and the batches from it, and `wss.training.loop` trains it.
"""

import dataclasses
import functools
from typing import Annotated, Literal, Optional

import gin
import tensorflow as tf

from wss.data import datasets, input_pipeline
from wss.errors import UserError, first_line
from wss.methods.base import Method
from wss.methods.pseudoseg import PseudoSeg
from wss.models import networks
from wss.models.backbone import mean_pixel
from wss.models.layers import PRECISIONS, precision_policy
from wss.models.network import SegmentationNetwork
from wss.ops import losses
from wss.settings import Count, Natural, Range, Size, crop_sizes


@gin.configurable(denylist=["model_dir", "strategy", "spec"])
@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """What a run trains and evaluates, and where it writes.

    Creating one looks up the names in the configuration, and raises a UserError for an
    unknown data set or backbone, or for an invalid crop. No network is built.

    Attributes:
      model_dir: folder of the run, for everything that it writes.
      strategy: the devices to train on.
      dataset: name of the data set, see `wss.data.datasets`.
      data_dir: folder with its shards.
      labeled_split: the images to learn from with their masks.
      unlabeled_split: the images to learn from without masks; may be several splits
        joined by "+".
      eval_split: the images to evaluate on.
      method: the learning method.
      model_variant: the backbone.
      output_stride: image pixels per pixel of the backbone's features: 8, 16 or 32.
        A vision transformer has its patch size instead.
      crop_size: side, or (height, width), of the training crops, in pixels.
      eval_crop_size: side, or (height, width), of the network's input in evaluation:
        images are padded or shrunk to it, predicted in windows of it, or unpadded with
        at most its number of pixels, see `Predictor.window`.
      batch_size: number of labeled images in a step, over all replicas; there are as
        many unlabeled ones.
      accumulation_steps: number of micro-batches into which each replica divides its
        images of a step, so that a large batch fits on a small device.
      precision: "float32", "mixed_bfloat16" or "mixed_float16".
      train_steps: number of steps.
      init_checkpoint: initial weights: a checkpoint of TF1 or of wss, or its folder;
        "imagenet" for those of an installed package; a .pth, .safetensors or .h5 file;
        hf://<owner>/<repository>/<file>.
      initialize_last_layer: also load the layers that compute the logits from it.
      seed: seed of all random numbers.
      deterministic: use kernels that compute the same numbers in every run, see
        `distribution.configure_determinism`.
      tensor_float_32: round the inputs of float32 convolutions and matrix products on
        a GPU to 10 bits after the point, as TensorFlow does by default.
      machine: the kind of machine that the chosen settings fit, see
        `wss.training.fitting`; 'auto': no settings were chosen.
      spec: the classes (default: those of the data set).
    """

    model_dir: str
    strategy: tf.distribute.Strategy
    dataset: str
    data_dir: str
    labeled_split: str
    unlabeled_split: Optional[str] = None
    eval_split: str = "val"
    method: type[Method] = PseudoSeg
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
    tensor_float_32: bool = True
    machine: Literal["cpu", "small_gpu", "large_gpu", "auto"] = "auto"
    spec: Optional[datasets.DatasetSpec] = None

    def __post_init__(self):
        if self.spec is None:
            self._set(spec=datasets.get(self.dataset, self.data_dir))
        if self.spec.num_classes < 2:
            raise UserError(
                f"The data set {self.spec.name} has one class only, "
                f"{self.spec.class_names[0]}, but segmentation needs at least two. "
                "Write it again with more classes."
            )
        networks.check(self.model_variant)
        grid = networks.grid(self.model_variant, self.output_stride)
        crop, evaluated = crop_sizes(
            grid, {"CROP_SIZE": self.crop_size, "EVAL_CROP_SIZE": self.eval_crop_size}
        )
        self._set(crop_size=crop, eval_crop_size=evaluated)

    def _set(self, **values: object) -> None:
        """Sets fields that follow from others, despite `frozen`."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def check_training(self) -> None:
        """Checks everything that training needs, without building a network.

        Raises:
          UserError: shards are missing, the labeled split lacks masks, the batch does
            not divide over the replicas, an augmentation is unknown, or the number of
            class weights is wrong.
        """
        self._check_batch_size()
        self.count_images("LABELED_SPLIT", self.labeled_split, needs_masks=True)
        if self.method.uses_unlabeled:
            if self.unlabeled_split is None:
                raise UserError(
                    f"{self.method.__name__} learns from unlabeled images, but their "
                    "split has no name. Set UNLABELED_SPLIT."
                )
            self.count_images(
                "UNLABELED_SPLIT", self.unlabeled_split, needs_masks=False
            )
        self._check_loss()
        training_batches(self, start_step=0)  # Builds the graph, reads nothing.

    def check_evaluation(self) -> None:
        """Checks the images to evaluate on.

        Raises:
          UserError: shards or masks are missing.
        """
        self.count_images("EVAL_SPLIT", self.eval_split, needs_masks=True)

    def count_images(self, macro: str, split: str, needs_masks: bool) -> int:
        """Counts the images of a split.

        Args:
          macro: the macro that names the split, for messages.
          split: name of the split, or several joined by "+".
          needs_masks: whether all images must have masks.

        Raises:
          UserError: the split does not exist, or masks are missing.
        """
        images = input_pipeline.count_examples(self.data_dir, split, self.dataset)
        manifest = datasets.manifest.read(self.data_dir)
        for part in split.split("+") if manifest and needs_masks else ():
            written = manifest["splits"].get(part)
            if not written:
                continue
            count = written["examples"]
            with_masks = written.get("with_masks", count)  # Other tools omit it.
            if with_masks < count:
                raise UserError(
                    f"{macro} = {split!r}: only {with_masks} of the {count} images of "
                    f"{part} have masks. Choose a split whose images all have masks."
                )
        return images

    def splits(self) -> list[str]:
        """Names of the splits that a run reads."""
        unlabeled = self.unlabeled_split if self.method.uses_unlabeled else None
        splits = [self.labeled_split, unlabeled, self.eval_split]
        return [split for split in splits if split]

    @property
    def images_per_step(self) -> int:
        """Number of images in a step, over all replicas."""
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
        """Calls the supervised loss, which raises an error if settings do not fit."""
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
                "Method.supervised_loss is not a loss of labels "
                f"({first_line(error)}). Choose @softmax_cross_entropy or "
                "@ohem_cross_entropy."
            ) from error


def build_network(experiment: Experiment) -> SegmentationNetwork:
    """Builds the network with its initial weights."""
    tf.keras.utils.set_random_seed(experiment.seed)  # For the initial weights.
    with experiment.strategy.scope(), precision_policy(experiment.precision):
        return networks.create(
            experiment.spec.num_classes,
            experiment.model_variant,
            experiment.output_stride,
        )


def build_method(experiment: Experiment) -> Method:
    """Builds the network and the method, with all their variables."""
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
    """The batches from a step on, see `input_pipeline.training_batches`.

    Args:
      experiment: the run.
      start_step: the step of the first batch.
      input_context: the replicas that read the batches; None: one reads all.
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
    """Like `training_batches`, with the part of each replica on its device."""
    return experiment.strategy.distribute_datasets_from_function(
        functools.partial(training_batches, experiment, start_step)
    )


def evaluation_batches(experiment: Experiment) -> tf.data.Dataset:
    """The images to evaluate on, see `input_pipeline.evaluation_batches`."""
    return input_pipeline.evaluation_batches(
        experiment.data_dir, experiment.eval_split, spec=experiment.spec
    )
