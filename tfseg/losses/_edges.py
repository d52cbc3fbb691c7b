"""Edges of a label: what the losses for boundaries share."""

import tensorflow as tf

from input_pipeline import IGNORE


def edges(label):
    """Whether a pixel [batch, height, width] is valid and next to a valid one of another class, in its row or column."""
    label = tf.cast(label, tf.int32)
    found = tf.zeros_like(label, bool)
    for axis in (1, 2):
        first, second = shifted(label, 0, 1, axis), shifted(label, 1, 1, axis)
        differ = tf.not_equal(first, second) & tf.not_equal(first, IGNORE) & tf.not_equal(second, IGNORE)
        for before in (0, 1):  # both sides of an edge
            found |= tf.pad(differ, [[before, 1 - before] if a == axis else [0, 0] for a in range(3)])
    return found


def shifted(x, begin, less, axis):
    """The part of x [batch, height, width] that begins at `begin` along an axis and is shorter than x by `less`."""
    return x[tuple(slice(begin, (begin - less) or None) if a == axis else slice(None) for a in range(3))]


def logits(head, label):
    """Checks the shapes and replaces the logits of ignored pixels by 0.

    Args:
        head: float [batch, height, width, 1], one logit a pixel.
        label: integer [batch, height, width], train ids or IGNORE.

    Returns:
        The logits, float32 [batch, height, width], and whether a pixel is valid, bool of the same shape.
    """
    head, label = tf.convert_to_tensor(head), tf.convert_to_tensor(label)
    if head.shape[-1] != 1 or not head.shape[:-1].is_compatible_with(label.shape):
        raise ValueError(
            f"Expected one logit for each pixel of the label, [batch, height, width, 1]. Received: {head.shape} and label "
            f"{label.shape}."
        )
    valid = tf.not_equal(label, IGNORE)
    return tf.where(valid, tf.cast(head[..., 0], tf.float32), 0.0), valid
