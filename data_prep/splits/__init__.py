"""Published splits as lists of image ids, one file each, named by their protocol.

    load("voc", "1-8")

voc: `1-2` to `1-16` are PseudoSeg's draws from the 1464 precisely annotated images
(`_draw14` and `_draw20` are its alternative draws, `1-2_u2pl` is U2PL's).
`blended_cps_*` and `blended_u2pl_*` are two protocols over `train_aug` whose numbers
are not comparable. `V_9k` are the images of `train_aug` that are not in `train`. coco:
PseudoSeg's draws from train2017. cityscapes: `cps_*` and `u2pl_*`, two draws from
`train`. ade20k: UniMatch V2's draws from the training images.

Each draw has a complement, such as `1-8_rest`: the images that it was drawn from
without the drawn ones. U2PL and UniMatch use it as the unlabeled images. Complements
are computed, not stored.
"""

import pathlib
from collections.abc import Sequence

from wss.errors import UserError

_HERE = pathlib.Path(__file__).parent
_REST = "_rest"
# The lists to draw from; COCO's train2017 is too long to store here.
_WHOLE = {"voc": "train_aug", "cityscapes": "train"}
_NO_DRAWS = ("train", "train_aug", "val")
# ADE20K's training images are numbered.
_ADE20K_TRAIN = [f"ADE_train_{i:08d}" for i in range(1, 20211)]


def names(dataset: str) -> list[str]:
    """The splits of a data set whose ids are known."""
    found = sorted(path.stem for path in (_HERE / dataset).glob("*.txt"))
    rests = [name + _REST for name in found if name not in _NO_DRAWS]
    return [*found, *rests, *(["V_9k"] if dataset == "voc" else [])]


def load(dataset: str, name: str, whole: Sequence[str] = ()) -> list[str]:
    """Image ids of a published split, in the published order.

    Args:
      dataset: "voc", "coco", "cityscapes" or "ade20k".
      name: of the split.
      whole: the ids of COCO's train2017, for the complement of a draw from it.

    Raises:
      UserError: there is no such split.
    """
    if name not in names(dataset):
        raise UserError(
            f"There is no split '{name}' of {dataset}. Known: "
            f"{', '.join(names(dataset)) or 'none'}."
        )
    if name == "V_9k":
        name = "train" + _REST
    if not name.endswith(_REST):
        path = _HERE / dataset / f"{name}.txt"
        return path.read_text(encoding="ascii").split()
    drawn = set(load(dataset, name[: -len(_REST)]))
    if dataset in _WHOLE:
        whole = load(dataset, _WHOLE[dataset])
    elif dataset == "ade20k":
        whole = _ADE20K_TRAIN
    return [image for image in whole if image not in drawn]
