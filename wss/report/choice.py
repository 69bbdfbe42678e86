"""Which images of a split to show."""

import dataclasses
import difflib
import statistics
from typing import Dict, List, Optional, Sequence

from wss.errors import UserError


@dataclasses.dataclass(frozen=True)
class ImageScore:
    """How well one image is segmented.

    Attributes:
      name: of the image.
      mean_iou: over the classes of its label and its prediction, 0..1; None where no
        pixel is labeled.
    """

    name: str
    mean_iou: Optional[float]


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What the user asks to see; the kinds add up, and an image is shown once.

    Attributes:
      names: these images.
      first: so many, from the beginning of the split.
      best: so many of the highest mean IoU, averaged over the trainings.
      worst: so many of the lowest.
    """

    names: Sequence[str] = ()
    first: int = 0
    best: int = 0
    worst: int = 0

    @property
    def count(self) -> int:
        """How many images these are, at most."""
        return len(self.names) + self.first + self.best + self.worst


def check_names(names: Sequence[str], known: Sequence[str], split: str) -> None:
    """Raises a UserError for the first name that is no image's."""
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean '{close[0]}'?" if close else ""
            raise UserError(
                f"There is no image '{name}' in {split}.{hint} Its first is called "
                f"'{known[0]}'."
            )


def choose(
    wanted: Wanted, runs: Sequence[Sequence[ImageScore]]
) -> Dict[str, List[int]]:
    """Chooses images.

    Args:
      wanted: what to show.
      runs: of each training, the scores of the split's images in their order.

    Returns:
      Places in the split, by the title to show them under; no empty ones.
    """
    names = [score.name for score in runs[0]]
    means = {
        place: statistics.fmean(score.mean_iou for score in scores)
        for place, scores in enumerate(zip(*runs))
        if scores[0].mean_iou is not None
    }
    ranking = sorted(means, key=lambda place: -means[place])  # Equals in their order.
    groups = {
        "Chosen images": [names.index(name) for name in wanted.names],
        "First images": list(range(min(wanted.first, len(names)))),
        "Best images": ranking[: wanted.best],
        "Worst images": ranking[::-1][: wanted.worst],
    }
    chosen: Dict[str, List[int]] = {}
    seen = set()
    for title, places in groups.items():
        new = [place for place in dict.fromkeys(places) if place not in seen]
        seen.update(new)
        if new:
            chosen[title] = new
    return chosen
