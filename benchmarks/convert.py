"""Measures how fast records are written, compared with the original's converter.

    python -m benchmarks.convert
    python -m benchmarks.convert --num_images=10000 --repeats=5

The original converts VOC in one process. It decodes each image in a TensorFlow session
to get its size, does the same with the mask, and writes the bytes of both files; masks
with a palette, like VOC's, are first saved as grayscale images. Our converter decodes
both and checks every label, in one or several processes. All variants take turns on the
same synthetic photos (480 x 360, JPEG, masks PNG). The script prints tables and writes
them as JSON. CPU time is that of all processes; if other programs run, it is more
reliable than wall-clock time. With few images our converter uses only one process:
starting more would take longer than converting.
"""

import argparse
import contextlib
import functools
import io
import json
import os
import resource
import shutil
import statistics
import tempfile
import time
from typing import Any, Callable, NamedTuple

import numpy as np
from PIL import Image

from data_prep import pairing, photos
from data_prep.writer import Writer
from wss.data.datasets.spec import DatasetSpec, pascal_palette

HEIGHT, WIDTH, NUM_CLASSES = 360, 480, 21
SPEC = DatasetSpec("made_up", tuple(f"class_{i}" for i in range(NUM_CLASSES)))
_DIFFERENT = 64  # Number of different photos; the others are copies.
_SHARDS = 4
_KINDS = ("gray", "palette")
_COMPARED = 8


class Run(NamedTuple):
    """One conversion: images per second of wall-clock time and of CPU time."""

    per_second: float
    per_cpu_second: float


def make_pictures(
    where: str, num_images: int, palette: bool = False
) -> list[pairing.Item]:
    """Saves photos of about 45 kB, and masks with outlined objects."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    items = []
    for number in range(num_images):
        name = f"{number:06d}"
        image, mask = (os.path.join(where, name + end) for end in (".jpg", ".png"))
        items.append(pairing.Item(name, image, mask))
        if number >= _DIFFERENT:
            original = items[number % _DIFFERENT]
            shutil.copyfile(original.image, image)
            shutil.copyfile(original.mask, mask)
            continue
        rng = np.random.default_rng(number)
        coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
        pixels = np.asarray(coarse.resize((WIDTH, HEIGHT), Image.BICUBIC), np.float32)
        labels = np.zeros((HEIGHT, WIDTH), np.uint8)
        for _ in range(4):
            v, u = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH)
            angle, radius = np.arctan2(y - v, x - u), rng.uniform(30, 100)
            edge = radius * (1 + 0.2 * np.sin(5 * angle) + 0.05 * np.sin(31 * angle))
            distance = np.hypot(y - v, x - u) - edge
            labels[distance < 3] = 255
            labels[distance < 0] = rng.integers(1, NUM_CLASSES)
        pixels += rng.normal(0, 12, pixels.shape) + 20 * (labels > 0)[..., np.newaxis]
        photo = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
        photo.save(image, quality=90)
        picture = Image.fromarray(labels)
        if palette:
            picture.putpalette(pascal_palette(256).ravel().tolist())
        picture.save(mask)
    return items


def convert_as_original(items: list[pairing.Item], output_dir: str) -> None:
    """Writes records like the original's converter for VOC."""
    import tensorflow as tf

    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        content = tf.compat.v1.placeholder(tf.string)
        photo = tf.io.decode_jpeg(content, channels=3)
        mask = tf.io.decode_png(content, channels=1)
        for shard in range(_SHARDS):
            name = f"train-{shard:05d}-of-{_SHARDS:05d}.tfrecord"
            bounds = [len(items) * i // _SHARDS for i in (shard, shard + 1)]
            with tf.io.TFRecordWriter(os.path.join(output_dir, name)) as writer:
                for item in items[slice(*bounds)]:
                    image_bytes = _read(item.image)
                    pixels = session.run(photo, {content: image_bytes})
                    mask_bytes = _read(_without_palette(item.mask, output_dir))
                    labels = session.run(mask, {content: mask_bytes})
                    if pixels.shape[:2] != labels.shape[:2]:
                        raise RuntimeError("image and mask differ in size")
                    features = {
                        "image/encoded": image_bytes,
                        "image/filename": item.name.encode(),
                        "image/format": b"jpg",
                        "image/height": pixels.shape[0],
                        "image/width": pixels.shape[1],
                        "image/channels": 3,
                        "image/segmentation/class/encoded": mask_bytes,
                        "image/segmentation/class/format": b"png",
                    }
                    writer.write(_serialize(features))


def _read(path: str) -> bytes:
    import tensorflow as tf

    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()


def _without_palette(path: str, where: str) -> str:
    """The path of a mask with the palette indices as gray values."""
    with Image.open(path) as picture:
        if picture.mode != "P":
            return path
        gray = os.path.join(where, os.path.basename(path))
        Image.fromarray(np.array(picture)).save(gray, "PNG")
    return gray


def _serialize(features: dict[str, Any]) -> bytes:
    import tensorflow as tf

    def feature(value):
        if isinstance(value, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    made = {key: feature(value) for key, value in features.items()}
    return tf.train.Example(
        features=tf.train.Features(feature=made)
    ).SerializeToString()


def convert(items: list[pairing.Item], output_dir: str, workers: int) -> None:
    """Writes records with wss."""
    writer = Writer(output_dir, workers=workers, num_shards=_SHARDS)
    read = functools.partial(photos.read, spec=SPEC)
    with contextlib.redirect_stdout(io.StringIO()):
        writer.write_split("train", SPEC, items, read)


def measure(write: Callable[..., None], items: list[pairing.Item], where: str) -> Run:
    """Converts once, into a temporary folder."""
    output_dir = tempfile.mkdtemp(dir=where)
    clock, cpu = time.perf_counter(), _cpu_seconds()
    write(items, output_dir)
    clock, cpu = time.perf_counter() - clock, _cpu_seconds() - cpu
    shutil.rmtree(output_dir)
    return Run(len(items) / clock, len(items) / cpu)


def _cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def compare_pixels(items: list[pairing.Item], where: str) -> None:
    """Checks that the records of both converters decode to the same pixels.

    Raises:
      RuntimeError: the pixels differ.
    """
    import tensorflow as tf

    from wss.data import parsing, tfrecords

    splits = []
    for number, write in enumerate((convert_as_original, _ways([1])["ours, 1"])):
        output_dir = os.path.join(where, f"compared_{number}")
        os.makedirs(output_dir)
        write(items, output_dir)
        paths = tfrecords.find_shards(output_dir, "train")
        splits.append(list(tf.data.TFRecordDataset(paths).map(parsing.parse_example)))
    if [len(split) for split in splits] != 2 * [len(items)]:
        raise RuntimeError("records were lost")
    for first, second in zip(*splits):
        if not all(np.array_equal(first[key], second[key]) for key in first):
            raise RuntimeError(f"the records of {first['name']} differ")


def _ways(workers: list[int]) -> dict[str, Callable[..., None]]:
    ways = {f"ours, {n}": functools.partial(convert, workers=n) for n in workers}
    return {"original": convert_as_original, **ways}


def report(kind: str, runs: dict[str, list[Run]]) -> dict[str, Any]:
    """Prints a table of medians and returns it."""
    lines = {}
    print(f"masks: {kind}")
    print(f"{'processes':14}{'images/s':>10}{'/original':>10}{'images/CPU s':>14}")
    for way, of_way in runs.items():
        # Ratios compare consecutive runs.
        ratios = [a.per_second / b.per_second for a, b in zip(of_way, runs["original"])]
        lines[way] = {
            "images_per_second": statistics.median(run.per_second for run in of_way),
            "times_original": statistics.median(ratios),
            "images_per_cpu_second": statistics.median(
                run.per_cpu_second for run in of_way
            ),
        }
        speed, ratio, by_cpu = lines[way].values()
        print(f"{way:14}{speed:10.1f}{ratio:10.2f}{by_cpu:14.1f}")
    return lines


def run(kind: str, flags: argparse.Namespace) -> dict[str, Any]:
    """Measures all converters on masks of one kind."""
    with tempfile.TemporaryDirectory() as where:
        items = make_pictures(where, flags.num_images, palette=kind == "palette")
        compare_pixels(items[:_COMPARED], where)  # And loads TensorFlow.
        ways = _ways(flags.workers)
        runs: dict[str, list[Run]] = {way: [] for way in ways}
        for _ in range(flags.repeats):
            for way, write in ways.items():
                runs[way].append(measure(write, items, where))
    return {"medians": report(kind, runs), "runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cores = os.cpu_count() or 1
    parser.add_argument("--num_images", type=int, default=4000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=sorted({1, *(2**i for i in range(1, 8) if 2**i < cores), cores}),
        help="numbers of processes to test (default: 1, 2, 4, ... up to all cores)",
    )
    parser.add_argument(
        "--masks", nargs="+", choices=_KINDS, default=_KINDS, help="(default: both)"
    )
    parser.add_argument(
        "--output",
        default="runs/convert.json",
        help="JSON file to write (default: %(default)s)",
    )
    flags = parser.parse_args()
    results = {kind: run(kind, flags) for kind in flags.masks}
    settings = {"images": flags.num_images, "repeats": flags.repeats, "cores": cores}
    os.makedirs(os.path.dirname(flags.output) or ".", exist_ok=True)
    with open(flags.output, "w", encoding="utf-8") as file:
        json.dump({**settings, "masks": results}, file, indent=2)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
