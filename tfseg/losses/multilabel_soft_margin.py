"""Multi-label soft margin loss: trains a classifier on which classes an image has."""

import tensorflow as tf

from input_pipeline import IGNORE

QUERIES = ("class_scores",)  # see tfseg.losses: the logits are made of what the scores are made of


def multilabel_soft_margin(class_scores, label, *, without=()):
    """The mean over the classes of the binary cross entropy of each, as torch.nn.MultiLabelSoftMarginLoss has it.

    With the scores x of an image's C classes, and y = 1 for those in the image and 0 for the others:

        -1/C sum of y log sigmoid(x) + (1 - y) log(1 - sigmoid(x))

    A class is in an image if a pixel of the label has it. So any data set with masks trains it, and nothing but the presence of
    the classes is read of them. It is the loss of Zhou et al., CVPR 2018 (https://arxiv.org/abs/1804.00880).

    Args:
        class_scores: float [batch, C] of any precision, between -inf and +inf.
        label: integer [batch, height, width], 0..C-1 or IGNORE. Ignored pixels show no class; an image without others does not
            count, whatever its scores are.
        without: train ids of classes that do not count, such as one that is in every image.

    Returns:
        (sum over the images, number of images with a valid pixel), float32 scalars; (0, 0) with a gradient of 0 where there is
        none.

    Raises:
        ValueError: where shapes disagree, or for ids in `without` that are no classes or are all of them.
    """
    scores, label = tf.convert_to_tensor(class_scores), tf.cast(label, tf.int32)
    if scores.shape.rank != 2 or label.shape.rank != 3 or not scores.shape[:1].is_compatible_with(label.shape[:1]):
        raise ValueError(
            f"Expected class_scores [batch, classes] and a label [batch, height, width]. Received: {scores.shape} and "
            f"{label.shape}."
        )
    classes = scores.shape[1]
    left = [i for i in range(classes) if i not in without]
    if not left or any(i not in range(classes) for i in without):
        raise ValueError(f"Expected without=(..), train ids of some of {classes} classes. Received: {without=}.")
    x = tf.cast(scores, tf.float64 if scores.dtype == tf.float64 else tf.float32)
    images = tf.shape(label)[0]
    row = (classes + 1) * tf.range(images)[:, tf.newaxis, tf.newaxis]
    cell = tf.reshape(row + tf.where(label == IGNORE, classes, label), [-1])
    pixels = tf.math.unsorted_segment_sum(tf.ones_like(cell), cell, images * (classes + 1))
    there = tf.reshape(pixels, [images, classes + 1])[:, :classes] > 0
    counts = tf.reduce_any(there, 1)
    x = tf.gather(tf.where(counts[:, tf.newaxis], x, 0), left, axis=1)  # keeps NaN out of the sum
    present = tf.cast(tf.gather(there, left, axis=1), x.dtype)
    losses = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(present, x), 1)
    total = tf.reduce_sum(tf.where(counts, losses, 0))
    return tf.cast(total, tf.float32), tf.reduce_sum(tf.cast(counts, tf.float32))
