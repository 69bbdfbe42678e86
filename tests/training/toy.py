"""A linear regression that looks like a method of segmentation to the trainer."""

import tensorflow as tf

from wss.methods.base import StepOutput


class ToyMethod(tf.Module):
    """Learns y = x . w by gradient descent, with noise that depends on the step."""

    def __init__(self, poison_step=None):
        super().__init__()
        self.model = tf.Module()
        self.model.weights = tf.Variable([1.0, -1.0], name="weights")
        self.model.biases = tf.Variable(0.0, name="biases")
        self.model.unused = tf.Variable(3.0, name="unused")
        self._poison_step = poison_step

    @property
    def variables_by_name(self):
        return {
            "logits/weights": self.model.weights,
            "logits/biases": self.model.biases,
            "unused/weights": self.model.unused,
        }

    @property
    def regularized_variables(self):
        return [self.model.weights]

    other_variables = ()

    def loss_normalizers(self, batch):
        return {}

    def on_update_end(self, global_step, aux):
        assert not aux

    def compute_losses(self, batch, global_step, progress, seed, loss_normalizers):
        noise = tf.random.stateless_normal([], [seed, tf.cast(global_step, tf.int32)])
        x, y = batch
        error = tf.linalg.matvec(x, self.model.weights) + self.model.biases - y
        loss = tf.reduce_mean(error**2) + 0.01 * noise * self.model.biases
        if self._poison_step is not None:
            loss *= tf.where(global_step == self._poison_step, float("nan"), 1.0)
        return StepOutput(
            losses={"regression": loss, "other": 0.5 * loss},
            monitors={"error": tf.reduce_mean(error)},
            histograms={"error": error},
            images={"constant": tf.zeros([1, 4, 4, 3], tf.uint8)},
        )


def example(step):
    """One global batch of 4 examples, a function of the step alone."""
    x = tf.random.stateless_uniform([4, 2], [7, tf.cast(step, tf.int32)], -1.0, 1.0)
    return x, tf.linalg.matvec(x, tf.constant([2.0, 3.0])) + 1.0


def batches(strategy):
    """Distributed batches that begin at any step."""

    def begin(start_step):
        def dataset(context):
            size = context.get_per_replica_batch_size(4)
            steps = tf.data.Dataset.range(start_step, 1 << 40)
            return steps.map(example).unbatch().batch(size, drop_remainder=True)

        return strategy.distribute_datasets_from_function(dataset)

    return begin
