"""Binary cross entropy and Dice of a head that learns the details of the label."""

import tensorflow as tf

from input_pipeline import IGNORE
from tfseg.losses import _edges


def detail_aggregate(detail, label):
    """STDC's detail loss (Fan et al., CVPR 2021, https://arxiv.org/abs/2104.13188, equations 2 to 4).

    A pixel of id v with neighbours v_1 to v_8 is a detail if the Laplacian 8 v - sum_i v_i is above 0, so that of two classes
    at an edge the one with the larger id has it. The target t is 1 where a pixel is a detail, or the upper left pixel of the
    2x2 pixels that it belongs to is one. With s = sigmoid(z) of a pixel's logit z, an image with n valid pixels adds

        1 / n sum (-t log s - (1 - t) log(1 - s))  +  1 - (2 sum s t + 1) / (sum s + sum t + 1)    to the sum,

    and 1 to the count, if n is above 0.

    The authors sum three scales with the weights 0.6, 0.3 and 0.1 and take what is more than 0.1. So the third scale, of every
    fourth row and column, has no effect, and it is left out here. They count what is beyond the crop's border as class 0 and
    ignored pixels as class 255; here neither makes an edge.

    Args:
        detail: float [batch, height, width, 1] of any precision, -inf..inf; computed in float32. What is under ignored
            pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], train ids or IGNORE.

    Returns:
        (sum, count), float32 scalars; (0, 0) with a gradient of 0 where no pixel is valid.

    Raises:
        ValueError: where shapes disagree.
    """
    logits, valid = _edges.logits(detail, label)
    target = tf.where(valid, tf.cast(_target(tf.cast(label, tf.int32)), tf.float32), 0.0)
    weight = tf.cast(valid, tf.float32)
    n = tf.reduce_sum(weight, (1, 2))
    loss = tf.reduce_sum(weight * tf.nn.sigmoid_cross_entropy_with_logits(target, logits), (1, 2))
    probability = weight * tf.sigmoid(logits)
    both = tf.reduce_sum(probability * target, (1, 2))
    dice = 1.0 - (2.0 * both + 1.0) / (tf.reduce_sum(probability, (1, 2)) + tf.reduce_sum(target, (1, 2)) + 1.0)
    counts = tf.cast(n > 0, tf.float32)
    return tf.reduce_sum(tf.math.divide_no_nan(loss, n) + counts * dice), tf.reduce_sum(counts)


def _target(label):
    """Whether a pixel of the label, int32 [batch, height, width], is a detail of either scale."""
    size, shifted = tf.shape(label), _edges.shifted
    padded = tf.pad(label, [[0, 0], [1, 1], [1, 1]], constant_values=IGNORE)
    laplacian = tf.zeros_like(label)
    for y in range(3):
        for x in range(3):
            neighbour = shifted(shifted(padded, y, 2, 1), x, 2, 2)
            laplacian += tf.where(tf.equal(neighbour, IGNORE), 0, label - neighbour)
    fine = tf.not_equal(label, IGNORE) & (laplacian > 0)
    coarse = tf.repeat(tf.repeat(fine[:, ::2, ::2], 2, axis=1), 2, axis=2)[:, : size[1], : size[2]]
    return fine | coarse
