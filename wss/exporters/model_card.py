"""The model card of an export: what the network is, how good it is, how to use it.

Every statement is from the folder of the run, from its data if they are there, or from
the author. What none of them knows is left out.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import os
from collections.abc import Iterator, Mapping
from typing import Any, Optional

import jinja2

from wss.data import tfrecords
from wss.errors import UserError
from wss.evaluation.segmenter import Segmenter
from wss.experiment import Experiment
from wss.exporters import checksums
from wss.files import text_files
from wss.files.outputs import OutputFolder
from wss.models import backbone, pretrained
from wss.run_folder import data_record, description, results
from wss.training import versions

CARD_FILE = "model_card.md"
_LICENSE_FILE = "LICENSE"
# What `files` may write, without the files of the author.
FILES = (CARD_FILE, checksums.SUMS_FILE, results.METRICS_FILE)


@dataclasses.dataclass(frozen=True)
class Author:
    """What only the author of a model knows; None: not stated.

    Attributes:
      name: of the author.
      license: name of the model's license.
      notes: Markdown.
      files: texts to write beside the model, by the name of the file.
    """

    name: Optional[str] = None
    license: Optional[str] = None
    notes: Optional[str] = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @classmethod
    def read(
        cls, name: Optional[str], license: Optional[str], notes: Optional[str]
    ) -> "Author":
        """Reads what the flags of `wss.export` name.

        Args:
          name: of the author.
          license: its name, or a file with its text.
          notes: a file.

        Raises:
          UserError: a file is missing or not text.
        """
        files = {}
        if license and os.path.isfile(license):
            files[_LICENSE_FILE] = text_files.read_text(license)
            license = f"see [{_LICENSE_FILE}]({_LICENSE_FILE})"
        text = text_files.read_text(notes) if notes else None
        return cls(name, license, text, files)


@dataclasses.dataclass(frozen=True)
class Export:
    """What a card describes.

    Attributes:
      experiment: the run.
      model: its network.
      step: training step of the weights.
      checkpoint: the checkpoint that was asked for: "latest", "best" or a path.
      formats: name of each exported format, with its file or folder.
      author: what the author states.
    """

    experiment: Experiment
    model: Segmenter
    step: int
    checkpoint: str
    formats: Mapping[str, str]
    author: Author


def files(export: Export, folder: OutputFolder) -> dict[str, str]:
    """The files that describe exported ones, by name.

    Args:
      export: what they describe.
      folder: the folder with the exported files.
    """
    metrics = metrics_of(export)
    written = dict(export.author.files)
    if metrics:
        written[results.METRICS_FILE] = json.dumps(metrics, indent=2) + "\n"
    exported = [name for file in export.formats.values() for name in folder.below(file)]
    sums = checksums.of(folder.path, [*exported, "classes.json"])
    written[checksums.SUMS_FILE] = sums
    written[CARD_FILE] = render(export, sums)
    return written


def metrics_of(export: Export) -> Optional[dict[str, Any]]:
    """The content of metrics.json, if it is about the exported weights."""
    folder = export.experiment.model_dir
    if not _is_in(export.checkpoint, folder):
        return None
    metrics = results.read_metrics(folder)
    if not metrics or metrics.get("step") != export.step:
        return None
    # An evaluation of another run's checkpoint may have had the same step.
    if not _is_in(metrics.get("checkpoint") or "", folder):
        return None
    return {name: value for name, value in metrics.items() if name != "checkpoint"}


def render(export: Export, sums: str) -> str:
    """The card as Markdown, with the checksums `sums`."""
    experiment, model = export.experiment, export.model
    spec = model.spec
    metrics = metrics_of(export) or {}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("wss.exporters", ""),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["percent"] = _percent
    class_iou = metrics.get("class_iou", {})
    return environment.get_template("model_card.md.jinja").render(
        title=_cell(f"{spec.name}: {experiment.method.__name__}"),
        summary=(
            f"A network for semantic segmentation: it gives each pixel of a photo one "
            f"of {spec.num_classes} classes."
        ),
        facts=_rows(_facts(export)),
        scores=_scores(export, metrics),
        class_split=metrics.get("split"),
        class_iou=[class_iou.get(name) for name in spec.class_names if class_iou],
        class_names=[_cell(name) for name in spec.class_names],
        training=_rows(_training(experiment)),
        formats=export.formats,
        crop=model.predictor.crop_size,
        padding=", ".join(f"{value:g}" for value in model.predictor.padding_value),
        limits=list(_limits(export, metrics)),
        notes=(export.author.notes or "").strip(),
        sums=sums.rstrip(),
    )


def unknown(export: Export) -> list[str]:
    """What the card does not say, each with what would make it known."""
    experiment = export.experiment
    phrases = []
    if not metrics_of(export):
        which = (
            ""
            if export.checkpoint == "latest"
            else f" --checkpoint={export.checkpoint}"
        )
        phrases.append(
            "the IoU of each class (first run python -m wss.eval --model_dir="
            f"{experiment.model_dir}{which})"
        )
    if not _image_counts(experiment):
        phrases.append("the number of masks (export where DATA_DIR is)")
    author = export.author
    stated = {
        "the author (--author)": author.name,
        "the license (--license)": author.license,
        "where the data are from and under which license (--notes)": author.notes,
    }
    return [*phrases, *(phrase for phrase, value in stated.items() if not value)]


def _facts(export: Export) -> dict[str, Optional[str]]:
    experiment, network = export.experiment, export.model.network
    weights = sum(v.shape.num_elements() for v in network.trainable_variables)
    teacher = "the teacher: a moving average of the trained weights"
    return {
        "Author": export.author.name,
        "License": export.author.license,
        "Data set": export.model.spec.name,
        "Method": experiment.method.__name__,
        "Network": f"{network.variant}, output stride {network.output_stride}, "
        f"{1e-6 * weights:.1f} million parameters",
        "Weights": teacher if experiment.method.has_teacher else None,
        "Step": f"{export.step} of {experiment.train_steps}",
        "Prediction": export.model.predictor.protocol()["text"],
        "Exported": f"{datetime.date.today().isoformat()} by wss "
        f"{versions.code_version()}",
    }


def _training(experiment: Experiment) -> dict[str, Optional[str]]:
    method, counts = experiment.method, _image_counts(experiment)
    unlabeled = experiment.unlabeled_split if method.uses_unlabeled else None
    crop = "{} x {}".format(*experiment.crop_size)
    batch = f"{experiment.batch_size} labeled"
    if unlabeled:
        batch += f" + {experiment.batch_size} unlabeled"
    used = _record(experiment).get("versions", {})
    return {
        "Masks": _split(experiment.labeled_split, counts, "images with masks"),
        "Without masks": unlabeled and _split(unlabeled, counts, "images"),
        "Initial weights": _initial_weights(experiment),
        "Crops": crop,
        "Batch": batch,
        "Precision": experiment.precision,
        "Seed": str(experiment.seed),
        "Software": ", ".join(f"{k} {v}" for k, v in used.items()) or None,
    }


def _scores(export: Export, metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All evaluations of the weights; the one of `metrics` has the number of images."""
    folder = export.experiment.model_dir
    if not _is_in(export.checkpoint, folder):
        return []
    last = (metrics.get("split"), metrics.get("protocol", {}).get("text"))
    found = []
    for one in results.read_evaluations(folder):
        if one["step"] == export.step:
            is_last = (one["split"], one.get("protocol")) == last
            found.append(
                {
                    "split": one["split"],
                    "images": metrics["images"] if is_last else None,
                    "protocol": one.get("protocol", ""),
                    "mean_iou": one["mean_iou"],
                    "pixel_accuracy": one.get("pixel_accuracy"),
                }
            )
    return found


def _limits(export: Export, metrics: Mapping[str, Any]) -> Iterator[str]:
    experiment, predictor = export.experiment, export.model.predictor
    yield (
        "The network knows only the classes above: it gives one of them to everything "
        "in a photo."
    )
    masks = _image_counts(experiment).get(experiment.labeled_split)
    if masks:
        yield f"It learned from {masks} images with masks."
    if metrics:
        yield (
            f"The scores are of the {metrics['images']} images of {metrics['split']}. "
            "Photos of another camera, place or season may get lower ones: measure on "
            "some of yours."
        )
    evaluations = [
        one
        for one in results.read_evaluations(experiment.model_dir)
        if one["split"] == experiment.eval_split
    ]
    if export.checkpoint == "best" and len(evaluations) > 1:
        yield (
            f"These weights are the best of {len(evaluations)} evaluations on "
            f"{experiment.eval_split}, which makes that score too high."
        )
    crop = "{} x {}".format(*predictor.crop_size)
    yield f"Photos larger than {crop} pixels are shrunk to that before prediction."
    protocol = metrics.get("protocol", {}).get("text")
    if protocol and protocol != predictor.protocol()["text"]:
        yield f"The IoU of each class was measured differently: {protocol}."
    absent = [name for name, iou in metrics.get("class_iou", {}).items() if iou is None]
    if absent:
        yield f"No pixel of {metrics['split']} shows {', '.join(map(_cell, absent))}."


def _image_counts(experiment: Experiment) -> dict[str, int]:
    """Number of images by split that the run trained on; empty if nothing knows them.

    run.json has them. Before the end of a run they are those of the data, if these are
    still there and unchanged.
    """
    recorded = _record(experiment).get("images")
    if recorded:
        return recorded
    splits = experiment.splits()[:-1]  # Without the evaluated one.
    try:
        known = data_record.read(experiment.model_dir)
        now = data_record.of(experiment.data_dir, splits)
        if not known or data_record.differences(known, now):
            return {}
        return {
            split: tfrecords.count_examples(
                experiment.data_dir, split, experiment.dataset
            )
            for split in splits
        }
    except UserError:
        return {}


def _record(experiment: Experiment) -> Mapping[str, Any]:
    """The content of run.json; empty before the end of the run."""
    path = os.path.join(experiment.model_dir, description.RUN_FILE)
    return results.read_json(path, lambda read: isinstance(read, dict)) or {}


def _initial_weights(experiment: Experiment) -> str:
    given = experiment.init_checkpoint
    if not given:
        return "random"
    if given == pretrained.IMAGENET:
        package = backbone.weight_package(experiment.model_variant)
        license_text = _package_license(package)
        text = f"ImageNet, from the Python package {package}"
        return f"{text} ({license_text})" if license_text else text
    # A path says where the author keeps files, its last part what they are.
    return given if given.startswith(pretrained.HUB) else os.path.basename(given)


def _package_license(package: Optional[str]) -> str:
    """The license that an installed package states; empty if it states none."""
    try:
        found = importlib.metadata.distribution(package or "")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""
    stated = found.metadata.get("License-Expression") or found.metadata.get("License")
    if stated and stated != "UNKNOWN":
        return stated.strip().splitlines()[0]
    text = found.read_text("LICENSE") or ""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _is_in(checkpoint: str, folder: str) -> bool:
    """Whether a checkpoint is in a folder; one that is gone may have been there."""
    place = checkpoint if os.path.isdir(checkpoint) else os.path.dirname(checkpoint)
    return not os.path.isdir(place) or os.path.samefile(place, folder)


def _split(name: str, counts: Mapping[str, int], unit: str) -> str:
    count = counts.get(name)
    return f"{name}: {count} {unit}" if count else name


def _rows(facts: Mapping[str, Optional[str]]) -> list[tuple[str, str]]:
    return [(name, _cell(value)) for name, value in facts.items() if value]


def _cell(text: str) -> str:
    """Text in one line, without the characters that end a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def _percent(share: Optional[float]) -> str:
    return "" if share is None else f"{100 * share:.2f}"
