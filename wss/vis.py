"""Visualizes runs: a report page, and images with their predictions.

    python -m wss.vis --model_dir=runs/my_voc --output_dir=looks/my_voc
    python -m wss.vis --model_dir=runs/my_voc --output_dir=looks/cats \\
        --images 2007_000033 2007_000042 --classes cat dog

or, to compare runs with the same classes:

    python -m wss.vis --model_dir runs/baseline runs/pseudoseg runs/pseudoseg_weakly \\
        --names baseline PseudoSeg "with image labels" --output_dir=looks/compared

evaluates the runs on their EVAL_SPLIT and writes

    report.html     one self-contained page: scores, curves, IoU of each class, images,
                    confusion matrix, configuration
    figure.png      images, ground truth, and the prediction of each run
    panels/         every panel at full size, one file each

By default, it shows the images with the highest and the lowest mean IoU.
"""

import argparse
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Optional

from wss import cli
from wss.errors import UserError
from wss.files.outputs import OutputFolder
from wss.settings import Natural

if TYPE_CHECKING:
    from wss.report.page import ShownImage
    from wss.report.run_results import Evaluation, TrainedRun
    from wss.visualization.figures import Panel

_PAGE, _FIGURE, _PANELS = "report.html", "figure.png", "panels"
_SHOWN_BY_DEFAULT = 4  # Of the best, and of the worst.
_MOST_IMAGES = 200  # Browsers become slow with more.


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)
    return cli.run(lambda: show(options), options.verbosity)


def show(options: argparse.Namespace) -> None:
    """Evaluates the runs and writes page, figure and panels.

    Raises:
      UserError: a run is missing, the runs cannot be compared, an image or class is
        unknown, or the folder cannot be written.
    """
    model_dirs = name_runs(options.model_dir, options.names)
    # Late, so that --help is quick: importing TensorFlow takes seconds.
    from wss.report import page, run_results

    selection = page.Selection(
        options.images, options.first, options.best, options.worst
    )
    if not selection.count:
        selection = page.Selection(best=_SHOWN_BY_DEFAULT, worst=_SHOWN_BY_DEFAULT)
    if selection.count > _MOST_IMAGES:
        raise UserError(
            f"{selection.count} images are too many for a page: choose at most "
            f"{_MOST_IMAGES} with --images, --first, --best and --worst."
        )
    folder = OutputFolder(options.output_dir, options.overwrite)
    folder.check([_PAGE, _FIGURE, *folder.below(_PANELS)])
    with folder.explained():
        os.makedirs(options.output_dir, exist_ok=True)
    runs = run_results.open_all(
        model_dirs,
        options.checkpoint,
        [*cli.view_bindings(options), *options.gin_bindings],
        options.tpu,
    )
    classes = class_ids(options.classes, runs[0].spec)
    if selection.names:
        page.check_names(selection.names, runs[0].names(), runs[0].split)
    evaluations = [run.evaluate() for run in runs]
    check_images(runs, evaluations)
    chosen = page.choose(selection, [one.images for one in evaluations])
    groups = _predict_images(runs, evaluations, chosen, classes)
    with folder.explained():
        _write(folder, runs, evaluations, groups)
    for run, one in zip(runs, evaluations):
        print(f"{run.name}: mIoU {100 * one.total.mean_iou:.2f} at step {run.step}")
    print(f"page    {folder.place(_PAGE)}")


def name_runs(model_dirs: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """The folders by display name (default: the names of the folders).

    Raises:
      UserError: the number of names differs from that of the folders, or a name is
        given twice.
    """
    if names and len(names) != len(model_dirs):
        raise UserError(
            f"--names has {len(names)} names for {len(model_dirs)} folders of "
            "--model_dir. Give each a name."
        )
    if not names:
        names = [os.path.basename(os.path.normpath(path)) for path in model_dirs]
        if len(set(names)) < len(names):
            names = [os.path.normpath(path) for path in model_dirs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if list(names).count(name) > 1)
        raise UserError(f"Two runs are called '{twice}'. Give each a name: --names")
    return dict(zip(names, model_dirs))


def class_ids(classes: Sequence[str], spec) -> list[int]:
    """The ids of classes given by name or id.

    Raises:
      UserError: a class is unknown.
    """
    known = {name: number for number, name in enumerate(spec.class_names)}
    known.update({str(number): number for number in range(spec.num_classes)})
    for name in classes:
        if name not in known:
            raise UserError(
                f"{spec.name} has no class '{name}'. It has "
                f"{', '.join(spec.class_names)}."
            )
    return [known[name] for name in classes]


def check_images(
    runs: Sequence["TrainedRun"], evaluations: Sequence["Evaluation"]
) -> None:
    """Raises a UserError if two runs were evaluated on different images."""
    names = [[image.name for image in one.images] for one in evaluations]
    for run, other in zip(runs, names):
        if other != names[0]:
            raise UserError(
                f"{runs[0].name} and {run.name} have different images in {run.split} "
                f"({len(names[0])} and {len(other)}). Name one folder of data for all: "
                '--gin_bindings="DATA_DIR = ..."'
            )


def _predict_images(
    runs: Sequence["TrainedRun"],
    evaluations: Sequence["Evaluation"],
    chosen: Mapping[str, Sequence[int]],
    classes: Sequence[int],
) -> dict[str, list["ShownImage"]]:
    """The images to show, by title."""
    from wss.report import page

    places = [place for group in chosen.values() for place in group]
    shared, own = {}, {place: {} for place in places}
    for run in runs if places else ():
        for place, result in run.predict(places, probabilities=bool(classes)):
            shared[place] = page.shared_panels(result, run.spec)
            own[place][run.name] = page.own_panels(result, run.spec, classes)
    return {
        title: [
            page.ShownImage(
                name=evaluations[0].images[place].name,
                mean_iou=[one.images[place].mean_iou for one in evaluations],
                shared=shared[place],
                own=own[place],
            )
            for place in group
        ]
        for title, group in chosen.items()
    }


def _write(
    folder: OutputFolder,
    runs: Sequence["TrainedRun"],
    evaluations: Sequence["Evaluation"],
    groups: Mapping[str, Sequence["ShownImage"]],
) -> None:
    from wss.image_io import writing
    from wss.report import page
    from wss.visualization import figures

    def write(panels: Mapping[str, "Panel"], place: str) -> None:
        for title, panel in zip(_parts_of_paths(panels), panels.values()):
            folder.write(f"{place}/{title}.png", writing.picture(panel.pixels))

    shown = [one for group in groups.values() for one in group]
    run_parts = _parts_of_paths([run.name for run in runs])
    for part, one in zip(_parts_of_paths([one.name for one in shown]), shown):
        write(one.shared, f"{_PANELS}/{part}")
        for run_part, panels in zip(run_parts, one.own.values()):
            write(panels, f"{_PANELS}/{part}/{run_part}")
    if shown:
        rows = [
            [*one.shared.values(), *(own["prediction"] for own in one.own.values())]
            for one in shown
        ]
        titles = [*shown[0].shared, *(run.name for run in runs)]
        folder.write(_FIGURE, figures.png(figures.image_grid(rows, titles)))
    folder.write(_PAGE, page.render(runs, evaluations, groups).encode())


def _parts_of_paths(names: Iterable[str]) -> list[str]:
    """The names as unique, valid file names.

    A file name may have 255 bytes; a character has up to four.
    """
    parts: list[str] = []
    for name in names:
        plain = re.sub(r"[^\w.-]+", "_", name).lstrip(".")[:60] or "_"
        part, number = plain, 1
        while part in parts:
            number += 1
            part = f"{plain}_{number}"
        parts.append(part)
    return parts


def _parser() -> argparse.ArgumentParser:
    parser = cli.make_parser("wss.vis", __doc__)
    parser.add_argument(
        "--model_dir",
        required=True,
        nargs="+",
        metavar="DIR",
        help="folders of the runs",
    )
    parser.add_argument("--output_dir", required=True, metavar="DIR")
    parser.add_argument(
        "--names",
        nargs="+",
        default=[],
        metavar="NAME",
        help="display names of the runs (default: their folders)",
    )
    cli.add_checkpoint_flag(parser)
    parser.add_argument(
        "--images", nargs="+", default=[], metavar="NAME", help="show these images"
    )
    for kind, text in (
        ("first", "show the first N images of the split"),
        ("best", "show the N images with the highest mean IoU"),
        ("worst", "show the N images with the lowest mean IoU"),
    ):
        parser.add_argument(
            f"--{kind}",
            type=cli.number(Natural),
            default=0,
            metavar="N",
            help=text,
        )
    parser.add_argument(
        "--classes",
        nargs="+",
        default=[],
        metavar="CLASS",
        help="also show score maps of these classes, given by name or id",
    )
    cli.add_overwrite_flag(parser)
    cli.add_view_flags(parser)
    cli.add_shared_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
