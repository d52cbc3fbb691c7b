"""What an evaluation counts: sums over pixels, images, batches and replicas, and the numbers that come from the totals.

A `Count` is all that the evaluation knows about a number. What it needs for a batch is in `Seen`; only sums are kept, so memory
does not grow with the number of images, and the totals of replicas and machines are those of one.
"""

import types
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from input_pipeline import IGNORE
from tfseg import losses as losses_lib
from tfseg import metrics


class Seen(NamedTuple):
    """A batch of one replica, inside tf.function. Ids of classes are those of the data set; see `Count`."""

    image: tf.Tensor  # uint8 [batch, height, width, 3], RGB
    label: tf.Tensor  # uint8 [batch, height, width]; IGNORE for pixels that do not count
    scores: tf.Tensor  # float32 [batch, height, width, C], logits
    prediction: tf.Tensor  # int32 [batch, height, width], the first of the largest scores
    uncertainty: dict  # of Monte Carlo samples: {kind: float32 [batch, height, width]}; without samples it is empty
    others: Mapping = types.MappingProxyType({})  # {name: tensor} of what the counts read besides; see `Count.reads`


class Count(NamedTuple):
    """A sum over the images, and what it says.

    A network may have more classes than the data set; their ids come after those of the data set. An image whose label is
    IGNORE everywhere may only fill up a batch, so an update must not count it.
    """

    zero: Any  # NumPy arrays of int64 or float64, in lists or dicts: the total of no image
    # -> tensors in the same structure; the sum over all batches and replicas is the total
    update: Callable[[Seen], Any]
    values: Callable[[Any], dict]  # the total -> entries of the evaluation file
    # the evaluation file -> a part of the report, HTML with a heading
    section: Callable[[dict], str] = lambda result: ""
    # outputs of the network and tensors of the batch that the update finds in `Seen.others`
    reads: tuple[str, ...] = ()


def add(total: Any, more: Any) -> Any:
    """The total of two disjoint sets of images; `more` may be tensors."""
    return tf.nest.map_structure(lambda a, b: a + np.asarray(b), total, more)


def check_reads(counts: Mapping[str, Count], outputs, batch) -> None:
    """Raises ValueError if a count reads what is neither among the network's `outputs` nor in a `batch`, both names."""
    for name, count in counts.items():
        instead = f"a network and a data set that have it, or leave {name} out"
        losses_lib.check_known(name, count.reads, outputs, batch, instead)


def of_images(seen: Seen, names) -> list[tf.Tensor]:
    """What `names` say of the images of `Seen`, without those that only fill up a batch."""
    kept = tf.reduce_any(tf.not_equal(tf.cast(seen.label, tf.int32), IGNORE), axis=(1, 2))
    known = {
        "image": seen.image,
        "label": seen.label,
        "logits": seen.scores,
        "prediction": seen.prediction,
        **seen.others,
    }
    return [tf.boolean_mask(known[name], kept) for name in names]


def confusion(num_classes: int) -> Count:
    """The confusion matrix, int64 [C, C]: rows are labels, columns predictions."""
    zero = np.zeros([num_classes, num_classes], np.int64)
    return Count(zero, lambda seen: metrics.confusion_matrix(seen.label, seen.prediction, num_classes), lambda _: {})


def unlabelled(num_classes: int) -> Count:
    """The predictions of pixels without a label, int64 [C]."""
    zero = np.zeros(num_classes, np.int64)
    return Count(zero, lambda seen: metrics.unlabelled(seen.label, seen.prediction, num_classes), lambda _: {})


def losses(terms: list[losses_lib.Term]) -> Count:
    """Losses of the scores and of other outputs: {"loss": .., "logits/<term>": ..}, without auxiliary outputs.

    For each term it is its weight times its sum over the split divided by its count over the split; the loss is the sum of
    the terms. A term with a count of 0 is 0. Terms that read further outputs are computed of the images with a labelled pixel.
    """
    others = sorted({name for term in terms if term.reads != losses_lib.PIXELS for name in (*term.reads, "label")})

    def update(seen):
        found = dict(zip(others, of_images(seen, others), strict=True))
        pairs = [
            term.function(seen.scores, seen.label)
            if term.reads == losses_lib.PIXELS
            else term.function(*losses_lib.read(term, found, found))
            for term in terms
        ]
        return [tf.cast(tf.stack(pair), tf.float64) for pair in pairs]

    def values(total):
        pairs = np.asarray(total).tolist()
        parts = {f"{t.reads[0]}/{t.name}": t.weight * (n and s / n) for t, (s, n) in zip(terms, pairs, strict=True)}
        return {"loss": sum(parts.values()), **parts}

    given = ("image", "label", "logits")  # which every `Seen` has
    reads = tuple(name for name in others if name not in given)
    return Count([np.zeros(2) for _ in terms], update, values, reads=reads)
