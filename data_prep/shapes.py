"""Draws a synthetic data set: textured shapes on cluttered backgrounds.

    python -m data_prep.shapes --output_dir=data/shapes

writes the splits `train` (all training images), `1-4`, `1-8`, `1-16` and `1-32` (nested
subsets of it, balanced so that every class occurs) and `val`. The class of an object
determines its shape, its texture and roughly its hue. Objects hide each other, lines
and blobs are distractors, and each image has its own lighting: few labels cover few
lightings, and unlabeled images cover the rest. The seed determines every pixel.
"""

import colorsys
import dataclasses
import functools
import io
from collections.abc import Sequence
from typing import Annotated, Optional

import numpy as np
from PIL import Image
from tqdm import tqdm

from data_prep import cli
from data_prep.splits import balanced
from data_prep.writer import Writer
from data_prep.writing import processes
from data_prep.writing.examples import Example
from wss.cli import number
from wss.data import datasets
from wss.settings import Count, Natural, Range

SPEC = datasets.get("shapes")
_RATIOS = (4, 8, 16, 32)
# Validation images are numbered from here, so that --num_images does not change them.
_FIRST_VAL = 10**6
_NumImages = Annotated[int, Range(low=max(_RATIOS), high=_FIRST_VAL)]
_PLACING_ATTEMPTS = 20
_JPEG_QUALITY = 92


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """What makes the images hard. Ranges are inclusive; lengths are shares of `size`.

    Attributes:
      size: height and width of an image, in pixels.
      kinds: number of classes of objects in an image.
      objects: number of objects to draw.
      radius: of an object.
      stretch: largest ratio of an object's width and height.
      visible: least visible share of every object.
      dullness: share of their color that backgrounds lose.
      distractors: number of blobs without class behind the objects, and of lines.
      blob_radius: of a distractor blob.
      contrast: smallest distance of an object's second color from its main one, and
        of a main color drawn at random from the background's, in gray levels
        (Euclidean in RGB).
      texture_truth: share of objects with the texture of their class; others get a
        random one.
      hue_truth: share of objects with about the hue of their class; others get a random
        main color.
      light: standard deviation of the logarithm of the light's strength in each color
        channel of an image.
      exposure: standard deviation of the logarithm of the light's overall strength.
      noise: standard deviation of the pixel noise, in gray levels.
    """

    size: int = 65
    kinds: tuple[int, int] = (1, 2)
    objects: tuple[int, int] = (1, 3)
    radius: tuple[float, float] = (0.2, 0.4)
    stretch: float = 1.25
    visible: float = 0.4
    dullness: float = 0.7
    distractors: tuple[int, int] = (0, 2)
    blob_radius: tuple[float, float] = (0.04, 0.10)
    contrast: float = 60.0
    texture_truth: float = 1.0
    hue_truth: float = 1.0
    light: float = 0.12
    exposure: float = 0.6
    noise: float = 8.0


# --- Shapes: whether a point is inside, for |x|, |y| up to about 1. One per class.


def _disk(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.hypot(x, y) < 0.9


def _square(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(abs(x), abs(y)) < 0.8


def _triangle(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(3) * abs(x) - y, 2 * y) < 1.1


def _star(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    angle = np.arctan2(x, y) % (2 * np.pi / 5) - np.pi / 5
    return np.hypot(x, y) * (1 + 0.8 * (1 - 5 / np.pi * abs(angle))) < 1.15


_SHAPES = (_disk, _square, _triangle, _star)


# --- Textures: share of the second color, 0..1; texture i belongs to class i + 1.


def _dots(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.hypot((4 * x) % 1 - 0.5, (4 * y) % 1 - 0.5) < 0.32


def _checks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (np.floor(3 * x) + np.floor(3 * y)) % 2


def _stripes(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return (4 * y) % 1 < 0.5


def _grain(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.random(x.shape)


_TEXTURES = (_dots, _checks, _stripes, _grain)


# --- Images.


def draw(
    seed: int, index: int, difficulty: Difficulty
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one image, which depends only on the arguments.

    Returns:
      image: [size, size, 3], uint8.
      mask: [size, size], uint8 class ids.
    """
    rng = np.random.default_rng([seed, index])
    image = _background(rng, difficulty)
    mask = np.zeros(image.shape[:2], np.uint8)
    num_kinds = rng.integers(*difficulty.kinds, endpoint=True)
    kinds = rng.permutation(np.arange(1, SPEC.num_classes))[:num_kinds]
    drawn: list[tuple[int, np.ndarray]] = []  # area without occlusion, visible pixels
    for _ in range(rng.integers(*difficulty.objects, endpoint=True)):
        class_id = int(rng.choice(kinds))
        for _ in range(_PLACING_ATTEMPTS):
            x, y, area = _place(rng, difficulty)
            inside = _SHAPES[class_id - 1](x, y)
            in_sight = [(full, pixels & ~inside) for full, pixels in drawn]
            in_sight.append((area * _unit_area(class_id), inside))
            if all(p.sum() >= difficulty.visible * full for full, p in in_sight):
                drawn = in_sight
                _paint(rng, image, inside, x, y, class_id, difficulty)
                mask[inside] = class_id
                break
    image *= np.exp(
        rng.normal(0, difficulty.light, 3) + rng.normal(0, difficulty.exposure)
    )
    image += rng.normal(0, difficulty.noise, image.shape)
    return np.clip(image, 0, 255).astype(np.uint8), mask


def _background(rng: np.random.Generator, difficulty: Difficulty) -> np.ndarray:
    """A cloudy gradient between two colors, with blobs and lines without class."""
    size = difficulty.size
    y, x = np.mgrid[0:size, 0:size] / size - 0.5
    angle = rng.uniform(0, 2 * np.pi)
    share = 0.5 + 0.7 * (np.cos(angle) * x + np.sin(angle) * y)
    clouds = Image.fromarray(rng.random((6, 6)).astype(np.float32))
    share = share + 0.6 * (np.asarray(clouds.resize((size, size), 3)) - 0.5)
    image = _mix(_color(rng), _color(rng), np.clip(share, 0, 1))
    image += difficulty.dullness * (image.mean(axis=2, keepdims=True) - image)
    for _ in range(rng.integers(*difficulty.distractors, endpoint=True)):
        radius = rng.uniform(*difficulty.blob_radius)
        u, v = x - rng.uniform(-0.5, 0.5), y - rng.uniform(-0.5, 0.5)
        around = np.arctan2(v, u)
        edge = 1.0
        for waves in range(2, 6):
            edge = edge + 0.25 * np.sin(waves * around + rng.uniform(0, 2 * np.pi))
        blob = np.hypot(u, v) < radius * edge
        texture = _TEXTURES[rng.integers(len(_TEXTURES))](u / radius, v / radius, rng)
        image[blob] = _mix(_color(rng), _color(rng), texture)[blob]
    for _ in range(rng.integers(*difficulty.distractors, endpoint=True)):
        angle, offset = rng.uniform(0, np.pi), rng.uniform(-0.5, 0.5)
        line = abs(np.cos(angle) * x + np.sin(angle) * y - offset) < 0.012
        image[line] = _color(rng)
    return image


def _place(
    rng: np.random.Generator, difficulty: Difficulty
) -> tuple[np.ndarray, np.ndarray, float]:
    """An object's own coordinates at each pixel, and the pixels in one unit of area."""
    size = difficulty.size
    y, x = np.mgrid[0:size, 0:size] / size
    x, y = x - rng.uniform(0.05, 0.95), y - rng.uniform(0.05, 0.95)
    angle = rng.uniform(0, 2 * np.pi)
    radius = rng.uniform(*difficulty.radius)
    stretch = np.sqrt(rng.uniform(1, difficulty.stretch))
    own_x = (np.cos(angle) * x + np.sin(angle) * y) / (radius * stretch)
    own_y = (np.cos(angle) * y - np.sin(angle) * x) / (radius / stretch)
    return own_x, own_y, (radius * size) ** 2


@functools.cache
def _unit_area(class_id: int) -> float:
    """Area of a class's shape in its own coordinates."""
    y, x = np.mgrid[-2:2:400j, -2:2:400j]
    return 16 * _SHAPES[class_id - 1](x, y).mean()


def _paint(
    rng: np.random.Generator,
    image: np.ndarray,
    inside: np.ndarray,
    x: np.ndarray,
    y: np.ndarray,
    class_id: int,
    difficulty: Difficulty,
) -> None:
    """Fills an object of `image` in place."""
    texture = class_id - 1
    if rng.random() >= difficulty.texture_truth:
        texture = rng.integers(len(_TEXTURES))
    main = _color(rng, image[inside].mean(axis=0), difficulty.contrast)
    if rng.random() < difficulty.hue_truth:
        main = _class_color(rng, class_id)
    second = _color(rng, main, difficulty.contrast)
    share = 0.7 * _TEXTURES[texture](x, y, rng)
    image[inside] = _mix(main, second, share)[inside]


def _color(
    rng: np.random.Generator,
    other: Optional[np.ndarray] = None,
    contrast: float = 0.0,
) -> np.ndarray:
    """A random color, at least `contrast` away from another one."""
    color = rng.uniform(0, 255, 3)
    while other is not None and np.linalg.norm(color - other) < contrast:
        color = rng.uniform(0, 255, 3)
    return color


def _class_color(rng: np.random.Generator, class_id: int) -> np.ndarray:
    """A color with about the hue of a class."""
    hue = (class_id - 1) / len(_SHAPES) + rng.uniform(-0.05, 0.05)
    saturation, value = rng.uniform(0.5, 1.0), rng.uniform(0.5, 1.0)
    return 255 * np.array(colorsys.hsv_to_rgb(hue % 1.0, saturation, value))


def _mix(first: np.ndarray, second: np.ndarray, share: np.ndarray) -> np.ndarray:
    """[height, width, 3]: `first` where share is 0, `second` where it is 1."""
    return first + (second - first) * share[..., np.newaxis]


# --- Splits.


def write(
    writer: Writer,
    num_images: int,
    num_val: int,
    seed: int = 0,
    difficulty: Difficulty = Difficulty(),
) -> None:
    """Writes all splits.

    Raises:
      UserError: a split exists already.
    """
    splits: dict[str, Sequence[int]] = {
        "train": range(num_images),
        "val": range(_FIRST_VAL, _FIRST_VAL + num_val),
    }
    options = {"seed": seed, "num_images": num_images, **dataclasses.asdict(difficulty)}
    # Images are drawn again when needed: together they would fill the memory.
    of_picture = {"seed": seed, "difficulty": difficulty}
    shown = processes.in_order(
        functools.partial(_shown_classes, **of_picture),
        splits["train"],
        writer.workers,
    )
    # `disable=None`: no progress bar without a terminal.
    shown = tqdm(shown, "sorting by class", num_images, unit=" images", disable=None)
    order = balanced.balanced_order(np.array(list(shown)))
    for ratio in _RATIOS:
        splits[f"1-{ratio}"] = sorted(order[: -(-num_images // ratio)])
    for split, items in splits.items():
        writer.write_split(
            split,
            SPEC,
            items,
            functools.partial(read, **of_picture),
            options=options,
        )


def read(index: int, seed: int, difficulty: Difficulty) -> Example:
    """Draws an image and encodes it."""
    image, mask = draw(seed, index, difficulty)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    height, width = mask.shape
    return Example(f"{index:07d}", buffer.getvalue(), "jpeg", height, width, mask)


def _shown_classes(index: int, seed: int, difficulty: Difficulty) -> np.ndarray:
    """Which classes, except the background, an image shows: [classes - 1], bool."""
    return np.isin(range(1, SPEC.num_classes), draw(seed, index, difficulty)[1])


def main() -> None:
    arguments = cli.parser(__name__, __doc__)
    cli.add_output(arguments, default="data/shapes", help="(default: data/shapes)")
    arguments.add_argument(
        "--num_images", type=number(_NumImages), default=2048, help="for training"
    )
    arguments.add_argument(
        "--num_val", type=number(Count), default=256, help="for evaluation"
    )
    arguments.add_argument("--seed", type=number(Natural), default=0)
    flags = arguments.parse_args()
    write(cli.writer(flags), flags.num_images, flags.num_val, flags.seed)


if __name__ == "__main__":
    cli.run(main)
