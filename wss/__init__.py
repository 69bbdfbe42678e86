"""wss: learning semantic segmentation from few labels, in TensorFlow 2."""

import importlib.util
import os

# The models are Keras 2 models. From TensorFlow 2.16 on Keras 2 lives in `tf_keras`
# and has to be asked for before TensorFlow is imported; asking for it where it is not
# installed (TensorFlow 2.15) breaks `tf.keras`.
if importlib.util.find_spec("tf_keras") is not None:
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

__version__ = "0.1.0"
