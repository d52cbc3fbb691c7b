"""Tversky loss: overlap of prediction and label, with separate weights for false positives and misses."""

import tensorflow as tf

from tfseg.losses import _masked


def tversky(logits, label, *, alpha=0.3, beta=0.7, smooth=0.0):
    """Soft Tversky loss, per image; the mean over the classes in the image's label.

    With p = softmax(logits) and g the one-hot label, over the valid pixels of an image,

        1 - (TP + smooth) / (TP + alpha FP + beta FN + smooth),    TP = sum p g, FP = sum p (1 - g), FN = sum (1 - p) g

    (Salehi et al., "Tversky loss function for image segmentation using 3D fully convolutional deep networks", 2017,
    https://arxiv.org/abs/1706.05721, whose best alpha and beta are the defaults). alpha = beta = 1/2 is dice,
    alpha = beta = 1 is jaccard.

    A class that is not in the label of an image is left out: its TP is 0, so its loss would be 1 whatever the network says.
    Pixels that are wrongly predicted as this class are misses of the classes that are there.

    Published code (segmentation_models_pytorch, Keras) first sums TP, FP and FN over the whole batch. The ratio of such
    sums would change with the number of replicas. So the loss is computed for each image, and `sum / count` is the mean over
    the images with valid pixels of all replicas. There are no class weights, since every class counts the same already.

    Args:
        logits: float [batch, height, width, classes] of any precision, -inf..inf; computed in float32. What is
            under ignored pixels, even NaN, changes neither the value nor the gradient.
        label: integer [batch, height, width], 0..classes-1 or IGNORE. Another id gives NaN.
        alpha: weight of false positives, 0 or more.
        beta: weight of misses, 0 or more.
        smooth: pixels added to numerator and denominator, 0 or more; makes the loss of small regions less extreme.

    Returns:
        (sum, count), float32 scalars: of the images' losses, 0..1 each, and of the images with valid pixels; (0, 0)
        with a gradient of 0 where there is none.

    Raises:
        ValueError: if shapes disagree or an argument is out of its range.
    """
    if min(alpha, beta, smooth) < 0:
        raise ValueError(f"Expected alpha, beta and smooth of 0 or more. Received: {alpha}, {beta} and {smooth}.")
    probability, target = _masked.probabilities(logits, label)
    hit = tf.reduce_sum(probability * target, 1)
    false = tf.reduce_sum(probability * (1 - target), 1)
    missed = tf.reduce_sum((1 - probability) * target, 1)
    index = tf.math.divide_no_nan(hit + smooth, hit + alpha * false + beta * missed + smooth)
    return _masked.mean_over_present(1 - index, target)
