"""Cross entropy over the hard pixels only (online hard example mining)."""

import math

import tensorflow as tf

from tfseg.losses import _masked


def ohem_cross_entropy(logits, label, *, class_weights=None, threshold=0.7, min_kept=1 / 16):
    """Cross entropy of the pixels whose label is less probable than `threshold`, and of a fraction `min_kept` at least.

    With q = softmax(logits) and y the label, an image of n valid pixels keeps the pixels with q_y < threshold, and in any
    case the ceil(min_kept n) pixels of lowest q_y. With `threshold=None` only the latter are kept, as with DeepLab's
    top_k_percent_pixels. A kept pixel adds -w_y log q_y to the sum and w_y to the count. Class weights w do not change which
    pixels are kept.

    The published forms (Shrivastava et al., CVPR 2016, https://arxiv.org/abs/1604.03540, for detection; HRNet, PIDNet
    and BiSeNet for segmentation) choose among all pixels of the batch of a GPU: PIDNet's code 100000 of them by default,
    BiSeNet's 1/16 of the valid ones. Here each image chooses its own pixels, and min_kept is a fraction. So neither the
    number of replicas nor the crop size changes the choice. `sum / count` is the mean over the kept pixels of all replicas.

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. What is
            under ignored pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id is an error, or gives NaN (GPU, XLA).
        class_weights: one weight for each class, 0 or more; None: all 1.
        threshold: probability of the label below which a pixel is hard, above 0 and up to 1; None: only min_kept.
        min_kept: fraction of the valid pixels of an image that is always kept, 0..1.

    Returns:
        (sum, count), float32 scalars; (0, 0) with a gradient of 0 where no pixel is valid or hard.

    Raises:
        ValueError: if shapes disagree or an argument is out of its range.
    """
    if threshold is not None and not 0 < threshold <= 1:
        raise ValueError(f"Expected a threshold above 0 and up to 1, or None. Received: {threshold}.")
    if not 0 <= min_kept <= 1:
        raise ValueError(f"Expected min_kept, a fraction, in 0..1. Received: {min_kept}.")
    if threshold is None and not min_kept:
        raise ValueError("Expected a threshold or a min_kept above 0. Received: neither, which keeps no pixel.")

    loss, weight, valid = _masked.cross_entropies(logits, label, class_weights)
    order = _masked.hardest_first(loss, valid)
    loss, weight, valid = (tf.gather(x, order, batch_dims=1) for x in (loss, weight, valid))
    kept = tf.math.ceil(min_kept * tf.reduce_sum(tf.cast(valid, tf.float32), 1, keepdims=True))
    keep = tf.range(tf.shape(loss)[1]) < tf.cast(kept, tf.int32)
    if threshold is not None:
        keep |= valid & ~(loss <= -math.log(threshold))  # not `>`, which would drop NaN
    return tf.reduce_sum(tf.where(keep, weight * loss, 0.0)), tf.reduce_sum(tf.where(keep, weight, 0.0))
