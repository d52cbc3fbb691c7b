"""The baseline of video prediction: the last label map of the window is taken for the next one."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from input_pipeline import IGNORE, windows
from tfseg import metrics
from tfseg.counts import Count

UNLABELLED = ("left_out", "wrong")


def copy_last(classes: Sequence[str], *, steps: int = 4, unlabelled: str = "left_out") -> Count:
    """What copying the last label map of a window would score.

    The baseline of Luc et al., Predicting Deeper into the Future of Semantic Segmentation, ICCV 2017 (arXiv:1703.07684). A
    pixel that has a label in the target but none in the last map is left out by default, which favours the baseline, as the
    network is scored there too; or it counts as wrong.

    Args:
        classes: names of the data set's classes.
        steps: label maps in a window, as in the data set.
        unlabelled: "left_out" or "wrong".

    Returns:
        A count with `copy_last_miou` and `copy_last_pixel_accuracy`, 0..1 or None without a labelled pixel, and `copy_last_iou`
        {class: 0..1 or None}.
    """
    count = len(classes)
    windows.check(steps, count)
    if unlabelled not in UNLABELLED:
        raise ValueError(f'Expected unlabelled="left_out" or "wrong". Received: unlabelled={unlabelled!r}.')

    def update(seen):
        last, label = windows.unpack(seen.image, steps)[..., -1], tf.cast(seen.label, tf.int32)
        if unlabelled == "left_out":
            label = tf.where(last == IGNORE, IGNORE, label)
        return metrics.confusion_matrix(label, tf.minimum(last, count), count + 1)  # column `count` is no class

    def values(total):
        found = metrics.compute(total, list(classes))
        return {f"copy_last_{name}": found[name] for name in ("miou", "pixel_accuracy", "iou")}

    return Count(np.zeros([count + 1, count + 1], np.int64), update, values)
