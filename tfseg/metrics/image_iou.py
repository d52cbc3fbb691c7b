"""Distribution of the images' mean IoU."""

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from input_pipeline import IGNORE
from tfseg.counts import Count
from tfseg.metrics import count_cells, percent

BINS, SHOWN = 100, 20  # of the histogram, and of its bars in the report
UNIT = 1 << 40  # scores are summed as whole numbers of 1 / UNIT, so that the order of the images changes nothing


def image_iou(classes: Sequence[str]) -> Count:
    """The histogram of the mean IoU of each image, over the classes in its label or its prediction.

    Images without a labelled pixel do not count. The mean of the images (PASCAL VOC's "mIoU^I" in Csurka et al., BMVC 2013,
    and Wang et al., arXiv:2310.19252) gives an image with small objects the same weight as one with large ones.

    Args:
        classes: names of the data set's classes.

    Returns:
        A count with `mean_image_iou`, 0..1, and `image_iou`: {"images", "deviation" (standard deviation over the images),
        "p10", "median", "p90" (from the histogram, exact to 0.01), "histogram" (images in 100 bins of 0.01)}.
    """

    def update(seen):
        scores, labelled = _scores(seen, len(classes))
        histogram = tf.one_hot(tf.minimum(scores * BINS // UNIT, BINS - 1), BINS, dtype=tf.int64)
        squares = tf.cast(tf.round((tf.cast(scores, tf.float64) / UNIT) ** 2 * UNIT), tf.int64)
        found = tf.concat([histogram, scores[:, tf.newaxis], squares[:, tf.newaxis]], 1)
        return tf.reduce_sum(found * tf.cast(labelled, tf.int64)[:, tf.newaxis], 0)

    def values(total):
        histogram, (mean, squares) = total[:BINS], (total[BINS:] / UNIT).tolist()
        images = int(histogram.sum())
        if not images:
            return {"mean_image_iou": None, "image_iou": {"images": 0}}
        mean, squares = mean / images, squares / images
        shares = {"p10": 0.1, "median": 0.5, "p90": 0.9}
        found = {"images": images, "deviation": math.sqrt(max(squares - mean**2, 0.0))}
        found |= {name: quantile(histogram, share) for name, share in shares.items()}
        return {"mean_image_iou": mean, "image_iou": {**found, "histogram": histogram.tolist()}}

    return Count(np.zeros(BINS + 2, np.int64), update, values, section)


def _scores(seen, classes):
    """The mean IoU of each image as a whole number of 1 / UNIT, int64 [batch], and whether it has a labelled pixel."""
    label, outputs = tf.cast(seen.label, tf.int32), max(classes, seen.scores.shape[-1])
    valid, batch = label != IGNORE, tf.shape(label)[0]
    image = tf.range(batch)[:, tf.newaxis, tf.newaxis]
    count = count_cells(valid, (image * classes + label) * outputs + seen.prediction, batch * classes * outputs)
    confusion = tf.reshape(count, [batch, classes, outputs])
    right = tf.linalg.diag_part(confusion[..., :classes])
    union = tf.reduce_sum(confusion, 2) + tf.reduce_sum(confusion, 1)[:, :classes] - right
    iou = tf.math.divide_no_nan(tf.cast(right, tf.float64), tf.cast(union, tf.float64))
    # Whole numbers from here on: a sum of floats would depend on how many images are in the batch.
    total = tf.reduce_sum(tf.cast(tf.round(iou * UNIT), tf.int64), 1)
    present = tf.math.count_nonzero(union, 1)
    return total // tf.maximum(present, 1), tf.reduce_any(valid, [1, 2])


def quantile(histogram: np.ndarray, share: float) -> float:
    """The value below which a share of the images lies, 0..1; images are spread evenly over their bin."""
    below = np.cumsum(histogram)
    place = share * below[-1]
    bin_ = int(np.searchsorted(below, place))
    return float((bin_ + (place - (below[bin_] - histogram[bin_])) / histogram[bin_]) / len(histogram))


def section(result: dict) -> str:
    """The histogram as bars."""
    found = result["image_iou"]
    if not found["images"]:
        return "<h2>Distribution of the images</h2>\n<p>No image has a labelled pixel.</p>"
    numbers = {
        "mean": result["mean_image_iou"], "10th percentile": found["p10"], "median": found["median"],
        "90th percentile": found["p90"],
    }  # fmt: skip
    said = ", ".join(f"{name} {percent(value)}" for name, value in numbers.items())
    bars, width = np.reshape(found["histogram"], [SHOWN, -1]).sum(1).tolist(), 100 // SHOWN
    drawn = "".join(
        f'<div style="height:{100 * n / max(bars):.1f}%" title="{width * i} to {width * (i + 1)} %: {n} images"></div>'
        for i, n in enumerate(bars)
    )
    return (
        f"<h2>Distribution of the images</h2>\n<p>Mean IoU in percent of {found['images']} images with labelled pixels, over "
        f'the classes in the label or the prediction of each: {said}.</p>\n<div class="bars">{drawn}</div>\n'
        '<div class="scale"><span>0 %</span><span>mean IoU of an image</span><span>100 %</span></div>'
    )
