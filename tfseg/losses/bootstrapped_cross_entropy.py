"""Bootstrapped cross entropy: the mean over each image's hardest pixels."""

import tensorflow as tf

from tfseg.losses import _masked


def bootstrapped_cross_entropy(logits, label, *, class_weights=None, pixels=16384):
    """Mean over images of the cross entropy of the `pixels` hardest pixels of each image; FRRN was trained with it.

    With q = softmax(logits) and y the label, an image's loss is

        sum over its K valid pixels of lowest q_y of -w_y log q_y  /  sum over the same of w_y,

    K being `pixels`, or the number of valid pixels where there are fewer (Wu et al., "Bridging category-level and
    instance-level semantic image segmentation", 2016, https://arxiv.org/abs/1605.06885; Pohlen et al., "Full-Resolution
    Residual Networks", CVPR 2017, https://arxiv.org/abs/1611.08323). FRRN's code (TobyPDE/FRRN, dltools/utility.py)
    chooses for each image too. It trains FRRN A with the default of 512 * 32 pixels on images scaled to 256 x 512, which is
    1/8 of them: choose a number in proportion to the crop. Class weights w are our addition; they do not change which
    pixels are chosen.

    `sum / count` is the mean over the images of all replicas. ohem_cross_entropy(threshold=None) takes a fraction instead
    of a number, and its mean is over pixels.

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. What is
            under ignored pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id is an error, or gives NaN (GPU, XLA).
        class_weights: one weight for each class, 0 or more; None: all 1.
        pixels: how many pixels of each image count, 1 or more.

    Returns:
        (sum, count), float32 scalars: of the images' losses, and of the images whose chosen pixels weigh more than 0;
        (0, 0) with a gradient of 0 where there is none.

    Raises:
        ValueError: if shapes disagree or an argument is out of its range.
    """
    if pixels < 1 or pixels != int(pixels):
        raise ValueError(f"Expected pixels, how many of an image, as an integer of 1 or more. Received: {pixels}.")
    loss, weight, valid = _masked.cross_entropies(logits, label, class_weights)
    chosen = _masked.hardest_first(loss, valid)[:, : int(pixels)]
    loss, weight, valid = (tf.gather(x, chosen, batch_dims=1) for x in (loss, weight, valid))
    weights = tf.reduce_sum(tf.where(valid, weight, 0.0), 1)
    losses = tf.math.divide_no_nan(tf.reduce_sum(tf.where(valid, weight * loss, 0.0), 1), weights)
    return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(weights > 0, tf.float32))
