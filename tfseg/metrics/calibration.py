"""Calibration: whether pixels predicted with a probability of 0.8 are right in 80 % of the cases."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from input_pipeline import IGNORE
from tfseg import metrics
from tfseg.counts import Count

# Probabilities and scores are summed as whole numbers of 1 / UNIT, so that the order of batches and replicas changes nothing.
# 1e10 pixels, 5,000 images of Cityscapes, fit into int64 with a log-likelihood of 50 a pixel.
UNIT = 1 << 24
# A confidence less than 1e-6 above the border of two bins is on the border, since float32 has no 0.6.
SLACK = 16  # units
DIGITS = 6  # of the values: the last bit of float32 scores depends on the batch size and the device


def calibration(classes: Sequence[str], *, bins: int = 15) -> Count:
    """Expected calibration error, and what the reliability diagram shows.

    Guo et al., On Calibration of Modern Neural Networks, ICML 2017 (arXiv:1706.04599), equations 3 and 5. A pixel's
    confidence is the largest of its probabilities, and bin b holds confidences in (b / bins, (b + 1) / bins].

    Args:
        classes: names of the data set's classes.
        bins: how many, 1 or more.

    Returns:
        A count with `expected_calibration_error`, 0..1: the mean over the pixels of |accuracy - mean confidence| of their bin,
        and `calibration`: {"ece" (the same), "mce" (the largest gap), "brier" (sum over the classes of squared errors of
        the probabilities, mean over the pixels), "nll" (mean of -ln of the label's probability), "bins", "rows" (of each
        bin with pixels: its number, pixels, accuracy, mean confidence)}. Values are None without a labelled pixel.
    """
    if not isinstance(bins, int) or isinstance(bins, bool) or bins < 1:
        raise ValueError(f"Expected bins: a whole number, 1 or more. Received: {bins!r}.")

    def update(seen):
        valid = tf.not_equal(seen.label, IGNORE)
        logarithms = tf.nn.log_softmax(tf.cast(seen.scores, tf.float32))
        probabilities = tf.exp(logarithms)
        label = tf.where(valid, tf.cast(seen.label, tf.int32), 0)
        of_label = tf.gather(logarithms, label, batch_dims=3)
        brier = tf.reduce_sum(probabilities**2, -1) - 2 * tf.exp(of_label) + 1
        confidence = units(tf.reduce_max(probabilities, -1))
        bin_ = tf.clip_by_value((confidence * bins - SLACK * bins - 1) // UNIT, 0, bins - 1)
        right = tf.cast(tf.equal(seen.prediction, label), tf.int64)
        cell = tf.where(valid, bin_ + bins * right, -1)  # -1 is counted nowhere
        with tf.device("CPU:0"):  # sums of int64
            pairs = tf.stack([tf.ones_like(confidence), confidence], -1)
            sums = tf.math.unsorted_segment_sum(tf.reshape(pairs, [-1, 2]), tf.reshape(cell, [-1]), 2 * bins)
            scores = [tf.reduce_sum(tf.where(valid, units(x), 0)) for x in (brier, -of_label)]
        return {"bins": tf.reshape(sums, [2, bins, 2]), "scores": tf.stack(scores)}

    zero = {"bins": np.zeros([2, bins, 2], np.int64), "scores": np.zeros(2, np.int64)}
    return Count(zero, update, lambda total: values(total, bins), section)


def units(value):
    """A tensor as whole numbers of 1 / UNIT, int64; what is beyond 1e6 is cut."""
    return tf.cast(tf.round(tf.cast(tf.clip_by_value(value, -1e6, 1e6), tf.float64) * UNIT), tf.int64)


def values(total: dict, bins: int) -> dict:
    """The entries of the evaluation file; see `calibration`."""
    right, pixels = total["bins"][1, :, 0], total["bins"][..., 0].sum(0)
    confidences, count = total["bins"][..., 1].sum(0) / UNIT, int(pixels.sum())
    if not count:
        nothing = dict.fromkeys(("ece", "mce", "brier", "nll"))
        return {"expected_calibration_error": None, "calibration": {**nothing, "bins": bins, "rows": []}}
    rows = [[int(b), int(pixels[b]), right[b] / pixels[b], confidences[b] / pixels[b]] for b in np.flatnonzero(pixels)]
    rows = [[b, n, float(accuracy), float(confidence)] for b, n, accuracy, confidence in rows]
    gaps = [abs(accuracy - confidence) for _, _, accuracy, confidence in rows]
    ece = sum(n * gap for (_, n, *_), gap in zip(rows, gaps, strict=True)) / count
    brier, nll = (total["scores"] / UNIT / count).tolist()
    found = {"ece": ece, "mce": max(gaps), "brier": brier, "nll": nll}
    found = {name: round(value, DIGITS) for name, value in found.items()}
    rows = [[b, n, round(accuracy, DIGITS), round(confidence, DIGITS)] for b, n, accuracy, confidence in rows]
    return {"expected_calibration_error": found["ece"], "calibration": {**found, "bins": bins, "rows": rows}}


def section(result: dict) -> str:
    """The reliability diagram, as SVG: a bar for each bin, beside the diagonal of perfect calibration."""
    found = result["calibration"]
    if not found["rows"]:
        return "<h2>Calibration</h2>\n<p>No image has a labelled pixel.</p>"
    total, wide = sum(n for _, n, *_ in found["rows"]), 300 / found["bins"]
    bars = []
    for number, n, accuracy, confidence in found["rows"]:
        said = f"confidence {metrics.percent(confidence)} %: {metrics.percent(accuracy)} % right, {n:,} pixels"
        left, share = 40 + wide * number, 60 * n / total
        bars.append(
            f"<g><title>{said}</title>"
            f'<rect class="bar" x="{left:.1f}" y="{310 - 300 * accuracy:.1f}" width="{wide - 1:.1f}" '
            f'height="{300 * accuracy:.1f}"/>'
            f'<circle cx="{40 + 300 * confidence:.1f}" cy="{310 - 300 * accuracy:.1f}" r="3"/>'
            f'<rect class="share" x="{left:.1f}" y="{410 - share:.1f}" width="{wide - 1:.1f}" height="{share:.1f}"/></g>'
        )
    marks = "".join(
        f'<text x="{40 + 3 * p}" y="325" text-anchor="middle">{p}</text>'
        f'<text x="34" y="{314 - 3 * p}" text-anchor="end">{p}</text>'
        for p in (0, 25, 50, 75, 100)
    )
    numbers = {"expected error": "ece", "largest error": "mce"}
    said = ", ".join(f"{name} {metrics.percent(found[key])} %" for name, key in numbers.items())
    return (
        f"<h2>Calibration</h2>\n<p>Each bar is the share of right pixels among those predicted with a confidence in its range, "
        "and each point lies at their mean confidence: on the line, a network is as often right as it says. Below it is the "
        f"share of the pixels. Calibration errors: {said}. Brier score {found['brier']:.4f}, negative log-likelihood "
        f'{found["nll"]:.4f}.</p>\n<svg class="reliability" viewBox="0 0 350 416" role="img" aria-label="Reliability diagram">'
        f'<path d="M40 310H340V10H40Z"/>{"".join(bars)}<path d="M40 310L340 10" stroke-dasharray="5 4"/>{marks}'
        '<text x="190" y="342" text-anchor="middle">confidence %</text>'
        '<text x="12" y="160" text-anchor="middle" transform="rotate(-90 12 160)">right %</text></svg>'
    )
