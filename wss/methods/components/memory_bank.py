"""U2PL's contrastive loss: unreliable pixels are negatives of what they are not.

Pixels are rows of flat tensors: [pixels, ...] stands for the labeled and then the
unlabeled images of a part of the batch, at the resolution of the representations.

Source: "Semi-Supervised Semantic Segmentation Using Unreliable Pseudo-Labels" (Wang et
al., CVPR 2022), section 3.3, and `compute_contra_memobank_loss` of its published code.
That code pairs anchors and prototypes by their place among the classes that occur and
queues by class id; here all three go by class id.
"""

from typing import Annotated, Dict, List, Literal, NamedTuple, Optional, Sequence, Tuple

import gin
import tensorflow as tf

from wss.errors import UserError
from wss.ops.random import uniform
from wss.settings import Count, Range

NEGATIVE_RULES = ("paper", "official")


class Roles(NamedTuple):
    """Which pixels play which role for each class, each [pixels, classes], bool.

    Attributes:
      reliable: show the class, and the teacher is sure; their mean is the positive.
      anchors: those of `reliable` to which the teacher gives the class some chance.
      negatives: probably do not show the class, but look a little like it.
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
    """Says which pixels are anchors, positives and negatives of which class.

    A labeled pixel is a negative of a class that it does not show, but that the teacher
    ranks among the first `low_rank`; an unreliable unlabeled one of the classes from
    `low_rank` up to `high_rank`, which are neither likely nor hopeless.

    Args:
      one_hot: [pixels, classes], float32, of the label or the pseudo label; all 0 where
        it is ignored.
      low_entropy: [pixels], bool, labeled or reliable.
      high_entropy: [pixels], bool, labeled or unreliable.
      probabilities: [pixels, classes], float32, of the teacher.
      num_labeled: how many of the pixels, the first, are labeled.
      low_rank: see above; ranks begin at 0.
      high_rank: see above.
      min_probability: what the teacher has to give an anchor's class.
      negative_rule: "paper" for the above, "official" for what the published code does:
        a negative must carry the class's own label too, which no labeled pixel can.
    """
    pixels, classes = one_hot.shape
    labeled = (tf.range(pixels) < num_labeled)[:, tf.newaxis]
    shows = one_hot > 0
    reliable = shows & low_entropy[:, tf.newaxis]
    anchors = reliable & (probabilities > min_probability)

    order = tf.argsort(probabilities, direction="DESCENDING", stable=True)
    rank = tf.argsort(order)  # Of each class, among the pixel's.
    ranked = tf.where(
        labeled, rank < low_rank, (rank >= low_rank) & (rank < min(high_rank, classes))
    )
    known = tf.reduce_any(shows, -1, keepdims=True) & high_entropy[:, tf.newaxis]
    allowed = ~(labeled & shows) if negative_rule == "paper" else ~labeled & shows
    return Roles(reliable, anchors, known & ranked & allowed)


class MemoryBank(tf.Module):
    """For each class the last representations that were negatives of it.

    The classes' ring buffers lie one behind the other in one variable. Every replica
    keeps a copy, and all push the keys of all.
    """

    def __init__(self, capacities: Sequence[int], depth: int):
        """Creates empty banks.

        Args:
          capacities: rows of each class.
          depth: of a representation.
        """
        super().__init__()
        self.capacities = tuple(capacities)
        own_copy = dict(
            trainable=False,
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        # The last row takes what is to be kept nowhere.
        self.rows = tf.Variable(
            tf.zeros([sum(capacities) + 1, depth]), name="rows", **own_copy
        )
        # How many rows each class has got so far.
        self.pushed = tf.Variable(
            tf.zeros([len(capacities)], tf.int64), name="pushed", **own_copy
        )

    @property
    def sizes(self) -> tf.Tensor:
        """Filled rows of each class, [classes], int64."""
        return tf.minimum(self.pushed.read_value(), self._capacities)

    def push(self, keys: tf.Tensor, present: tf.Tensor) -> None:
        """Adds rows behind the last; the oldest of a full bank go.

        Args:
          keys: [classes, keys, depth], float32, in the order in which they come.
          present: [classes, keys], bool, which of them are any.
        """
        place = tf.cumsum(tf.cast(present, tf.int64), axis=1)
        count = place[:, -1]
        # What would be pushed out by the last of these keys never gets in.
        kept = present & (place > (count - self._capacities)[:, tf.newaxis])
        rows = self._row(self.pushed.read_value()[:, tf.newaxis] + place - 1)
        rows = tf.where(kept, rows, sum(self.capacities))
        # In place: a variable that several replicas have offers assignment as a whole
        # only, and the banks are large.
        tf.raw_ops.ResourceScatterNdUpdate(
            ref=self.rows.handle,
            indices=tf.reshape(rows, [-1, 1]),
            updates=tf.reshape(keys, [-1, keys.shape[-1]]),
        )
        self.pushed.assign_add(count)

    def take(self, ages: tf.Tensor) -> tf.Tensor:
        """Rows by their age: [classes, ..., depth] for `ages`, [classes, ...], int64.

        0 is the oldest row of the class. Where a bank is empty the rows are 0.
        """
        first = tf.maximum(self.pushed.read_value() - self._capacities, 0)
        shape = [-1] + [1] * (ages.shape.rank - 1)
        return tf.gather(self.rows, self._row(tf.reshape(first, shape) + ages))

    @property
    def _capacities(self) -> tf.Tensor:
        return tf.constant(self.capacities, tf.int64)

    def _row(self, numbers: tf.Tensor) -> tf.Tensor:
        """Where the n-th key of each class lies; n [classes, ...], int64."""
        shape = [-1] + [1] * (numbers.shape.rank - 1)
        starts = tf.cumsum(self._capacities, exclusive=True)
        capacities = tf.reshape(self._capacities, shape)
        return tf.reshape(starts, shape) + numbers % capacities


def draw_members(members: tf.Tensor, uniforms: tf.Tensor) -> tf.Tensor:
    """Draws pixels of each class, with replacement.

    Args:
      members: [pixels, classes], bool, from which to draw.
      uniforms: [classes, draws], float32 in [0, 1).

    Returns:
      [classes, draws], int32, pixels; any where a class has none.
    """
    counts = tf.cumsum(tf.transpose(tf.cast(members, tf.int32)), axis=1)
    total = tf.cast(counts[:, -1:], tf.float32)
    chosen = tf.minimum(tf.cast(uniforms * total, tf.int32), counts[:, -1:] - 1)
    pixels = tf.searchsorted(counts, chosen + 1)
    return tf.clip_by_value(pixels, 0, members.shape[0] - 1)


def select_keys(
    members: tf.Tensor, priorities: tf.Tensor, count: int
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Up to `count` pixels of each class, in their order.

    Args:
      members: [pixels, classes], bool.
      priorities: [pixels], float32 in [0, 1); where a class has more than `count`,
        those of the largest priority are taken.
      count: how many.

    Returns:
      [classes, count], int32, pixels; [classes, count], bool, which of them are any.
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
    """Anchors shall be nearer to their class's positive than to its negatives.

    Args:
      anchors: [classes, anchors, depth], float32, of the student.
      positives: [classes, depth].
      negatives: [classes, anchors, negatives, depth].
      usable: [classes], bool: has anchors and negatives.
      present: [classes], bool: has reliable pixels.
      temperature: divides the cosines.

    Returns:
      Scalar, float32: the mean over the classes that are present, where those that are
      not usable count 0; 0 unless two classes are present.
    """
    anchors = anchors * _inverse_length(anchors)
    positives = positives * _inverse_length(positives)
    # Scaled behind the product: a copy of all negatives would take as much memory.
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
    """1 / |vectors|, [..., 1]; the limit is that of PyTorch's cosine similarity."""
    squares = tf.reduce_sum(vectors**2, -1, keepdims=True)
    return tf.math.rsqrt(tf.maximum(squares, 1e-16))


@gin.configurable(denylist=["num_classes"])
class Contrast(tf.Module):
    """The contrastive loss of a step, and the memory banks that outlast it."""

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
          depth: of the representations.
          negative_rule: "paper", or "official": what the published code does
            (`assign_roles`).
          low_rank: an unsure pixel is no negative of its so many likeliest classes;
            unless given a seventh of the classes, 1 to 3.
          high_rank: nor of the classes behind its so many likeliest.
          queries: anchors of each class in a step.
          negatives: of each anchor.
          new_keys: at most so many pixels of each class enter the banks from a part of
            the batch.
          bank_capacity: rows of a class's bank.
          first_bank_capacity: rows of class 0's, the background or the road.

        Raises:
          UserError: unknown negative rule.
        """
        super().__init__()
        if negative_rule not in NEGATIVE_RULES:
            raise UserError(
                f"Contrast.negative_rule = {negative_rule!r}: it is one of "
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
        """Filled share of the banks, scalar float32, the mean over the classes."""
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
    ) -> Tuple[tf.Tensor, Dict[str, tf.Tensor]]:
        """The loss of a part of the batch, and what the banks are to get from it.

        Args:
          labels: [pixels], int32, of label or pseudo label; -1 where it is ignored.
          low_entropy: [pixels], bool, as for `assign_roles`.
          high_entropy: [pixels], bool, as for `assign_roles`.
          probabilities: [pixels, classes], float32, as for `assign_roles`.
          student: [pixels, depth], float32, its representations.
          teacher: [pixels, depth], float32, its representations.
          num_labeled: how many of the pixels, the first, are labeled.
          seed: [2], int32, of all draws.

        Returns:
          Scalar, float32; "keys" [classes, keys, depth], float32, and "present"
          [classes, keys], float32, 1 for those that are any.
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
        """Fills the banks with what `compute` gave for all parts, [parts, ...] each."""
        classes = self._num_classes
        self.bank.push(
            tf.reshape(tf.transpose(keys, [1, 0, 2, 3]), [classes, -1, self.depth]),
            tf.reshape(tf.transpose(present, [1, 0, 2]), [classes, -1]) > 0,
        )

    def _draw_negatives(self, shape: List[int], seed: tf.Tensor) -> tf.Tensor:
        last = tf.reshape(tf.maximum(self.bank.sizes - 1, 0), [-1, 1, 1])
        ages = _uniform(shape, seed, 1) * tf.cast(last + 1, tf.float32)
        return self.bank.take(tf.minimum(tf.cast(ages, tf.int64), last))


def _uniform(shape: Sequence[int], seed: tf.Tensor, number: int) -> tf.Tensor:
    # The default generator depends on the device.
    seed = tf.random.experimental.stateless_fold_in(seed, number, alg="philox")
    return uniform(shape, seed[tf.newaxis])[0]
