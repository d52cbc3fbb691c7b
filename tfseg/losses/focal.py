"""Focal loss: cross entropy in which pixels that are already right count less."""

import tensorflow as tf

from tfseg.losses import _masked


def focal(logits, label, *, class_weights=None, gamma=2.0):
    """Focal loss of Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017, https://arxiv.org/abs/1708.02002.

    With q = softmax(logits), y the label and w the class weights (the paper's alpha), a valid pixel adds

        w_y (1 - q_y)^gamma (-log q_y)    to the sum (equation 5),    w_y    to the count.

    `sum / count` is the mean over the pixels of all replicas, weighted in the same way as cross_entropy; with gamma=0 it is
    cross_entropy. (The paper divides by the number of anchors with an object, since most anchors of a detector are
    background; here every valid pixel has a class.)

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. What is
            under ignored pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id is an error, or gives NaN (GPU, XLA).
        class_weights: one weight for each class, 0 or more; None: all 1.
        gamma: 0 or more; the larger, the less pixels count that are already right.

    Returns:
        (sum, count), float32 scalars; (0, 0) with a gradient of 0 where no pixel is valid.

    Raises:
        ValueError: if shapes disagree or an argument is out of its range.
    """
    if gamma < 0:
        raise ValueError(f"Expected a gamma of 0 or more. Received: {gamma}.")
    loss, weight, valid = _masked.cross_entropies(logits, label, class_weights)
    if gamma:
        miss = -tf.math.expm1(-loss)  # 1 - q, with all its digits where q is near 1
        # Below gamma=1 the power's gradient is infinite at 0, and inf * 0 is NaN.
        wrong = tf.not_equal(miss, 0)
        loss *= tf.where(wrong, tf.where(wrong, miss, 1.0) ** gamma, 0.0)
    return tf.reduce_sum(tf.where(valid, weight * loss, 0.0)), tf.reduce_sum(tf.where(valid, weight, 0.0))
