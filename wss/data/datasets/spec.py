"""The description of a data set for training and evaluation."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, Optional

import numpy as np

from wss.files import atomic, stored_files


def pascal_palette(num_classes: int) -> np.ndarray:
    """PASCAL VOC's colors: the bits of the class id, in turn for red, green and blue.

    Returns:
      [num_classes, 3], uint8; class 0 is black.

    >>> print(pascal_palette(3).tolist())
    [[0, 0, 0], [128, 0, 0], [0, 128, 0]]
    """
    ids = np.arange(num_classes)
    palette = np.zeros((num_classes, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            palette[:, channel] |= (
                (ids >> (3 * bit + channel) & 1) << (7 - bit)
            ).astype(np.uint8)
    return palette


@dataclasses.dataclass(frozen=True, eq=False)
class DatasetSpec:
    """The classes of a data set.

    Attributes:
      name: its name in `wss.data.datasets.get`.
      class_names: name of each class by id, the background included.
      palette: [num_classes, 3], uint8, a color for each class; default: PASCAL's.
      ignore_label: label of pixels that training and evaluation ignore.
      split_sizes: published number of images by split; may be empty.
      image_bits: bits of photos with more than 8 bits, also for prediction, see
        `wss.image_io.bit_depth.to_8_bits`; None: there are none.

    >>> roads = DatasetSpec("roads", ("background", "road"))
    >>> print(roads.num_classes, roads.ignore_label)
    2 255
    """

    name: str
    class_names: tuple[str, ...]
    palette: np.ndarray = None
    ignore_label: int = 255
    split_sizes: Mapping[str, int] = dataclasses.field(default_factory=dict)
    image_bits: Optional[int] = None

    def __post_init__(self):
        palette = self.palette
        if palette is None:
            palette = pascal_palette(self.num_classes)
        palette = np.asarray(palette, np.uint8)
        if palette.shape != (self.num_classes, 3):
            raise ValueError(
                f"{self.name}: {self.num_classes} classes, but a palette of shape "
                f"{palette.shape}"
            )
        object.__setattr__(self, "palette", palette)

    def write(self, path: str) -> None:
        """Writes the classes and their colors as a JSON file."""
        atomic.write_text(path, self.text())

    def text(self) -> str:
        """What `write` writes."""
        return json.dumps(self.to_json(), indent=2)

    @classmethod
    def read(cls, path: str) -> "DatasetSpec":
        """Reads what `write` wrote.

        Raises:
          UserError: the file is empty or damaged.
        """
        return stored_files.read_json(
            path,
            cls.from_json,
            "Put back a copy, or move it away: the classes are then those of the data.",
        )

    def to_json(self) -> dict[str, Any]:
        """The classes and their colors, for JSON."""
        return {
            "name": self.name,
            "ignore_label": self.ignore_label,
            **({"image_bits": self.image_bits} if self.image_bits else {}),
            "classes": [
                {"id": number, "name": name, "colour": color}
                for number, (name, color) in enumerate(
                    zip(self.class_names, self.palette.tolist())
                )
            ],
        }

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "DatasetSpec":
        """The inverse of `to_json`.

        Raises:
          KeyError, TypeError, ValueError: `written` is something else.
        """
        classes, bits = written["classes"], written.get("image_bits")
        colors = np.array([one["colour"] for one in classes])
        is_sound = (
            len(classes) > 0
            and [one["id"] for one in classes] == list(range(len(classes)))
            and all(isinstance(one["name"], str) for one in classes)
            and colors.min() >= 0
            and colors.max() <= 255
            and isinstance(written["ignore_label"], int)
            and (bits is None or bits in range(8, 17))
        )
        if not is_sound:
            raise ValueError
        return cls(
            name=written["name"],
            class_names=tuple(one["name"] for one in classes),
            palette=colors,
            ignore_label=written["ignore_label"],
            image_bits=bits,
        )

    @property
    def num_classes(self) -> int:
        """Number of classes, the background included."""
        return len(self.class_names)
