"""Bootstrapped cross entropy: the mean over each image's hardest pixels."""

import tensorflow as tf

from tfseg.losses import _masked


def bootstrapped_cross_entropy(logits, label, *, class_weights=None, pixels=16384):
    """Mean over images of the cross entropy of an image's `pixels` hardest pixels, as FRRN was trained with.

    With q = softmax(logits) and y the label, an image's loss is

        sum over its K valid pixels of lowest q_y of -w_y log q_y  /  sum over the same of w_y,

    K being `pixels`, or the number of valid pixels where there are fewer (Wu et al., "Bridging category-level and
    instance-level semantic image segmentation", 2016, https://arxiv.org/abs/1605.06885; Pohlen et al., "Full-Resolution
    Residual Networks", CVPR 2017, https://arxiv.org/abs/1611.08323). FRRN's code (TobyPDE/FRRN, dltools/utility.py)
    is per image as well, and trains FRRN A with the default of 512 * 32 on images scaled to 256 x 512, 1/8 of them: set
    it in proportion to the crop. Class weights w are ours and do not influence which are chosen.

    `sum / count` is the mean over the images of all replicas. ohem_cross_entropy(threshold=None) differs in that it
    takes a fraction, and that its mean is over pixels: an image counts by its valid ones.

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. Under ignored
            pixels anything, NaN included, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id fails, or gives NaN (GPU, XLA).
        class_weights: one weight a class, 0 or more; None: all 1.
        pixels: how many pixels of an image, 1 or more.

    Returns:
        (sum, count), float32 scalars: of the images' losses, and of the images whose chosen pixels weigh more than 0;
        (0, 0) with a gradient of 0 where there is none.

    Raises:
        ValueError: where shapes disagree or an argument is out of its range.
    """
    if pixels < 1 or pixels != int(pixels):
        raise ValueError(f"Expected pixels, how many of an image, as an integer of 1 or more. Received: {pixels}.")
    loss, weight, valid = _masked.cross_entropies(logits, label, class_weights)
    chosen = _masked.hardest_first(loss, valid)[:, : int(pixels)]
    loss, weight, valid = (tf.gather(x, chosen, batch_dims=1) for x in (loss, weight, valid))
    weights = tf.reduce_sum(tf.where(valid, weight, 0.0), 1)
    losses = tf.math.divide_no_nan(tf.reduce_sum(tf.where(valid, weight * loss, 0.0), 1), weights)
    return tf.reduce_sum(losses), tf.reduce_sum(tf.cast(weights > 0, tf.float32))
