"""Colormaps from colors to classes, of a file or of a known data set."""

import dataclasses
import os

import numpy as np

from data_prep import class_names, relabel
from wss.data import datasets
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.files import text_files

# The publishers' colors for pixels without a class.
_VOID = {
    "voc": ((224, 224, 192),),
    "ade20k": ((0, 0, 0),),
    "camvid": ((0, 0, 0),),
    "cityscapes": (
        *((0, 0, 0), (111, 74, 0), (81, 0, 81), (250, 170, 160), (230, 150, 140)),
        *((180, 165, 180), (150, 100, 100), (150, 120, 90), (0, 0, 90), (0, 0, 110)),
    ),
}


# CamVid's 32 labels by class of the benchmark, and the colors of its masks.
CAMVID_COLORS = {
    "sky": {"Sky": (128, 128, 128)},
    "building": {
        "Bridge": (0, 128, 64),
        "Building": (128, 0, 0),
        "Wall": (64, 192, 0),
        "Tunnel": (64, 0, 64),
        "Archway": (192, 0, 128),
    },
    "pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "road": {
        "Road": (128, 64, 128),
        "LaneMkgsDriv": (128, 0, 192),
        "LaneMkgsNonDriv": (192, 0, 64),
    },
    "pavement": {
        "Sidewalk": (0, 0, 192),
        "ParkingBlock": (64, 192, 128),
        "RoadShoulder": (128, 128, 192),
    },
    "tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "sign": {
        "SignSymbol": (192, 128, 128),
        "Misc_Text": (128, 128, 64),
        "TrafficLight": (0, 64, 64),
    },
    "fence": {"Fence": (64, 64, 128)},
    "car": {
        "Car": (64, 0, 128),
        "SUVPickupTruck": (64, 128, 192),
        "Truck_Bus": (192, 128, 192),
        "Train": (192, 64, 128),
        "OtherMoving": (128, 64, 64),
    },
    "pedestrian": {
        "Pedestrian": (64, 64, 0),
        "Child": (192, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Animal": (64, 128, 64),
    },
    "bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}


@dataclasses.dataclass(frozen=True)
class Colormap:
    """Maps colors to classes.

    Attributes:
      source: its file or data set, for messages.
      colors: (red, green, blue), 0..255, class id or ignore label; each color once.
      ambiguous: colors of several classes, which masks must not have.
    """

    source: str
    colors: tuple[tuple[int, int, int, int], ...]
    ambiguous: tuple[tuple[int, int, int], ...] = ()

    def class_ids(self, pixels: np.ndarray, path: str) -> np.ndarray:
        """Looks up the colors of a mask.

        Args:
          pixels: [height, width, 3], uint8.
          path: the mask's file, for the message.

        Returns:
          [height, width], uint8, class ids or ignore labels.

        Raises:
          UserError: a color has no class; the message gives its position.
        """
        table = np.array(self.colors)
        known = relabel.number(table[:, :3])
        order = np.argsort(known)
        numbers = relabel.number(pixels)
        place = order[
            np.searchsorted(known, numbers, sorter=order).clip(max=len(known) - 1)
        ]
        wrong = known[place] != numbers
        if wrong.any():
            self._refuse(pixels, wrong, path)
        return table[:, 3].astype(np.uint8)[place]

    def _refuse(self, pixels: np.ndarray, wrong: np.ndarray, path: str) -> None:
        row, column = np.argwhere(wrong)[0].tolist()
        color = tuple(pixels[row, column].tolist())
        if color in self.ambiguous:
            raise UserError(
                f"The mask {path} has the color {_text(color)} at column {column}, row "
                f"{row}, which {self.source} gives to several classes. Use masks of "
                "class ids."
            )
        count = int(wrong.sum())
        others = len(np.unique(relabel.number(pixels[wrong]))) - 1
        and_others = f" and {others} more" if others else ""
        raise UserError(
            f"The mask {path} has the color {_text(color)} at column {column}, row "
            f"{row}{and_others}, in {count} pixels in total, which {self.source} does "
            "not name. Pass a file as --colormap with a line such as "
            f"'{_text(color)} {class_names.IGNORE}'; or, if smoothed edges have mixed "
            "colors, save the mask without smoothing."
        )


def load(source: str, spec: DatasetSpec) -> Colormap:
    """Reads a colormap.

    Args:
      source: a text file, or the name of a known data set whose palette is used. Each
        line of a file is `R G B class`: three numbers 0..255 and the name or id of a
        class, or "ignore". Commas may separate them; lines that begin with # are
        comments. A class may have several colors.
      spec: the classes.

    Raises:
      UserError: there is no such file or data set, a line is malformed, or a color has
        two classes.
    """
    if os.path.isfile(source):
        return _read(source, spec)
    known = [name for name in datasets.names() if name != datasets.FOLDER]
    if source not in known:
        raise UserError(
            f"There is no colormap '{source}': it is neither a file nor a known data "
            f"set ({', '.join(known)})."
        )
    return _of_dataset(datasets.get(source), spec)


def _of_dataset(known: DatasetSpec, spec: DatasetSpec) -> Colormap:
    """The palette of a known data set, with its publisher's other colors."""
    colors, ambiguous = {}, []
    for class_id, color in enumerate(map(tuple, known.palette.tolist())):
        if color in colors:
            ambiguous.append(color)
        colors[color] = class_id
    for color in ambiguous:
        colors.pop(color, None)
    for color in _VOID.get(known.name, ()):
        colors.setdefault(color, spec.ignore_label)
    if known.name == "camvid":
        for class_id, name in enumerate(known.class_names):
            for color in CAMVID_COLORS[name].values():
                colors.setdefault(color, class_id)
    return Colormap(
        f"the colormap '{known.name}'",
        tuple((*color, class_id) for color, class_id in colors.items()),
        tuple(ambiguous),
    )


def _read(path: str, spec: DatasetSpec) -> Colormap:
    colors = {}
    for number, line in text_files.read_lines(path):
        if text_files.is_comment(line):
            continue
        where = f"{path}, line {number}"
        fields = line.replace(",", " ").split(maxsplit=3)
        if len(fields) < 4 or not all(_is_channel(field) for field in fields[:3]):
            raise UserError(
                f"{where}: '{line}' is not 'R G B class', three numbers 0 to 255 and "
                "the name or id of a class."
            )
        color = tuple(map(int, fields[:3]))
        class_id = class_names.class_of(fields[3], spec, where)
        if colors.setdefault(color, class_id) != class_id:
            raise UserError(
                f"{where}: an earlier line gives {_text(color)} another class."
            )
    if not colors:
        raise UserError(
            f"The colormap {path} has no colors. Write one per line: R G B class."
        )
    return Colormap(path, tuple((*color, i) for color, i in colors.items()))


def _is_channel(field: str) -> bool:
    return field.isdecimal() and int(field) <= 255


def _text(color: tuple[int, int, int]) -> str:
    return "{} {} {}".format(*color)
