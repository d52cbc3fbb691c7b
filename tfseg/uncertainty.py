"""Measures how well uncertainty separates wrong pixels from right ones. Counts of batches, replicas and images can be added."""

import html

import numpy as np
import tensorflow as tf

from input_pipeline import IGNORE
from tfseg import counts as counts_lib
from tfseg import tables
from tfseg.inference import monte_carlo

# Bins of one kind of uncertainty. Most values are near 0: bin b begins at largest * (b / BINS)**4 to resolve these.
BINS, POWER = 4096, 4


def counted(samples: int, seed: int, num_classes: int) -> counts_lib.Count:
    """ "monte_carlo" of the evaluation file: what `numbers` returns of `samples` samples that `seed` repeats."""
    kinds = len(monte_carlo.KINDS)
    return counts_lib.Count(
        (np.zeros([kinds, 2, BINS], np.int64), np.zeros([kinds, 2])),
        lambda seen: count(seen.uncertainty, seen.label, seen.prediction, num_classes),
        lambda total: {"monte_carlo": {"samples": samples, "seed": seed, **numbers(*total)}},
        lambda result: f"<h2>Uncertainty</h2>\n<pre>{html.escape(table(result['monte_carlo']))}</pre>",
    )


def count(uncertainty: dict, label, prediction, num_classes: int):
    """Counts the right and the wrong pixels by their uncertainty. Counts and sums of batches and replicas can be added.

    Args:
        uncertainty: {name in `monte_carlo.KINDS`: values}, float32 [batch, height, width].
        label: integer [batch, height, width]; IGNORE and ids of num_classes or more do not count.
        prediction: integer of the same shape.
        num_classes: classes of the network.

    Returns:
        (counts, int64 [kinds, 2, BINS]; sums of the uncertainty, float64 [kinds, 2]), right pixels before wrong ones.
    """
    with tf.device("CPU:0"):  # as in metrics.confusion_matrix
        label, prediction = (tf.reshape(tf.cast(ids, tf.int32), [-1]) for ids in (label, prediction))
        counted = tf.logical_and(label < num_classes, label != IGNORE)
        label, prediction = label[counted], prediction[counted]
        wrong = tf.cast(label != prediction, tf.int32)
        counts, sums = [], []
        for kind, most in monte_carlo.largest(num_classes).items():
            value = tf.reshape(uncertainty[kind], [-1])[counted]
            place = tf.clip_by_value(value / max(most, 1e-9), 0, 1) ** (1 / POWER)
            cell = tf.minimum(tf.cast(place * BINS, tf.int32), BINS - 1) + BINS * wrong
            counts.append(tf.reshape(tf.math.bincount(cell, minlength=2 * BINS, maxlength=2 * BINS), [2, BINS]))
            sums.append(tf.math.unsorted_segment_sum(tf.cast(value, tf.float64), wrong, 2))
        return tf.cast(tf.stack(counts), tf.int64), tf.stack(sums)


def numbers(counts, sums) -> dict:
    """The numbers of the evaluation file from the sums of what `count` returned.

    Returns:
        {kind: {"right", "wrong": mean over the right and over the wrong pixels; "auc"}}. `auc` is the probability that a wrong
        pixel has more uncertainty than a right one (of equal bins, one half): 0.5 is chance, 1 perfect. A mean without
        pixels, and its `auc`, are None.
    """
    found = {}
    for kind, (right, wrong), of_kind in zip(
        monte_carlo.KINDS, np.asarray(counts, float), np.asarray(sums), strict=True
    ):
        pixels = right.sum(), wrong.sum()
        means = [total / n if n else None for total, n in zip(of_kind.tolist(), pixels, strict=True)]
        below = np.cumsum(right) - right / 2
        auc = float(wrong @ below / (pixels[0] * pixels[1])) if min(pixels) else None
        found[kind] = {"right": means[0], "wrong": means[1], "auc": auc}
    return found


def table(found: dict) -> str:
    """What `numbers` returned, as a table; other keys are left out."""
    shown = {kind: found[kind].values() for kind in monte_carlo.KINDS}
    rows = [[kind, *("-" if v is None else f"{v:.4f}" for v in values)] for kind, values in shown.items()]
    return tables.text(["uncertainty", "mean of right", "mean of wrong", "ranks errors (AUC)"], rows)
