"""What the modules of this package find: photos, their labels, the classes."""

import dataclasses
import os
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple, Optional

from data_prep import class_names, pairing
from data_prep.masks import AS_THEY_ARE, Labels
from data_prep.pairing import MaskSource
from data_prep.photos import Draw
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError
from wss.image_io.patterns import ANY, Pattern

BACKGROUND = "background"
# The split of each part, by the name of its folder (Roboflow) or file (CVAT).
PARTS = {"valid": "val", "val": "val", "test": "test"}
_ANNOTATIONS = (".json", ".xml", ".csv", ".txt")


class Place(NamedTuple):
    """Where to look, from the command line.

    Attributes:
      images: folder of the photos.
      masks: folder or file of the masks; the photos' folder if the user named none.
      image_pattern, mask_pattern: of their names.
      ids, exclude: lists of photos to take, and not to take; None: all.
      has_names: whether the user named the classes.
    """

    images: str
    masks: str
    image_pattern: Pattern = ANY
    mask_pattern: Pattern = ANY
    ids: Optional[str] = None
    exclude: Optional[str] = None
    has_names: bool = False

    @property
    def is_one_folder(self) -> bool:
        """Whether photos and masks are in one folder."""
        return os.path.realpath(self.images) == os.path.realpath(self.masks)

    def photos(self, not_pattern: Optional[Pattern] = None) -> pairing.Images:
        """The photos; files that `not_pattern` matches are no photos.

        Neither are files in the masks' folder, if that is inside the photos' folder.
        """
        found = pairing.choose_images(
            self.images,
            self.image_pattern,
            self.ids,
            self.exclude,
            not_pattern,
            _ANNOTATIONS if self.is_one_folder else (),
        )
        images, masks = map(os.path.realpath, (self.images, self.masks))
        if not_pattern or not masks.startswith(os.path.join(images, "")):
            return found
        paths = {
            name: path
            for name, path in found.known.paths.items()
            if not os.path.realpath(path).startswith(os.path.join(masks, ""))
        }
        names = [name for name in found.names if name in paths]
        return pairing.Images(found.known._replace(paths=paths), names)


def _as_they_are(spec: DatasetSpec) -> Labels:
    return AS_THEY_ARE


@dataclasses.dataclass(frozen=True)
class Export:
    """Photos, and what a labeling tool says about them.

    Attributes:
      found: what was recognized, in a few words.
      photos: the photos.
      masks: {id: mask file, or what `draw` draws the mask from}.
      class_names: the classes, class 0 first; None: the values in the masks.
      names_from: where the class names are from, for messages.
      labels: how the labels in mask files become class ids.
      draw: draws a mask; None: `masks` has the files.
      held_out: {split: ids} of photos that the export itself sets apart.
    """

    found: str
    photos: pairing.Images
    masks: Mapping[str, MaskSource]
    class_names: Optional[Sequence[str]] = None
    names_from: str = ""
    labels: Callable[[DatasetSpec], Labels] = _as_they_are
    draw: Optional[Draw] = None
    held_out: Mapping[str, Collection[str]] = dataclasses.field(default_factory=dict)


def label_of(value: object, where: str) -> str:
    """The label of a shape.

    Raises:
      UserError: it has none.
    """
    if value is None or not str(value).strip():
        raise UserError(
            f"{where} has a shape without label. Give it one, or remove it."
        )
    return unicodedata.normalize("NFC", str(value).strip())


def class_of(name: str, spec: DatasetSpec, where: str) -> int:
    """The class id, or the ignore label, of a name in an export.

    Raises:
      UserError: the data set has no such class.
    """
    if name.strip().lower() in class_names.IGNORED:
        return spec.ignore_label
    return class_names.class_of(name, spec, where)


def background_first(names: Sequence[str]) -> list[str]:
    """The classes of names in an export: without repetitions, the background first.

    Names for ignored pixels are left out.
    """
    names = [unicodedata.normalize("NFC", name.strip()) for name in names]
    found = dict.fromkeys(
        name for name in names if name.lower() not in class_names.IGNORED
    )
    backgrounds = [name for name in found if name.strip("_").lower() == BACKGROUND]
    first = backgrounds[0] if backgrounds else BACKGROUND
    return [first, *(name for name in found if name not in backgrounds)]
