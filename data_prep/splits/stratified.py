"""Holds out images for evaluation so that each class keeps its share."""

import numpy as np


def hold_out(shown: np.ndarray, count: int, seed: int = 0) -> list[int]:
    """Draws images such that they show each class in the same share as all images.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas, ECML PKDD 2011): the
    rarest class is divided first, because later draws cannot correct it. In addition,
    a class that several images show occurs on both sides, as far as the number of
    images allows it, and the only image of a class is left to learn from.

    Args:
      shown: [images, classes], bool, whether the image shows the class.
      count: number of images to draw.
      seed: determines the draw.

    Returns:
      Indices of the drawn images, ascending.
    """
    num_images = len(shown)
    # A last class that every image shows makes the number exact.
    shown = np.hstack([shown.astype(bool), np.ones((num_images, 1), bool)])
    total = shown.sum(axis=0)
    wanted = np.rint(total * count / num_images).astype(int)
    wanted = np.where(total > 1, np.clip(wanted, 1, total - 1), 0)
    wanted[-1] = count
    order = np.random.default_rng(seed).permutation(num_images)
    shown, left = shown[order], np.ones(num_images, bool)
    for one in np.argsort(total, kind="stable"):
        while wanted[one] > 0 and wanted[-1] > 0 and (left & shown[:, one]).any():
            # The image whose classes are still wanted; the rarest count most.
            gain = shown @ (np.where(wanted > 0, 1, -1) / np.maximum(total, 1))
            chosen = np.argmax(np.where(left & shown[:, one], gain, -np.inf))
            left[chosen] = False
            wanted -= shown[chosen]
    return sorted(order[~left].tolist())
