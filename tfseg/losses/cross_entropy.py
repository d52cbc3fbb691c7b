"""Cross entropy over the classes of each pixel."""

import tensorflow as tf

from tfseg.losses import _masked


def cross_entropy(logits, label, *, class_weights=None, label_smoothing=0.0):
    """Weighted cross entropy with label smoothing; `sum / count` is what torch.nn.CrossEntropyLoss returns.

    With q = softmax(logits), y the label, C classes of weights w and smoothing e, a valid pixel adds

        (1 - e) w_y (-log q_y)  +  e / C  sum_c w_c (-log q_c)    to the sum,    w_y    to the count.

    This is PyTorch's `cross_entropy_loss_label_smoothing` (aten/src/ATen/native/LossNLL.cpp): the smoothed target
    (1 - e) onehot(y) + e / C with each class weighted, the mean taken over the weights of the labels. So the count does
    not depend on e, and a pixel whose label weighs 0 still adds its smoothed part.

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. What is
            under ignored pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id is an error, or gives NaN (GPU, XLA).
        class_weights: one weight for each class, 0 or more; None: all 1.
        label_smoothing: e, 0..1.

    Returns:
        (sum, count), float32 scalars; (0, 0) with a gradient of 0 where no pixel is valid.

    Raises:
        ValueError: if shapes disagree or an argument is out of its range.
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"Expected label_smoothing in 0..1. Received: {label_smoothing}.")
    logits, label, valid = _masked.pixels(logits, label)
    weights = _masked.vector(class_weights, logits.shape[-1])
    weight = tf.gather(weights, label)
    loss = weight * tf.nn.sparse_softmax_cross_entropy_with_logits(label, logits)
    if label_smoothing:
        uniform = -tf.linalg.matvec(tf.nn.log_softmax(logits), weights) / logits.shape[-1]
        loss = (1 - label_smoothing) * loss + label_smoothing * uniform
    return tf.reduce_sum(tf.where(valid, loss, 0.0)), tf.reduce_sum(tf.where(valid, weight, 0.0))
