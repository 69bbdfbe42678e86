"""The moving average of a network: the teacher of U2PL and UniMatch V2.

Source: the teacher's update in `train_semi.py` of U2PL's published code.
"""

from typing import Any, Optional, Sequence, Union

import tensorflow as tf

from wss.models import tf1_checkpoint


def decay_at(
    step: Union[int, tf.Tensor], start_step: int = 0, limit: float = 0.99
) -> tf.Tensor:
    """The share of the old average that a step keeps, scalar float32.

    Args:
      step: number of the step, from 0.
      start_step: up to this step the average is the network itself.
      limit: largest share.
    """
    taken = tf.cast(tf.maximum(step - start_step, 0), tf.float32)
    return tf.minimum(1.0 - 1.0 / (taken + 1.0), limit)


def copy(average: tf.Module, model: tf.Module) -> None:
    """Gives the average every value of the network."""
    for old, new in _pairs(average, model):
        old.assign(new)


def follow(
    average: tf.Module,
    model: tf.Module,
    decay: Union[float, tf.Tensor],
    statistics_decay: Optional[Union[float, tf.Tensor]] = None,
) -> None:
    """Moves the average a little towards the network; called in replica context.

    Args:
      average: a network of the same variables.
      model: the network that is trained.
      decay: what the average keeps of itself, 0..1, equal on all replicas.
      statistics_decay: what the moving averages of batch norm keep of themselves, the
        same unless given.
    """
    pairs = _pairs(average, model)
    decays = [decay, decay if statistics_decay is None else statistics_decay]

    def update(strategy: tf.distribute.Strategy, decays: Sequence[Any]) -> None:
        for old, new in pairs:
            share = decays[0] if new.trainable else decays[1]
            strategy.extended.update(old, _move, args=(new, share), group=False)

    tf.distribute.get_replica_context().merge_call(update, args=(decays,))


def _move(old: tf.Variable, new: tf.Variable, decay: tf.Tensor) -> tf.Operation:
    return old.assign(decay * old + (1.0 - decay) * tf.cast(new, old.dtype))


def _pairs(average: tf.Module, model: tf.Module) -> list:
    averages = tf1_checkpoint.named_variables(average)
    current = tf1_checkpoint.named_variables(model)
    if averages.keys() != current.keys():
        raise ValueError("The average is of another network.")
    return [(averages[name], current[name]) for name in sorted(current)]
