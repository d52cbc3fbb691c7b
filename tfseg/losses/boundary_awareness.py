"""Cross entropy of the pixels where a boundary head is sure of a boundary."""

import tensorflow as tf

from input_pipeline import IGNORE
from tfseg.losses import _edges
from tfseg.losses.ohem_cross_entropy import ohem_cross_entropy


def boundary_awareness(logits, boundary, label, *, class_weights=None, confidence=0.8, threshold=0.9, min_kept=1 / 48):
    """PIDNet's boundary-awareness loss l3 (Xu et al., CVPR 2023, https://arxiv.org/abs/2206.02066, equation 4).

    It is `ohem_cross_entropy` of the pixels where the boundary head gives more than `confidence`; the others are left out. The
    head only chooses the pixels and gets no gradient. The defaults are the authors': 0.8, and for the cross entropy of hard
    pixels 0.9 and 131072 pixels of their six crops of 1024x1024, which is 1/48.

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. What is
            under ignored pixels, even NaN, changes neither the value nor the gradient.
        boundary: float [batch, height, width, 1], the head's logits.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id is an error, or gives NaN (GPU, XLA).
        class_weights: one weight for each class, 0 or more; None: all 1.
        confidence: the probability above which the head is sure of a boundary, 0..1.
        threshold, min_kept: as for `ohem_cross_entropy`, of the pixels that are left.

    Returns:
        (sum, count), float32 scalars; (0, 0) with a gradient of 0 where the head is sure of no boundary.

    Raises:
        ValueError: where shapes disagree or an argument is out of its range.
    """
    if not 0 <= confidence <= 1:
        raise ValueError(f"Expected confidence, a probability, in 0..1. Received: {confidence}.")
    z, valid = _edges.logits(boundary, label)
    sure = valid & (tf.sigmoid(z) > confidence)
    label = tf.where(sure, tf.cast(label, tf.int32), IGNORE)
    return ohem_cross_entropy(logits, label, class_weights=class_weights, threshold=threshold, min_kept=min_kept)
