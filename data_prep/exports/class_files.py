"""Finds files with class names beside masks, as labeling tools write them."""

import dataclasses
import json
import os
from collections.abc import Sequence
from typing import Optional

from data_prep import class_names, colormaps, id_lists, masks
from data_prep.exports import export
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.files import text_files

_LABELMAP = "labelmap.txt"  # CVAT's masks
# CVAT in the layouts of Cityscapes and CamVid.
_COLORS = ("label_colors.txt", "label_color.txt")
_DESCRIPTION = "dataset.json"  # data_prep's and nnU-Net's
_LISTS = (
    "labels.txt",  # labelme
    "_classes.csv",  # Roboflow
    "class_names.txt",  # labelme2voc
    "classes.txt",
    "codes.txt",  # fastai
)
KNOWN = (_LABELMAP, *_COLORS, *_LISTS, _DESCRIPTION)


@dataclasses.dataclass(frozen=True)
class ClassFile:
    """Classes from a file.

    Attributes:
      path: the file.
      names: the classes, class 0 first.
      labels: how the labels in masks become class ids.
    """

    path: str
    names: Sequence[str]
    colors: Sequence[tuple[int, int, int, str]] = ()

    def labels(self, spec: DatasetSpec) -> masks.Labels:
        """How the labels in masks become class ids: by the file's colors, if any."""
        if not self.colors:
            return masks.AS_THEY_ARE
        colors: dict[tuple[int, int, int], int] = {}
        for *color, name in self.colors:
            class_id = export.class_of(name, spec, self.path)
            if colors.setdefault(tuple(color), class_id) != class_id:
                raise UserError(
                    f"{self.path} gives the color {' '.join(map(str, color))} to two "
                    "classes. Give each its own color in the tool, and export again."
                )
        table = tuple((*color, class_id) for color, class_id in colors.items())
        return masks.Labels(colormaps.Colormap(self.path, table))


def find(folder: str, has_names: bool = False) -> Optional[ClassFile]:
    """Finds the class names for masks: in their folder, or else in its parent.

    Args:
      folder: of the masks.
      has_names: the user named the classes, so only the colors of a file matter.

    Raises:
      UserError: there are several files, or the file is broken.
    """
    parent = os.path.dirname(os.path.abspath(folder))
    for place in (folder, os.path.relpath(parent)):
        known = [_LABELMAP, *_COLORS] if has_names else KNOWN
        paths = [os.path.join(place, name) for name in known]
        found = [path for path in paths if os.path.isfile(path)]
        if len(found) > 1:
            raise UserError(
                f"Both {found[0]} and {found[1]} name classes. Choose the right one "
                "with --class_names, or remove the other."
            )
        if found:
            return read(os.path.normpath(found[0]))
    return None


def read(path: str) -> ClassFile:
    """Reads one of the `KNOWN` files.

    Raises:
      UserError: it is something else.
    """
    name = os.path.basename(path)
    if name == _LABELMAP or name in _COLORS:
        return _read_colors(path)
    if name == _DESCRIPTION:
        return ClassFile(path, _read_description(path))
    return ClassFile(path, class_names.read(path))


def _read_colors(path: str) -> ClassFile:
    """Reads CVAT's colors: lines `label:red,green,blue::` or `red green blue label`.

    Raises:
      UserError: a line is something else, or a label is repeated.
    """
    colors = []
    for number, line in text_files.read_lines(path):
        if text_files.is_comment(line):
            continue
        if os.path.basename(path) == _LABELMAP:
            name, _, rest = line.partition(":")
            channels = rest.partition(":")[0].split(",")
        else:
            *channels, name = line.split(maxsplit=3)
        if len(channels) != 3 or not all(map(str.isdecimal, channels)) or not name:
            raise UserError(
                f"{path}, line {number}: '{line}' does not give a label its color, as "
                "CVAT does. Export again, or pass --colormap and --class_names."
            )
        colors.append((*map(int, channels), name))
    names = [name for *_, name in colors]
    id_lists.refuse_repeated(names, path)
    return ClassFile(path, export.background_first(names), tuple(colors))


def _read_description(path: str) -> list[str]:
    """Reads `dataset.json`: `class_names` of data_prep, or `labels` of nnU-Net."""
    try:
        content = json.loads(text_files.read_text(path))
        if "class_names" in content:
            names = content["class_names"]
        else:
            labels = content["labels"]
            if all(str(key).isdecimal() for key in labels):  # nnU-Net's first version.
                labels = {name: int(key) for key, name in labels.items()}
            labels = {k: v for k, v in labels.items() if k != class_names.IGNORE}
            names = sorted(labels, key=labels.__getitem__)
            if sorted(labels.values()) != list(range(len(labels))):
                raise ValueError("the labels are not 0 to N-1")
        if not names or not all(isinstance(name, str) for name in names):
            raise ValueError("the names are not text")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path} does not name classes ({error}). Expected 'class_names', or "
            "'labels' as nnU-Net writes them. Pass a list as --class_names instead."
        ) from error
    return names
