"""Cross entropy in which pixels near an edge of the label count more."""

import math

import tensorflow as tf

from tfseg.losses import _edges, _masked


def boundary_cross_entropy(logits, label, *, class_weights=None, weight=10.0, sigma=5.0):
    """U-Net's weighted cross entropy (Ronneberger et al., MICCAI 2015, https://arxiv.org/abs/1505.04597, equation 2).

    With q = softmax(logits), y the label, v the class weights and d a pixel's distance to the nearest edge, a valid pixel
    adds

        w (-log q_y)    to the sum,    w = v_y (1 + weight exp(-d^2 / (2 sigma^2)))    to the count.

    An edge is a valid pixel with a valid pixel of another class above, below, left or right of it; d is 0 there, between
    the pixels' centres elsewhere, and infinite where it is more than 3 sigma along a row or column. Ignored pixels and the
    crop's border make no edge.

    The paper separates touching cells of one class, so it adds the distances to the two nearest cells. Two classes have
    one edge between them, so here there is one distance. weight=0 is cross_entropy. The paper takes the sum; `sum / count`
    here is the weighted mean over the pixels of all replicas, so that the loss does not grow with the length of the edges.

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. What is
            under ignored pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id is an error, or gives NaN (GPU, XLA).
        class_weights: one weight for each class, 0 or more; None: all 1.
        weight: what an edge adds to a pixel's weight, 0 or more; the paper's 10.
        sigma: how far from an edge pixels still count more, in pixels, above 0; the paper's 5.

    Returns:
        (sum, count), float32 scalars; (0, 0) with a gradient of 0 where no pixel is valid.

    Raises:
        ValueError: if shapes disagree or an argument is out of its range.
    """
    if weight < 0 or sigma <= 0:
        raise ValueError(f"Expected a weight of 0 or more and a sigma above 0. Received: {weight} and {sigma}.")
    loss, class_weight, valid = _masked.cross_entropies(logits, label, class_weights)
    nearness = tf.exp(-_squared_distance(_edges.edges(label), math.ceil(3 * sigma)) / (2 * sigma**2))
    weights = class_weight * (1 + weight * tf.reshape(nearness, tf.shape(loss)))
    return tf.reduce_sum(tf.where(valid, weights * loss, 0.0)), tf.reduce_sum(tf.where(valid, weights, 0.0))


def _squared_distance(edges, radius):
    """Squared Euclidean distance to the nearest edge, exact up to `radius`, infinite where it is further along an axis.

    First the nearest edge in the pixel's column, then the minimum over the columns: the minimum of a sum can be taken one axis
    after the other.
    """
    distance = tf.where(edges, 0.0, math.inf)
    for axis in (1, 2):
        padding = [[radius, radius] if a == axis else [0, 0] for a in range(3)]
        padded = tf.pad(distance, padding, constant_values=math.inf)
        for k in range(-radius, radius + 1):
            distance = tf.minimum(distance, _edges.shifted(padded, radius + k, 2 * radius, axis) + float(k * k))
    return distance
