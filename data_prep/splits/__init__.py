"""Published splits as lists of image ids, one file each, named by their protocol.

    load("voc", "1-8")

voc: `1-2` to `1-16` are PseudoSeg's draws from the 1464 precisely annotated images
(`_draw14`, `_draw20`: its alternative draws; `1-2_u2pl`: U2PL's own), `blended_cps_*`
and `blended_u2pl_*` two protocols over `train_aug` whose numbers do not compare, and
`V_9k` the images of `train_aug` that are not in `train`. coco: PseudoSeg's draws from
train2017. cityscapes: `cps_*` and `u2pl_*`, two draws from `train`.
"""

import pathlib

from wss.errors import UserError

_HERE = pathlib.Path(__file__).parent


def names(dataset: str) -> list[str]:
    """The splits of a data set whose ids are known."""
    found = sorted(path.stem for path in (_HERE / dataset).glob("*.txt"))
    return found + ["V_9k"] if dataset == "voc" else found


def load(dataset: str, name: str) -> list[str]:
    """Image ids of a published split, in the published order.

    Raises:
      UserError: no such split.
    """
    if name not in names(dataset):
        raise UserError(
            f"There is no split '{name}' of {dataset}. Known: "
            f"{', '.join(names(dataset)) or 'none'}."
        )
    if (dataset, name) == ("voc", "V_9k"):
        precise = set(load("voc", "train"))
        return [image for image in load("voc", "train_aug") if image not in precise]
    return (_HERE / dataset / f"{name}.txt").read_text(encoding="ascii").split()
