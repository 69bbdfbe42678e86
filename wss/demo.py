"""Compares PseudoSeg with the supervised baseline, in minutes and on a CPU.

    python -m wss.demo

draws a synthetic data set, trains the supervised baseline and PseudoSeg on 1/32 of its
labels, evaluates both on images that neither has seen, and writes a figure. It prints
every command that it runs.
"""

import argparse
import contextlib
import io
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Optional

from wss import cli
from wss.files.outputs import OutputFolder
from wss.settings import Natural

SHOWN_IMAGES = 6
ZOOM = 2
GAP = 2  # Pixels around each image, before the zoom.
MARGIN = 72  # For the names of the rows.
PICTURE = "demo.png"
NEXT = "docs/your_own_dataset.md (first: pip install -e '.[imagenet]')"
METHODS = {"supervised": "supervised/shapes", "PseudoSeg": "shapes"}


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Runs the command line and returns its exit status."""
    options = _parser().parse_args(arguments)
    return cli.run(lambda: demonstrate(options), resumable=True)


def demonstrate(options: argparse.Namespace) -> None:
    """Creates the data, trains both methods, and reports the scores.

    Raises:
      UserError: the figure cannot be written, or would replace a file that wss did not
        write.
    """
    folder = OutputFolder(options.output_dir, options.overwrite)
    folder.check([PICTURE])
    if not os.path.exists(os.path.join(options.data_dir, "dataset.json")):
        _run("data_prep.shapes", f"--output_dir={options.data_dir}")
    model_dirs = {
        name: os.path.join(options.output_dir, name.lower()) for name in METHODS
    }
    for name, experiment in METHODS.items():
        _run(
            "wss.train",
            f"--gin_file=gin_configs/{experiment}.gin",
            f"--gin_bindings=DATA_DIR = {options.data_dir!r}",
            f"--gin_bindings=SEED = {options.seed}",
            f"--model_dir={model_dirs[name]}",
        )
    picture = draw(model_dirs)
    with folder.explained():
        folder.write(PICTURE, picture)
    print(f"\n{_table(model_dirs)}\n")
    print(f"picture  {folder.place(PICTURE)} (image, truth, {', '.join(METHODS)})")
    print(f"curves   tensorboard --logdir={options.output_dir}")
    looks = os.path.join(options.output_dir, "looks")
    folders = shlex.join(model_dirs.values())
    print(f"more     python -m wss.vis --model_dir {folders} --output_dir={looks}")
    print(f"next     your own photos, from ImageNet: {NEXT}")


def _run(module: str, *flags: str) -> None:
    print(f"\n$ python -m {module} {shlex.join(flags)}", flush=True)
    with subprocess.Popen([sys.executable, "-m", module, *flags]) as process:
        while process.poll() is None:
            # Ctrl-C also reaches the command, which saves its state.
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    if process.returncode:
        # The command has already reported the error.
        sys.exit(process.returncode)


def _table(model_dirs: Mapping[str, str]) -> str:
    from wss.run_folder.results import read_metrics

    rows = ["method      mIoU (%)"]
    for name, model_dir in model_dirs.items():
        rows.append(f"{name:<11} {100 * read_metrics(model_dir)['mean_iou']:8.2f}")
    return "\n".join(rows)


def draw(model_dirs: Mapping[str, str]) -> bytes:
    """Draws a row each for images, ground truth and the predictions of each run.

    Args:
      model_dirs: folders of runs on the same data set, by display name.

    Returns:
      A PNG file.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    rows = {"image": [], "truth": [], **{name: [] for name in model_dirs}}
    for name, model_dir in model_dirs.items():
        rows["image"], rows["truth"], rows[name] = _predictions(model_dir)
    gaps = [(GAP, GAP), (GAP, GAP), (0, 0)]
    strips = [
        np.concatenate([np.pad(one, gaps, constant_values=255) for one in row], axis=1)
        for row in rows.values()
    ]
    sheet = Image.fromarray(np.concatenate(strips))
    sheet = sheet.resize((ZOOM * sheet.width, ZOOM * sheet.height), Image.NEAREST)
    canvas = Image.new("RGB", (sheet.width + MARGIN, sheet.height), "white")
    canvas.paste(sheet, (MARGIN, 0))
    for index, name in enumerate(rows):
        middle = (2 * index + 1) * sheet.height // (2 * len(rows))
        ImageDraw.Draw(canvas).text((4, middle - 6), name, fill="black")
    buffer = io.BytesIO()
    canvas.save(buffer, "PNG")
    return buffer.getvalue()


def _predictions(model_dir: str) -> list[list]:
    """The first evaluation images, and their labels and predictions in color."""
    import tensorflow as tf

    from wss import runs
    from wss.evaluation.evaluator import build_predictor
    from wss.evaluation.restoring import restored_network
    from wss.experiment import evaluation_batches
    from wss.visualization.label_colors import color_labels

    trained = runs.open_trained(model_dir)
    predictor = build_predictor(trained, restored_network(trained)[0])
    rows = []
    for batch in evaluation_batches(trained).take(SHOWN_IMAGES):
        labels = predictor.labels(batch["image"][0])[tf.newaxis]
        rows.append(
            (
                tf.cast(batch["image"], tf.uint8)[0].numpy(),
                color_labels(batch["label"], trained.spec.palette)[0].numpy(),
                color_labels(labels, trained.spec.palette)[0].numpy(),
            )
        )
    return [list(column) for column in zip(*rows)]


def _parser() -> argparse.ArgumentParser:
    parser = cli.make_parser("wss.demo", __doc__)
    parser.add_argument("--data_dir", default="data/shapes", metavar="DIR")
    parser.add_argument("--output_dir", default="runs/demo", metavar="DIR")
    parser.add_argument(
        "--seed", type=cli.number(Natural), default=0, help="of both runs"
    )
    cli.add_overwrite_flag(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
