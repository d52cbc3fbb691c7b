"""YOLO v2's loss of boxes that start from anchors."""

import tensorflow as tf

from tfseg.losses import _cells

LEAST = 1e-12  # a probability, before its logarithm


def yolo_v2(
    detection,
    boxes,
    box_classes,
    image,
    logits,
    *,
    anchors=((1.0, 1.0), (2.0, 2.0)),
    coord=1.0,
    obj=5.0,
    noobj=1.0,
    ignore=0.6,
    classes=(),
):
    """The loss of Redmon and Farhadi, YOLO9000, CVPR 2017 (https://arxiv.org/abs/1612.08242), section 2.

    A true box belongs to the cell that its centre is in, and there to the anchor whose shape has the largest IoU with its own
    if both are put on one centre. Of several with the same cell and anchor only the largest counts. The paper gives no formula;
    terms and weights are those of its program, darknet, which halves the squares and counts sides of small boxes more. The loss
    of an image is the sum of

        coord   squared errors of x and y in the cell, and of the logarithms of width and height, of the boxes of an object
        obj     squared errors of their confidences, whose target is the IoU, without a gradient through it
        noobj   squared confidences of all other boxes, without those whose IoU with a true box is above `ignore`
        1       cross entropy of the class probabilities of the boxes of an object

    Args:
        detection: float [batch, rows, columns, B, 5 + C], from B anchors: x and y in the cell, 0..1, width and height as shares
            of the image, confidence, 0..1, and C probabilities whose sum is 1.
        boxes: float [batch, objects, 4], x1, y1, x2, y2 in pixels.
        box_classes: int32 [batch, objects], train ids; NONE for a row without an object.
        image: [batch, height, width, 3]. Only its size is read.
        logits: [.., classes]. Only the number of classes is read.
        anchors: the network's (width, height), in cells.
        coord, obj, noobj: weights, 0 or more.
        ignore: an IoU, 0..1.
        classes: the train ids that the probabilities stand for, in their order; objects of others are left out. Blank: all.

    Returns:
        (sum, number of images), float32 scalars. An image without a mask counts too.

    Raises:
        ValueError: where the channels do not fit the numbers of anchors and classes, or an argument is out of its range.
    """
    if not (min(coord, obj, noobj) >= 0 and 0 <= ignore <= 1):
        raise ValueError(
            f"Expected coord, obj and noobj of 0 or more, ignore of 0..1. Received: {coord=}, {obj=}, {noobj=}, {ignore=}."
        )
    detection = tf.convert_to_tensor(detection)
    kinds = len(classes) or logits.shape[-1]
    if detection.shape[3:] != (len(anchors), 5 + kinds):
        raise ValueError(
            f"Expected a detection [batch, rows, columns, {len(anchors)} anchors, 5 + {kinds} classes]. Received: "
            f"{detection.shape}. Give the network's anchors=.., and the classes of its boxes with classes=(..)."
        )
    kind = detection.dtype if detection.dtype == tf.float64 else tf.float32
    detection, anchors = tf.cast(detection, kind), tf.constant(anchors, kind)
    images, rows, columns, count, _ = tf.unstack(tf.shape(detection))
    shares, target = _cells.shares_of(boxes, image, kind), _cells.channel(box_classes, classes)

    grid = tf.stack([columns, rows])
    size = tf.cast(grid, kind)
    centre = (shares[..., :2] + shares[..., 2:]) / 2 * size
    sides = shares[..., 2:] - shares[..., :2]
    place = tf.clip_by_value(tf.cast(tf.floor(centre), tf.int32), 0, grid - 1)
    slot = (place[..., 1] * columns + place[..., 0]) * count + _nearest(sides * size, anchors)
    counted = _cells.largest_of_cell(slot, sides[..., 0] * sides[..., 1], target >= 0)

    guesses = tf.reshape(detection, [images, rows * columns * count, 5 + kinds])
    guess = tf.gather(guesses, slot, batch_dims=1)
    corner = tf.cast(place, kind)
    overlap = tf.stop_gradient(_cells.iou((corner + guess[..., :2]) / size, guess[..., 2:4], shares))
    logarithms = [tf.math.log(tf.maximum(side, _cells.SMALLEST)) for side in (guess[..., 2:4], sides)]
    probability = tf.gather(guess[..., 5:], tf.maximum(target, 0), batch_dims=2)
    errors = (
        coord * _cells.squares(guess[..., :2], centre - corner)
        + coord * _cells.squares(*logarithms)
        + obj * (guess[..., 4] - overlap) ** 2
        - tf.math.log(tf.maximum(probability, LEAST))
    )

    corners = tf.cast(tf.stack(tf.meshgrid(tf.range(columns), tf.range(rows)), -1), kind)[:, :, tf.newaxis]
    middles = tf.reshape((corners + detection[..., :2]) / size, [images, -1, 1, 2])
    found = _cells.iou(middles, guesses[:, :, tf.newaxis, 2:4], shares[:, tf.newaxis])
    covered = tf.reduce_any((found > ignore) & (target >= 0)[:, tf.newaxis], -1)
    taken = tf.reduce_any(
        (slot[:, tf.newaxis] == tf.range(tf.shape(guesses)[1])[:, tf.newaxis]) & counted[:, tf.newaxis], -1
    )
    empty = tf.where(covered | taken, tf.zeros([], kind), guesses[..., 4] ** 2)
    total = tf.reduce_sum(tf.where(counted, errors, 0)) + noobj * tf.reduce_sum(empty)
    return tf.cast(total, tf.float32), tf.cast(images, tf.float32)


def _nearest(sides, anchors):
    """The anchor whose shape is nearest to that of each box, both in cells: int32 [batch, objects]."""
    shared = tf.reduce_prod(tf.minimum(sides[:, :, tf.newaxis], anchors), -1)
    areas = tf.reduce_prod(sides, -1)[..., tf.newaxis] + tf.reduce_prod(anchors, -1)
    return tf.argmax(tf.math.divide_no_nan(shared, areas - shared), -1, tf.int32)  # the first of equal ones
