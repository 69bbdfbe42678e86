"""Converts a data set of TensorFlow Datasets that has images and masks.

    python -m data_prep.tfds --builder=oxford_iiit_pet:4.*.* --builder_split=train \\
        --map 1=1 2=0 3=ignore --num_classes=2 --split=train --output_dir=data/pets
    python -m data_prep.tfds --builder=cityscapes/semantic_segmentation \\
        --builder_split=validation[:100] --image=image_left --mask=segmentation_label \\
        --num_classes=34 --split=val --output_dir=data/cityscapes34

--builder is a name in the catalog, https://www.tensorflow.org/datasets/catalog, or the
folder of a prepared data set; data sets of the catalog are downloaded and prepared.
--image and --mask name features; if only one fits, it is found automatically. Class
names come from --class_names or from the mask's feature. Labels must be class ids, 0 to
N-1, or the ignore label; --offset and --map convert others. To train on the result, use
the data set `folder`.

Every worker loads TensorFlow: if memory is short, use fewer --workers.
"""

import argparse
import contextlib
import functools
import os
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple, Optional, Union

import numpy as np

from data_prep import class_names, cli, images, masks, relabel, survey, tfds_reader
from data_prep.tfds_reader import Feature, Source
from data_prep.writing import examples, fingerprints
from data_prep.writing.examples import Example
from wss.cli import number
from wss.data.datasets.spec import DatasetSpec
from wss.errors import UserError, first_line
from wss.settings import Range

# Features that may be an image's name; the first that exists is used.
_NAMES = ("file_name", "filename", "image/filename", "image_id")
_CHECKED_BINARIES = 32
_ADVICE = (
    "Raise the number of classes, or map the label: --map {value}=CLASS or "
    "--map {value}=ignore"
)


class Item(NamedTuple):
    """An example: its index in a split of the builder."""

    name: str
    part: str
    index: int


def read(
    item: Item, source: Source, spec: DatasetSpec, labels: masks.Labels
) -> Example:
    """Reads an example.

    Args:
      item: the example.
      source: its data set.
      spec: the classes.
      labels: how the labels in the mask become class ids.

    Raises:
      UserError: its image or mask is broken.
    """
    where = f"{item.part}[{item.index}] of {source.folder}"
    features = tfds_reader.reader_of(source).example(item.part, item.index)
    name = item.name
    if source.name:
        text = features[source.name]
        text = text.decode() if isinstance(text, bytes) else str(text)
        name = os.path.splitext(text)[0] or name
    mask = None
    if source.mask:
        values = _values(features[source.mask], where)
        classes = (spec.num_classes, spec.ignore_label)
        mask = masks.to_class_ids(values, where, *classes, labels, _ADVICE)
    image = features[source.image]
    if not isinstance(image, bytes):
        image = _encode(image, where)
    return images.read_example(name, where, mask, encoded=image)


def _values(value: Union[bytes, np.ndarray], where: str) -> np.ndarray:
    """A mask, [height, width], integers, from the value of its feature."""
    if isinstance(value, bytes):
        return masks.read_values(where, encoded=value)
    if value.ndim == 3 and value.shape[-1] == 1:
        value = value[..., 0]
    if value.ndim != 2 or value.dtype.kind not in "iu":
        raise UserError(
            f"The mask {where} has shape {value.shape} and type {value.dtype}, not one "
            "integer per pixel. Choose another feature as --mask."
        )
    return value


def _encode(image: np.ndarray, where: str) -> bytes:
    """Encodes an image, given as numbers, as PNG."""
    if image.ndim != 3 or image.shape[-1] != 3 or image.dtype != np.uint8:
        raise UserError(
            f"The image {where} has shape {image.shape} and type {image.dtype}, not "
            "three channels of uint8. Choose another feature as --image."
        )
    return examples.encode_png(image)


def prepare(name: str, tfds_dir: Optional[str]) -> Any:
    """Finds a builder, and downloads and prepares its data if necessary.

    Args:
      name: in the catalog, with optional configuration and version; or a folder.
      tfds_dir: folder of prepared data sets; None: TensorFlow Datasets' default.

    Raises:
      UserError: there is no such data set, or it cannot be prepared.
    """
    tfds = tfds_reader.load()
    try:
        if os.path.exists(os.path.join(name, "dataset_info.json")):
            return tfds.builder_from_directory(name)
        builder = tfds.builder(name, data_dir=tfds_dir)
    except Exception as error:  # Of many types.
        raise UserError(
            f"TensorFlow Datasets finds no data set '{name}' "
            f"({first_line(error)}). Give a name of "
            "https://www.tensorflow.org/datasets/catalog, such as "
            "oxford_iiit_pet:4.*.*, or the folder of a prepared data set."
        ) from error
    if not builder.info.splits:
        try:
            builder.download_and_prepare()
        except Exception as error:  # From the network, the disk, the builder, ...
            raise UserError(
                f"TensorFlow Datasets cannot prepare '{name}': "
                f"{' '.join(str(error).split()) or type(error).__name__}"
            ) from error
    return builder


def find_source(
    builder: Any, image: Optional[str], mask: Optional[str], unlabeled: bool
) -> Source:
    """Finds the features of image, mask and name.

    Args:
      builder: of a prepared data set.
      image: the image's feature; None: the only one that fits.
      mask: the same for the mask.
      unlabeled: read no masks.

    Raises:
      UserError: there is no such feature, or several fit.
    """
    features = tfds_reader.features_of(builder)
    images_of = [name for name, feature in features.items() if feature.fits_image()]
    masks_of = [name for name, feature in features.items() if feature.fits_mask()]
    labeled = tfds_reader.load().features.LabeledImage
    sure = [name for name in masks_of if isinstance(features[name].connector, labeled)]
    return Source(
        folder=str(builder.data_path),
        image=_choose(features, "image", image, images_of),
        mask=None if unlabeled else _choose(features, "mask", mask, sure or masks_of),
        name=next(filter(features.get, _NAMES), None),
    )


def _choose(
    features: dict[str, Feature], kind: str, name: Optional[str], fitting: list[str]
) -> str:
    """The feature that the user names, or the only one that fits."""
    if name in features:
        return name
    if name is None and len(fitting) == 1:
        return fitting[0]
    listed = ", ".join(
        f"{name} ({type(feature.connector).__name__}, {feature.connector.shape})"
        for name, feature in sorted(features.items())
    )
    problem = (
        f"has no feature '{name}'"
        if name
        else f"has {len(fitting)} features that could be the {kind}"
    )
    raise UserError(f"The data set {problem}. Choose one with --{kind}: {listed}.")


def find_items(builder: Any, builder_split: str) -> list[Item]:
    """The examples of a split, in the order of its files.

    Args:
      builder: of a prepared data set.
      builder_split: such as "train", "train[:10%]" or "train+test".

    Raises:
      UserError: there is no such split.
    """
    infos = builder.info.splits
    try:
        instruction = tfds_reader.load().core.ReadInstruction.from_spec(builder_split)
        parts = [
            (part.splitname, slice(part.from_, part.to))
            for part in instruction.to_absolute(infos)
        ]
        return [
            Item(f"{name}-{index:08d}", name, index)
            for name, part in parts
            for index in range(*part.indices(infos[name].num_examples))
        ]
    except (ValueError, KeyError, AssertionError) as error:
        raise UserError(
            f"There is no split '{builder_split}' in the data set "
            f"({first_line(error)}). It has: {', '.join(infos)}."
        ) from error


def _content(builder: Any, builder_split: str) -> str:
    """Digest of a split's files, to detect that they were prepared again."""
    paths = map(str, builder.info.splits[builder_split].filepaths)
    return fingerprints.joined(map(fingerprints.of_file, dict.fromkeys(paths)))


def check_binaries(
    items: Sequence[Item], source: Source, spec: DatasetSpec, labels: masks.Labels
) -> None:
    """Applies `survey.refuse_binaries` to the first masks.

    Raises:
      UserError: they are 0 and 255.
    """

    def values() -> Iterator[np.ndarray]:
        reader = tfds_reader.reader_of(source)
        for item in items[:_CHECKED_BINARIES]:
            with contextlib.suppress(UserError):  # Writing the records reports it.
                value = reader.example(item.part, item.index)[source.mask]
                yield np.unique(_values(value, item.name))

    if source.mask:
        where, advice = f"of '{source.mask}'", "--map 255=1"
        survey.refuse_binaries(values(), where, spec.ignore_label, labels, advice)


def make_spec(flags: argparse.Namespace, names: Optional[list[str]]) -> DatasetSpec:
    """Describes the classes.

    Args:
      flags: the command line, which may name the classes.
      names: class names of the mask's feature, if it has any.

    Raises:
      UserError: the classes are not named, or too many or too few.
    """
    given = (flags.num_classes, flags.class_names)
    if given != (None, None):
        return class_names.make_spec(flags.output_dir, *given, flags.ignore_label)
    if names is None:
        raise UserError(
            "The data set does not name the classes of its masks. Add "
            "--num_classes=N, or --class_names with a list of their names."
        )
    return class_names.describe(
        flags.output_dir, names[-flags.offset :], flags.ignore_label
    )


def make_labels(flags: argparse.Namespace, spec: DatasetSpec) -> masks.Labels:
    """Converts --offset and --map.

    Raises:
      UserError: a mistake in --map.
    """
    first = -flags.offset  # Labels below become the ignore label.
    changes = [(0, first - 1, spec.ignore_label)] if first else []
    changes += [(first + i, first + i, i) for i in range(spec.num_classes) if first]
    changes += relabel.parse_changes(flags.map, spec, changes)
    return masks.Labels(changes=tuple(changes))


def _add_flags(arguments: argparse.ArgumentParser) -> None:
    add = arguments.add_argument
    add("--builder", required=True, metavar="NAME", help="data set or its folder")
    add("--builder_split", required=True, metavar="SPLIT", help="such as train[:10%%]")
    add("--image", metavar="FEATURE", help="feature with the image")
    add("--mask", metavar="FEATURE", help="feature with the mask")
    add("--unlabeled", action="store_true", help="write no masks")
    add("--split", metavar="NAME", help="split to write (default: --builder_split)")
    add("--tfds_dir", metavar="DIR", help="(default: ~/tensorflow_datasets)")
    cli.add_class_flags(arguments)
    add(
        "--offset",
        type=number(Annotated[int, Range(low=-255, high=0)]),
        default=0,
        metavar="N",
        help="-1: labels 1, 2, ... become the classes 0, 1, ..., and 0 is ignored",
    )


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    _add_flags(arguments)
    cli.add_output(arguments, required=True, help="where to write")
    flags = arguments.parse_args()
    builder = prepare(flags.builder, flags.tfds_dir)
    source = find_source(builder, flags.image, flags.mask, flags.unlabeled)
    items = find_items(builder, flags.builder_split)
    mask = tfds_reader.features_of(builder).get(source.mask)
    spec = make_spec(flags, getattr(mask and mask.connector, "names", None))
    labels = make_labels(flags, spec)
    check_binaries(items, source, spec, labels)
    cli.writer(flags).write_split(
        flags.split or flags.builder_split,
        spec,
        items,
        functools.partial(read, source=source, spec=spec, labels=labels),
        options={
            "source": f"TensorFlow Datasets {builder.info.full_name}",
            "image": source.image,
            "mask": source.mask,
            "labels": labels.changes,
            "content": _content(builder, flags.builder_split),
        },
    )


if __name__ == "__main__":
    cli.run(main)
