"""TF1 variable names: of our variables, and of checkpoints to start from."""

from typing import Dict

import tensorflow as tf

# Attribute of a layer -> last part of the TF1 name.
_LEAVES = {
    "kernel": "weights",
    "depthwise_kernel": "depthwise_weights",
    "bias": "biases",
    "gamma": "gamma",
    "beta": "beta",
    "moving_mean": "moving_mean",
    "moving_variance": "moving_variance",
}


def named_variables(module: tf.Module) -> Dict[str, tf.Variable]:
    """Every variable of the module's layers by its TF1 name.

    A layer's name is its TF1 scope: the kernel of the layer "aspp0" is "aspp0/weights".
    """
    variables = {}
    for layer in module.submodules:
        if isinstance(layer, tf.keras.layers.Layer):
            for attribute, leaf in _LEAVES.items():
                variable = getattr(layer, attribute, None)
                if isinstance(variable, tf.Variable):
                    variables[f"{layer.name}/{leaf}"] = variable
    return variables
