"""Draws small labeled sets in which every class occurs."""

from collections.abc import Sequence
from typing import Optional

import numpy as np

from wss.errors import UserError

_DRAWS = 1000


def balanced_order(
    shown: np.ndarray, count: Optional[int] = None, at_least: Optional[int] = None
) -> list[int]:
    """Orders images so that the classes are balanced in every prefix of the list.

    The next image is the first one with the class that the fewest images have so far.
    Classes that no remaining image shows are skipped.

    Args:
      shown: [images, classes], bool, whether the image shows the class.
      count: number of images to order; None: all.
      at_least: once this many images show each class, the rest keep the given order.

    Returns:
      Indices of the images.
    """
    left = np.ones(len(shown), bool)
    counts = np.zeros(shown.shape[1], int)
    available = shown.sum(axis=0)
    order = []
    for _ in range(len(shown) if count is None else count):
        wanted = available > 0
        if at_least is not None:
            wanted &= counts < at_least
        candidates = left
        if wanted.any():
            rarest = np.argmin(np.where(wanted, counts, len(shown) + 1))
            candidates = left & shown[:, rarest]
        chosen = int(np.argmax(candidates))
        left[chosen] = False
        counts += shown[chosen]
        available -= shown[chosen]
        order.append(chosen)
    return order


def draw(
    shown: np.ndarray,
    counts: Sequence[int],
    class_names: Sequence[str],
    at_least: int = 1,
    seed: int = 0,
) -> dict[int, list[int]]:
    """Draws random nested sets, repeatedly until each class occurs in them.

    All sets with that property are equally likely. If a class is so rare that this
    takes too long, images with the missing classes are taken first and the others at
    random.

    Args:
      shown: [images, classes], bool, whether the image shows the class.
      counts: sizes of the sets; the smaller ones are subsets of the larger ones.
      class_names: [classes], for messages.
      at_least: number of images in the smallest set that must show each class, or all
        such images if there are fewer. Classes that no image shows are skipped.
      seed: determines the draw.

    Returns:
      {count: indices of the images, ascending}.

    Raises:
      UserError: there are too few images, or the smallest set cannot show all classes.
    """
    if not 1 <= min(counts) <= max(counts) <= len(shown):
        wrong = min(counts) if min(counts) < 1 else max(counts)
        raise UserError(
            f"{wrong} images cannot be drawn from {len(shown)}. Draw 1 to {len(shown)}."
        )
    required = np.minimum(shown.sum(axis=0), at_least)
    rng = np.random.default_rng(seed)
    first = rng.permutation(len(shown))
    order, smallest = first, min(counts)
    for _ in range(_DRAWS):
        if (shown[order[:smallest]].sum(axis=0) >= required).all():
            break
        order = rng.permutation(len(shown))
    else:
        order = first[balanced_order(shown[first], max(counts), at_least)]
        short = shown[order[:smallest]].sum(axis=0) < required
        if short.any():
            names = ", ".join(class_names[i] for i in np.flatnonzero(short))
            raise UserError(
                f"{smallest} images are too few to show each class {at_least} times: "
                f"missing {names}. Draw more images."
            )
    return {count: sorted(order[:count].tolist()) for count in counts}
