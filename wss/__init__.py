"""wss: learning semantic segmentation from few labels, in TensorFlow 2."""

import importlib.util
import os
import typing

from wss import interrupts
from wss.version import __version__ as __version__

interrupts.expect_command()

# The models are Keras 2 models. From TensorFlow 2.16 on, Keras 2 is the package
# `tf_keras`, and must be selected before TensorFlow is imported. Selecting it where it
# is not installed (TensorFlow 2.15) breaks `tf.keras`.
if importlib.util.find_spec("tf_keras") is not None:
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

if typing.TYPE_CHECKING:
    from wss.evaluation.segmenter import Segmenter


def load(path: str, checkpoint: str = "latest") -> "Segmenter":
    """Loads a trained network, to predict photos of any size.

    >>> import wss
    >>> model = wss.load("runs/shapes")
    >>> street, garden = model.predict_masks(["street.jpg", "garden.png"])
    >>> print(street.shape, street.dtype)
    (50, 120) uint8

    The training data are not needed.

    Args:
      path: folder of the run; or a `model.keras` that `wss.export` wrote, or its
        folder. If its model card or SHA256SUMS is beside it, its checksum is compared.
      checkpoint: of the run: "latest", "best" (with the highest mean IoU), or a path.

    Returns:
      A `tf.keras.Model`: see `wss.evaluation.segmenter.Segmenter`.

    Raises:
      UserError: there is no run and no exported file, or it is damaged.
    """
    # Imported late, so that `import wss` is quick.
    from wss import runs
    from wss.exporters import keras_model

    exported = keras_model.find(path)
    return keras_model.load(exported) if exported else runs.load(path, checkpoint)
