"""FCIS's losses of the class and the mask of regions, which are drawn around the true boxes."""

import numpy as np
import tensorflow as tf

from tfseg import box_masks
from tfseg.losses import _cells, _in_boxes

OVERLAP = 0.5  # IoU with a true box from which a region is foreground
NEAR, FAR = (0.2, 0.25), (0.8, 0.5)  # shift as a share of the box's sides, and logarithm of the factor of its sides
SIDES = (0.05, 0.7)  # of regions anywhere, as shares of the image's


def fcis(inside_outside, boxes, box_classes, instances, image, logits, *, classes=(), regions=128, mask=1.0):
    """The losses of Li et al., CVPR 2017 (https://arxiv.org/abs/1611.07709), section 3.3, of regions around true boxes.

    In the paper a region proposal network gives the regions. Here a quarter of them are true boxes that are shifted and scaled
    a little, three eighths are true boxes that are shifted and scaled much, and the others lie anywhere in the image. By how
    much is drawn once, for all images: the loss is a function of its inputs, and a resumed run computes what a whole one does.
    A region whose IoU with a true box is half or more is foreground of that box's class; the others are background. The loss
    of an image is the sum of

        1     mean cross entropy of the classes of all regions, of which the background is one
        mask  mean cross entropy of inside and outside, of the region's class, in the 21 x 21 bins of foreground regions

    The target of a bin is inside if the object covers 0.4 of it or more. Boxes are not refined.

    Args:
        inside_outside: float [batch, h, w, 2 (1 + classes) k k], see models/multitask.py.
        boxes: float [batch, rows, 4], x1, y1, x2, y2 in pixels.
        box_classes: int32 [batch, rows], train ids; NONE for a row without an object.
        instances: int32 [batch, height, width], 0 for none, k for the object of row k - 1.
        image: [batch, height, width, 3]. Only its size is read.
        logits: [.., classes]. Only the number of classes is read.
        classes: the train ids that the cells of the detection stand for, in their order, as for yolo_v1. Blank: all.
        regions: of an image, 8 or more.
        mask: weight of the masks, 0 or more.

    Returns:
        (sum, number of images), float32 scalars.

    Raises:
        ValueError: where the channels do not fit the number of classes, or an argument is out of its range.
    """
    if not (isinstance(regions, int) and regions >= 8 and mask >= 0):
        raise ValueError(f"Expected regions of 8 or more and mask of 0 or more. Received: {regions=}, {mask=}.")
    maps = tf.convert_to_tensor(inside_outside)
    kinds = tuple(classes) or tuple(range(logits.shape[-1]))
    box_masks.groups(maps.shape[-1], len(kinds))
    float_type = maps.dtype if maps.dtype == tf.float64 else tf.float32
    maps, boxes = tf.cast(maps, float_type), tf.cast(boxes, float_type)
    target = _cells.channel(box_classes, kinds)
    size = tf.cast(tf.shape(image)[1:3], float_type)
    found, there = _regions(boxes, target >= 0, size, regions)

    middle, sides = (found[..., :2] + found[..., 2:]) / 2, found[..., 2:] - found[..., :2]
    overlap = _cells.iou(middle[:, :, tf.newaxis], sides[:, :, tf.newaxis], boxes[:, tf.newaxis])
    overlap = tf.where((target >= 0)[:, tf.newaxis], overlap, 0)
    best = tf.argmax(overlap, -1, tf.int32)
    front = there & (tf.reduce_max(overlap, -1) >= OVERLAP)
    kind = tf.where(front, tf.gather(target, best, batch_dims=1) + 1, 0)

    scale = tf.cast(tf.shape(maps)[1:3], float_type) / size
    outside, inside = box_masks.sides(maps, found, len(kinds), (scale[1], scale[0]))
    scores = box_masks.class_scores(outside, inside)
    of_classes = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=kind, logits=scores)
    of_class = tf.reduce_sum(
        (inside - outside) * tf.one_hot(kind, len(kinds) + 1, dtype=float_type)[:, :, None, None], -1
    )
    covered = _in_boxes.share_of_object(instances, best + 1, found, box_masks.POOLED)
    cut = tf.cast(covered >= box_masks.CUT["inside_outside"], float_type)
    of_masks = tf.reduce_mean(_in_boxes.bits(of_class, cut), [2, 3])

    there, front = tf.cast(there, float_type), tf.cast(front, float_type)
    total = _mean(of_classes, there) + mask * _mean(of_masks, front)
    return tf.cast(tf.reduce_sum(total), tf.float32), tf.cast(tf.shape(maps)[0], tf.float32)


def _mean(values, weights):
    """The mean over the regions with a weight of 1, 0 where there is none: [batch]."""
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights, 1), tf.reduce_sum(weights, 1))


def _regions(boxes, valid, size, count):
    """Regions of each image in whole pixels [batch, count, 4], and which of them are there, bool [batch, count].

    Those around objects are not there where an image has no object, and none is that has no pixel.
    """
    changes, anywhere = _table(count)
    of_objects = len(changes)
    order = tf.argsort(tf.cast(valid, tf.int32), -1, "DESCENDING", stable=True)
    objects = tf.reduce_sum(tf.cast(valid, tf.int32), 1, keepdims=True)
    turn = tf.range(of_objects) % tf.maximum(objects, 1)
    chosen = tf.gather(boxes, tf.gather(order, turn, batch_dims=1), batch_dims=1)
    changes = tf.constant(changes, boxes.dtype)
    sides = chosen[..., 2:] - chosen[..., :2]
    middle = (chosen[..., :2] + chosen[..., 2:]) / 2 + sides * changes[:, :2]
    sides = sides * tf.exp(changes[:, 2:])
    around = tf.concat([middle - sides / 2, middle + sides / 2], -1)
    limits = tf.stack([size[1], size[0], size[1], size[0]])
    others = tf.constant(anywhere, boxes.dtype) * limits
    others = tf.repeat(others[tf.newaxis], tf.shape(boxes)[0], 0)
    found = tf.floor(tf.clip_by_value(tf.concat([around, others], 1), 0, limits) + 0.5)
    there = tf.concat([tf.repeat(objects > 0, of_objects, 1), tf.ones_like(others[..., 0], tf.bool)], 1)
    return found, there & tf.reduce_all(found[..., 2:] > found[..., :2], -1)


def _table(count):
    """(shifts and logarithms of factors [n, 4] around objects, x1, y1, x2, y2 as shares of the image [count - n, 4])."""
    draw, near = np.random.default_rng(0), count // 4
    far = (count - near) // 2
    changes = [draw.uniform(-1, 1, (n, 4)) * np.repeat(most, 2) for n, most in ((near, NEAR), (far, FAR))]
    middle, sides = draw.uniform(0, 1, (count - near - far, 2)), draw.uniform(*np.log(SIDES), (count - near - far, 2))
    sides = np.exp(sides) / 2
    return np.concatenate(changes), np.concatenate([middle - sides, middle + sides], 1)
