"""U2PL's contrastive loss: unreliable pixels are negatives of unlikely classes.

In shapes, [pixels, ...] are the pixels of a part of the batch at the resolution of the
representations: first those of the labeled images, then those of the unlabeled ones.

Source: "Semi-Supervised Semantic Segmentation Using Unreliable Pseudo-Labels" (Wang et
al., CVPR 2022), section 3.3, and `compute_contra_memobank_loss` of its published code.
That code indexes anchors and prototypes by the classes that occur in the batch, but the
banks by class id; here all three are indexed by class id.
"""

from collections.abc import Sequence
from typing import Annotated, Literal, NamedTuple, Optional

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.ops.random import per_example_uniform
from wss.settings import Count, Range

NEGATIVE_RULES = ("paper", "official")


class Roles(NamedTuple):
    """The roles of the pixels for each class, each [pixels, classes], bool.

    Attributes:
      reliable: pixels with the class as label and low entropy; their mean is the
        positive.
      anchors: reliable pixels with a minimum probability of the class.
      negatives: pixels that are similar to the class but probably not of it.
    """

    reliable: tf.Tensor
    anchors: tf.Tensor
    negatives: tf.Tensor


def assign_roles(
    one_hot: tf.Tensor,
    low_entropy: tf.Tensor,
    high_entropy: tf.Tensor,
    probabilities: tf.Tensor,
    num_labeled: int,
    *,
    low_rank: int = 3,
    high_rank: int = 20,
    min_probability: float = 0.3,
    negative_rule: str = "paper",
) -> Roles:
    """Selects the anchors, positives and negatives of each class.

    A labeled pixel is a negative of its `low_rank` most probable classes, except its
    own. An unreliable unlabeled pixel is a negative of the classes of rank `low_rank`
    up to `high_rank` (exclusive), which are neither likely nor very unlikely.

    Args:
      one_hot: [pixels, classes], float32, label or pseudo label; all 0 where ignored.
      low_entropy: [pixels], bool, labeled or reliable.
      high_entropy: [pixels], bool, labeled or unreliable.
      probabilities: [pixels, classes], float32, of the teacher.
      num_labeled: number of labeled pixels; they come first.
      low_rank: see above; ranks begin at 0.
      high_rank: see above.
      min_probability: anchors have a larger probability of their class.
      negative_rule: "paper" for the rule above; "official" for the published code,
        where only unlabeled pixels with the class as pseudo label are negatives.
    """
    pixels, classes = one_hot.shape
    labeled = (tf.range(pixels) < num_labeled)[:, tf.newaxis]
    shows = one_hot > 0
    reliable = shows & low_entropy[:, tf.newaxis]
    anchors = reliable & (probabilities > min_probability)

    order = tf.argsort(probabilities, direction="DESCENDING", stable=True)
    rank = tf.argsort(order)  # Of each class of a pixel.
    ranked = tf.where(
        labeled, rank < low_rank, (rank >= low_rank) & (rank < min(high_rank, classes))
    )
    known = tf.reduce_any(shows, -1, keepdims=True) & high_entropy[:, tf.newaxis]
    allowed = ~(labeled & shows) if negative_rule == "paper" else ~labeled & shows
    return Roles(reliable, anchors, known & ranked & allowed)


class MemoryBank(tf.Module):
    """The representations of each class's latest negatives.

    One variable holds the ring buffers of all classes. Every replica has a copy and
    pushes the keys of all replicas.
    """

    def __init__(self, capacities: Sequence[int], depth: int):
        """Creates empty banks.

        Args:
          capacities: number of rows of each class.
          depth: of the representations.
        """
        super().__init__()
        self.capacities = tuple(capacities)
        own_copy = dict(
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        # Keys that are not stored are written to the last row.
        self.rows = tf.Variable(
            tf.zeros([sum(capacities) + 1, depth]), name="rows", **own_copy
        )
        # Number of rows pushed so far, per class.
        self.pushed = tf.Variable(
            tf.zeros([len(capacities)], tf.int64), name="pushed", **own_copy
        )

    @property
    def sizes(self) -> tf.Tensor:
        """Number of filled rows of each class, [classes], int64."""
        return tf.minimum(self.pushed.read_value(), self._capacities)

    def push(self, keys: tf.Tensor, present: tf.Tensor) -> None:
        """Appends rows; in a full bank they replace the oldest.

        Args:
          keys: [classes, keys, depth], float32, in order.
          present: [classes, keys], bool, False for keys to skip.
        """
        place = tf.cumsum(tf.cast(present, tf.int64), axis=1)
        count = place[:, -1]
        # Skips keys that later ones of the same call would replace.
        kept = present & (place > (count - self._capacities)[:, tf.newaxis])
        rows = self._row(self.pushed.read_value()[:, tf.newaxis] + place - 1)
        rows = tf.where(kept, rows, sum(self.capacities))
        # In place, because the banks are large: a variable with a copy per replica can
        # otherwise only be assigned as a whole.
        tf.raw_ops.ResourceScatterNdUpdate(
            ref=self.rows.handle,
            indices=tf.reshape(rows, [-1, 1]),
            updates=tf.reshape(keys, [-1, keys.shape[-1]]),
        )
        self.pushed.assign_add(count)

    def take(self, ages: tf.Tensor) -> tf.Tensor:
        """Gathers rows: [classes, ..., depth] for `ages` [classes, ...], int64.

        Age 0 is the oldest row of the class. The rows of an empty bank are 0.
        """
        first = tf.maximum(self.pushed.read_value() - self._capacities, 0)
        shape = [-1] + [1] * (ages.shape.rank - 1)
        return tf.gather(self.rows, self._row(tf.reshape(first, shape) + ages))

    @property
    def _capacities(self) -> tf.Tensor:
        return tf.constant(self.capacities, tf.int64)

    def _row(self, numbers: tf.Tensor) -> tf.Tensor:
        """The rows of the n-th keys of each class; n: [classes, ...], int64."""
        shape = [-1] + [1] * (numbers.shape.rank - 1)
        starts = tf.cumsum(self._capacities, exclusive=True)
        capacities = tf.reshape(self._capacities, shape)
        return tf.reshape(starts, shape) + numbers % capacities


def draw_members(members: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Samples pixels of each class, with replacement.

    Args:
      members: [pixels, classes], bool, the pixels of each class.
      uniforms: [classes, draws], float32 in [0, 1).

    Returns:
      [classes, draws], int32, pixels; arbitrary for a class without members.
    """
    counts = tf.cumsum(tf.transpose(tf.cast(members, tf.int32)), axis=1)
    total = tf.cast(counts[:, -1:], tf.float32)
    chosen = tf.minimum(tf.cast(uniforms * total, tf.int32), counts[:, -1:] - 1)
    pixels = tf.searchsorted(counts, chosen + 1)
    return tf.clip_by_value(pixels, 0, members.shape[0] - 1)


def select_keys(
    members: tf.Tensor, priorities: tf.Tensor, count: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Selects up to `count` pixels of each class, in order.

    Args:
      members: [pixels, classes], bool.
      priorities: [pixels], float32 in [0, 1); of more than `count` members, those with
        the highest priorities are selected.
      count: largest number of pixels per class.

    Returns:
      [classes, count], int32, pixels; [classes, count], bool, False for entries that
      are not members.
    """
    count = min(count, members.shape[0])
    scores = tf.where(tf.transpose(members), 1.0 + priorities, 0.0)
    _, pixels = tf.math.top_k(scores, count)
    pixels = tf.sort(pixels)
    return pixels, tf.gather(tf.transpose(members), pixels, batch_dims=1)


def prototypes(representations: tf.Tensor, reliable: tf.Tensor) -> tf.Tensor:
    """The mean representation [classes, depth] of each class's reliable pixels."""
    weights = tf.cast(reliable, tf.float32)
    sums = tf.einsum("pc,pd->cd", weights, representations)
    return tf.math.divide_no_nan(sums, tf.reduce_sum(weights, 0)[:, tf.newaxis])


def contrastive_loss(
    anchors: tf.Tensor,
    positives: tf.Tensor,
    negatives: tf.Tensor,
    usable: tf.Tensor,
    present: tf.Tensor,
    temperature: float = 0.5,
) -> tf.Tensor:
    """InfoNCE: attracts anchors to their class's positive, repels them from negatives.

    Args:
      anchors: [classes, anchors, depth], float32, of the student.
      positives: [classes, depth].
      negatives: [classes, anchors, negatives, depth].
      usable: [classes], bool, True for a class with anchors and negatives.
      present: [classes], bool, True for a class with reliable pixels.
      temperature: divides the cosines.

    Returns:
      Scalar, float32: the mean over the present classes; a class that is not usable
      counts as 0. It is 0 if fewer than two classes are present.
    """
    anchors = anchors * _inverse_length(anchors)
    positives = positives * _inverse_length(positives)
    # Normalizing after the product avoids a copy of all negatives.
    own = tf.einsum("cqd,cd->cq", anchors, positives)[..., tf.newaxis]
    others = tf.einsum("cqd,cqkd->cqk", anchors, negatives)
    others *= _inverse_length(negatives)[..., 0]
    cosines = tf.concat([own, others], 2)
    log_shares = tf.nn.log_softmax(cosines / temperature)[..., 0]
    losses = -tf.reduce_mean(log_shares, 1)
    count = tf.reduce_sum(tf.cast(present, tf.float32))
    total = tf.reduce_sum(tf.where(usable & present, losses, 0.0))
    return tf.where(count > 1, tf.math.divide_no_nan(total, count), 0.0)


def _inverse_length(vectors: tf.Tensor) -> tf.Tensor:
    """1 / |vectors|, [..., 1], with the bound of PyTorch's cosine similarity."""
    squares = tf.reduce_sum(vectors**2, -1, keepdims=True)
    return tf.math.rsqrt(tf.maximum(squares, 1e-16))


@gin.configurable(denylist=["num_classes"])
class Contrast(tf.Module):
    """The contrastive loss and its memory banks."""

    def __init__(
        self,
        num_classes: int,
        *,
        depth: Count = 256,
        negative_rule: Literal[NEGATIVE_RULES] = "paper",
        low_rank: Optional[Count] = None,
        high_rank: Annotated[Count, Range(above="low_rank")] = 20,
        queries: Count = 256,
        negatives: Count = 50,
        new_keys: Count = 1024,
        bank_capacity: Count = 30000,
        first_bank_capacity: Count = 50000,
    ):
        """Creates empty banks.

        Args:
          num_classes: number of classes.
          depth: channels of the representations.
          negative_rule: "paper", or "official" for the published code, see
            `assign_roles`.
          low_rank: an unreliable pixel is not a negative of its `low_rank` most
            probable classes. Default: a seventh of the number of classes, 1 to 3.
          high_rank: nor of the classes after its `high_rank` most probable ones.
          queries: number of anchors of each class in a step.
          negatives: number of negatives of each anchor.
          new_keys: largest number of pixels of each class that a micro-batch adds to
            the banks.
          bank_capacity: number of rows of a class's bank, except class 0.
          first_bank_capacity: number of rows of class 0's bank (background or road).

        Raises:
          UserError: unknown `negative_rule`.
        """
        super().__init__()
        if negative_rule not in NEGATIVE_RULES:
            raise UserError(
                f"Contrast.negative_rule = {negative_rule!r}: it has to be one of "
                f"{', '.join(NEGATIVE_RULES)}."
            )
        self.depth = depth
        self._num_classes = num_classes
        self._rule = negative_rule
        self._ranks = (low_rank or min(3, max(1, round(num_classes / 7))), high_rank)
        self._queries = queries
        self._negatives = negatives
        self._new_keys = new_keys
        capacities = [first_bank_capacity, *(num_classes - 1) * [bank_capacity]]
        self.bank = MemoryBank(capacities, depth)

    @property
    def fill(self) -> tf.Tensor:
        """Mean filled share of the classes' banks, scalar float32."""
        capacities = tf.constant(self.bank.capacities, tf.float32)
        return tf.reduce_mean(tf.cast(self.bank.sizes, tf.float32) / capacities)

    def compute(
        self,
        labels: tf.Tensor,
        low_entropy: tf.Tensor,
        high_entropy: tf.Tensor,
        probabilities: tf.Tensor,
        student: tf.Tensor,
        teacher: tf.Tensor,
        num_labeled: int,
        seed: tf.Tensor,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Computes the loss of a part of the batch and its keys for the banks.

        Args:
          labels: [pixels], int32, label or pseudo label; -1 where it is ignored.
          low_entropy: [pixels], bool, see `assign_roles`.
          high_entropy: [pixels], bool, see `assign_roles`.
          probabilities: [pixels, classes], float32, see `assign_roles`.
          student: [pixels, depth], float32, representations of the student.
          teacher: [pixels, depth], float32, representations of the teacher.
          num_labeled: number of labeled pixels; they come first.
          seed: [2], int32.

        Returns:
          Scalar, float32; "keys" [classes, keys, depth], float32, and "present"
          [classes, keys], float32, 0 for keys to skip.
        """
        low_rank, high_rank = self._ranks
        roles = assign_roles(
            tf.one_hot(labels, self._num_classes),
            low_entropy,
            high_entropy,
            probabilities,
            num_labeled,
            low_rank=low_rank,
            high_rank=high_rank,
            negative_rule=self._rule,
        )
        shape = [self._num_classes, self._queries]
        anchors = draw_members(roles.anchors, _uniform(shape, seed, 0))
        loss = contrastive_loss(
            tf.gather(student, anchors),
            prototypes(teacher, roles.reliable),
            self._draw_negatives([*shape, self._negatives], seed),
            usable=tf.reduce_any(roles.anchors, 0) & (self.bank.sizes > 0),
            present=tf.reduce_any(roles.reliable, 0),
        )
        priorities = _uniform(labels.shape, seed, 2)
        pixels, present = select_keys(roles.negatives, priorities, self._new_keys)
        keys = tf.gather(teacher, pixels)
        return loss, {"keys": keys, "present": tf.cast(present, tf.float32)}

    def push(self, keys: tf.Tensor, present: tf.Tensor) -> None:
        """Pushes the keys that `compute` returned for all parts, each [parts, ...]."""
        classes = self._num_classes
        self.bank.push(
            tf.reshape(tf.transpose(keys, [1, 0, 2, 3]), [classes, -1, self.depth]),
            tf.reshape(tf.transpose(present, [1, 0, 2]), [classes, -1]) > 0,
        )

    def _draw_negatives(self, shape: list[int], seed: tf.Tensor) -> tf.Tensor:
        last = tf.reshape(tf.maximum(self.bank.sizes - 1, 0), [-1, 1, 1])
        ages = _uniform(shape, seed, 1) * tf.cast(last + 1, tf.float32)
        return self.bank.take(tf.minimum(tf.cast(ages, tf.int64), last))


def _uniform(shape: Sequence[int], seed: tf.Tensor, number: int) -> tf.Tensor:
    # The default generator depends on the device.
    seed = tf.random.experimental.stateless_fold_in(seed, number, alg="philox")
    return per_example_uniform(shape, seed[tf.newaxis])[0]
