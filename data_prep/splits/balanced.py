"""Draws small labeled sets in which every class occurs."""

from collections.abc import Sequence
from typing import Optional

import numpy as np

from wss.errors import UserError

_DRAWS = 1000


def balanced_order(
    shown: np.ndarray, count: Optional[int] = None, at_least: Optional[int] = None
) -> list[int]:
    """Orders images so that in every beginning the classes come equally often.

    Next comes the first image that shows the class shown by the fewest so far; of
    classes that no image left shows, nothing is asked.

    Args:
      shown: [images, classes], bool, which image shows which class.
      count: how many images to order; without it, all.
      at_least: once N images show each class, the rest follow in the given order.

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
    """Draws nested sets at random, again and again until each class occurs in them.

    Of all sets with that property each is as likely as any other. Where a class is so
    rare that this takes too long, images that show the missing classes are taken first
    and the others at random.

    Args:
      shown: [images, classes], bool, which image shows which class.
      counts: sizes of the sets; the smaller ones are subsets of the larger ones.
      class_names: [classes], for messages.
      at_least: how many images of the smallest set have to show each class, or all
        there are. Classes that no image shows are skipped.
      seed: decides the draw.

    Returns:
      {count: indices of the images, ascending}.

    Raises:
      UserError: there are fewer images, or the smallest set cannot show all classes.
    """
    if not 1 <= min(counts) <= max(counts) <= len(shown):
        wrong = min(counts) if min(counts) < 1 else max(counts)
        raise UserError(f"{wrong} images cannot be drawn from {len(shown)}.")
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
