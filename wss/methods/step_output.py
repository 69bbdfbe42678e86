"""What a step of a learning method gives: losses, and what is worth looking at."""

import dataclasses
import inspect
from typing import Dict, Iterator, Union

import tensorflow as tf

from wss.ops.distributed import Ratio


@dataclasses.dataclass(frozen=True)
class Panel:
    """Images for the summaries.

    Attributes:
      kind: "rgb" for [images, height, width, 3] in 0..255, "label" for class ids
        [images, height, width], "mask" for [images, height, width] in 0..1.
      tensor: the images.
    """

    kind: str
    tensor: tf.Tensor


@dataclasses.dataclass
class StepOutput:
    """What one step of a method gives.

    Attributes:
      losses: scalars by name, float32, of this part of the batch; training minimises
        their sum (plus weight decay), averaged over the parts.
      monitors: scalars by name, worth a curve: means over this part, averaged as well,
        or `Ratio`s, whose sums are those of all parts.
      histograms: tensors by name, worth a distribution.
      panels: images by name.
      kept: tensors by name, of static shapes, for `Method.after_update`.
    """

    losses: Dict[str, tf.Tensor]
    monitors: Dict[str, Union[tf.Tensor, Ratio]] = dataclasses.field(
        default_factory=dict
    )
    histograms: Dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)
    panels: Dict[str, Panel] = dataclasses.field(default_factory=dict)
    kept: Dict[str, tf.Tensor] = dataclasses.field(default_factory=dict)

    def add(self, other: "StepOutput") -> None:
        """Takes all that another output has.

        Raises:
          ValueError: both have a loss of the same name.
        """
        for name in self.losses.keys() & other.losses.keys():
            raise ValueError(f"A step gave two losses called '{name}'.")
        for field in dataclasses.fields(self):
            getattr(self, field.name).update(getattr(other, field.name))


Outputs = Union[StepOutput, Iterator[StepOutput]]


def outputs(returned: Outputs) -> Iterator[StepOutput]:
    """What `Method.step` returned, as the outputs that it gives one by one."""
    return returned if inspect.isgenerator(returned) else iter([returned])
