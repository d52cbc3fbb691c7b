"""What the losses of boxes in cells share."""

import tensorflow as tf

from input_pipeline import boxes as boxes_lib

SMALLEST = 1e-6  # side of a box, as a share of the image: the gradients of its root and its logarithm are infinite at 0


def shares_of(boxes, image, kind):
    """Boxes x1, y1, x2, y2 in pixels as shares of the image."""
    size = tf.cast(tf.shape(image)[1:3], kind)
    return tf.cast(boxes, kind) / tf.stack([size[1], size[0], size[1], size[0]])


def channel(box_classes, classes):
    """The place of each object's class among the probabilities, -1 for none."""
    box_classes = tf.cast(box_classes, tf.int32)
    if not classes:
        return tf.where(box_classes == boxes_lib.NONE, -1, box_classes)
    same = tf.cast(box_classes[..., tf.newaxis] == tf.constant(classes, tf.int32), tf.int32)
    return tf.where(tf.reduce_any(same > 0, -1), tf.argmax(same, -1, tf.int32), -1)


def largest_of_cell(cell, area, valid):
    """Which objects are the largest of their cell, the first of equal ones; bool [batch, objects]."""
    together = (cell[:, :, tf.newaxis] == cell[:, tf.newaxis]) & valid[:, tf.newaxis]
    mine, other = area[:, :, tf.newaxis], area[:, tf.newaxis]
    earlier = tf.range(tf.shape(area)[1])[:, tf.newaxis] > tf.range(tf.shape(area)[1])
    beaten = together & ((other > mine) | ((other == mine) & earlier))
    return valid & ~tf.reduce_any(beaten, 2)


def iou(middle, sides, truth):
    """IoU of boxes by their middles and sides with true boxes x1, y1, x2, y2; 0 for two without an area."""
    low, high = tf.maximum(middle - sides / 2, truth[..., :2]), tf.minimum(middle + sides / 2, truth[..., 2:])
    shared = tf.reduce_prod(tf.maximum(high - low, 0), -1)
    areas = tf.reduce_prod(sides, -1) + tf.reduce_prod(truth[..., 2:] - truth[..., :2], -1)
    return tf.math.divide_no_nan(shared, areas - shared)


def squares(x, y):
    """The sum of the squared differences over the last axis."""
    return tf.reduce_sum((x - y) ** 2, -1)
