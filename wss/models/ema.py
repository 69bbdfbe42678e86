"""EMA of a network: the teacher of U2PL and UniMatch V2.

Source: the teacher's update in `train_semi.py` of U2PL's published code.
"""

from collections.abc import Sequence
from typing import Any, Optional, Union

import tensorflow as tf

from wss.models import tf1_checkpoint


def decay_at(
    step: Union[int, tf.Tensor], start_step: int = 0, limit: float = 0.99
) -> tf.Tensor:
    """The decay of a step, scalar float32.

    Args:
      step: the training step, from 0.
      start_step: up to this step the decay is 0: the average equals the network.
      limit: largest decay.
    """
    taken = tf.cast(tf.maximum(step - start_step, 0), tf.float32)
    return tf.minimum(1.0 - 1.0 / (taken + 1.0), limit)


def copy(average: tf.Module, model: tf.Module) -> None:
    """Copies all values of the network to the average."""
    for old, new in _pairs(average, model):
        old.assign(new)


def update(
    average: tf.Module,
    model: tf.Module,
    decay: Union[float, tf.Tensor],
    statistics_decay: Optional[Union[float, tf.Tensor]] = None,
) -> None:
    """average <- decay * average + (1 - decay) * model, in replica context.

    Args:
      average: a network with the same variables.
      model: the trained network.
      decay: 0..1, equal on all replicas.
      statistics_decay: decay of batch norm's moving averages; default: `decay`.
    """
    pairs = _pairs(average, model)
    decays = [decay, decay if statistics_decay is None else statistics_decay]

    def update_all(strategy: tf.distribute.Strategy, decays: Sequence[Any]) -> None:
        for old, new in pairs:
            share = decays[0] if new.trainable else decays[1]
            strategy.extended.update(old, _move, args=(new, share), group=False)

    tf.distribute.get_replica_context().merge_call(update_all, args=(decays,))


def _move(old: tf.Variable, new: tf.Variable, decay: tf.Tensor) -> tf.Operation:
    return old.assign(decay * old + (1.0 - decay) * tf.cast(new, old.dtype))


def _pairs(average: tf.Module, model: tf.Module) -> list:
    averages = tf1_checkpoint.named_variables(average)
    current = tf1_checkpoint.named_variables(model)
    if averages.keys() != current.keys():
        raise ValueError(
            "The average is of another network: its variables have other names."
        )
    return [(averages[name], current[name]) for name in sorted(current)]
