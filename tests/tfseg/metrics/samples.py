"""Confusion matrices whose numbers are easily derived, where rows are labels and columns predictions; images to count."""

import numpy as np
import tensorflow as tf

from tfseg import counts

NAN = np.nan

#      [[3, 1, 0],   row sums    = [4, 2, 2]     diagonal = [3, 1, 2]
#       [1, 1, 0],   column sums = [4, 2, 2]     union    = [4+4-3, 2+2-1, 2+2-2] = [5, 3, 2]
#       [0, 0, 2]]                               IoU      = [3/5, 1/3, 1]
CONFUSION = [[3, 1, 0], [1, 1, 0], [0, 0, 2]]
#      [[3, 0, 1],   row sums    = [4, 0, 2]   union    = [4, 0, 3]       class 1 is absent
#       [0, 0, 0],   column sums = [3, 0, 3]   IoU      = [3/4, -, 2/3]
#       [0, 0, 2]]                             accuracy = [3/4, -, 1]
ABSENT = [[3, 0, 1], [0, 0, 0], [0, 0, 2]]
#      [[3, 1, 0],   row sums    = [4, 0, 2]   union    = [4, 1, 2]       class 1 is only predicted
#       [0, 0, 0],   column sums = [3, 1, 2]   IoU      = [3/4, 0, 1]
#       [0, 0, 2]]                             accuracy = [3/4, -, 1]
PREDICTED_ONLY = [[3, 1, 0], [0, 0, 0], [0, 0, 2]]
#      [[3, 0, 1],   two named classes, row sums    = [4, 4]   diagonal = [3, 2]
#       [1, 2, 1]]                      column sums = [4, 2]   union    = [5, 4]
#                    as many wrong as pixels in column 2       IoU      = [3/5, 2/4]
EXTRA_COLUMN = [[3, 0, 1], [1, 2, 1]]


def images():
    """(label uint8 [4, 12, 16], scores float32 [4, 12, 16, 3]); the third image has no label."""
    rng = np.random.default_rng(5)
    label = np.repeat(np.repeat(rng.integers(0, 3, (4, 3, 4)), 4, 1), 4, 2).astype("uint8")
    label[rng.random(label.shape) < 0.1] = 255
    label[2] = 255
    return label, (2 * np.eye(3)[np.where(label == 255, 0, label)] + rng.normal(size=(*label.shape, 3))).astype(
        "float32"
    )


def seen(label, scores, place=None):
    """What an update sees of images, or of one of them."""
    label, scores = tf.convert_to_tensor(label), tf.convert_to_tensor(scores)
    if place is not None:
        label, scores = label[tf.newaxis, place], scores[tf.newaxis, place]
    image = tf.zeros([*label.shape, 3], tf.uint8)
    return counts.Seen(image, label, scores, tf.argmax(scores, -1, tf.int32), {})


def total(count, label, scores):
    """The total of a batch of images."""
    return counts.add(count.zero, tf.function(lambda a, b: count.update(seen(a, b)))(label, scores))


def of_maps(count, label, prediction, classes):
    """The values of one image, from its label and prediction [height, width]."""
    scores = np.eye(classes, dtype="float32")[np.array(prediction)]
    return count.values(total(count, np.array(label, "uint8")[np.newaxis], scores[np.newaxis]))
