"""YOLO's loss of boxes in cells."""

import tensorflow as tf

from tfseg import detection as detection_lib
from tfseg.losses import _cells


def yolo_v1(detection, boxes, box_classes, image, logits, *, coord=5.0, noobj=0.5, classes=()):
    """The loss of Redmon, Divvala, Girshick, Farhadi, CVPR 2016 (https://arxiv.org/abs/1506.02640), equation 3.

    A true box belongs to the cell that its centre is in; of several in a cell only the largest counts. Of that cell's boxes the
    one that overlaps it most is responsible. The loss of an image is the sum of

        coord   squared errors of x, y and of the roots of width and height of the responsible boxes
        1       squared errors of their confidences, whose target is the IoU, without a gradient through it
        noobj   squared confidences of all other boxes, also those of cells with an object
        1       squared errors of the class probabilities of cells with an object

    Args:
        detection: float [batch, rows, columns, 5 B + C], 0..1: for each of B boxes x and y in the cell, width and height as
            shares of the image, and confidence; then C probabilities.
        boxes: float [batch, objects, 4], x1, y1, x2, y2 in pixels.
        box_classes: int32 [batch, objects], train ids; NONE for a row without an object.
        image: [batch, height, width, 3]. Only its size is read.
        logits: [.., classes]. Only the number of classes is read.
        coord, noobj: weights, 0 or more.
        classes: the train ids that the probabilities stand for, in their order; objects of others are left out. Blank: all.

    Returns:
        (sum, number of images), float32 scalars.

    Raises:
        ValueError: where the channels do not fit the number of classes, or an argument is out of its range.
    """
    if not (coord >= 0 and noobj >= 0):
        raise ValueError(f"Expected coord and noobj of 0 or more. Received: coord={coord}, noobj={noobj}.")
    detection = tf.convert_to_tensor(detection)
    kinds = len(classes) or logits.shape[-1]
    if not detection_lib.fits(detection, kinds):
        raise ValueError(
            f"Expected a detection with 5 channels for each box and one for each of {kinds} classes. Received: "
            f"{detection.shape[-1]} channels. Name the classes of the cells with classes=(..)."
        )
    count = (detection.shape[-1] - kinds) // 5
    kind = detection.dtype if detection.dtype == tf.float64 else tf.float32
    detection = tf.cast(detection, kind)
    images, rows, columns = tf.unstack(tf.shape(detection)[:3])
    shares = _cells.shares_of(boxes, image, kind)
    target = _cells.channel(box_classes, classes)

    grid = tf.stack([columns, rows])
    centre = (shares[..., :2] + shares[..., 2:]) / 2 * tf.cast(grid, kind)
    sides = shares[..., 2:] - shares[..., :2]
    place = tf.clip_by_value(tf.cast(tf.floor(centre), tf.int32), 0, grid - 1)
    cell = place[..., 1] * columns + place[..., 0]
    counted = _cells.largest_of_cell(cell, sides[..., 0] * sides[..., 1], target >= 0)

    cells = tf.gather(tf.reshape(detection, [images, rows * columns, detection.shape[-1]]), cell, batch_dims=1)
    guesses = tf.reshape(cells[..., : 5 * count], tf.concat([tf.shape(cells)[:2], [count, 5]], 0))
    corner = tf.cast(place, kind)
    middle = (corner[:, :, tf.newaxis] + guesses[..., :2]) / tf.cast(grid, kind)
    overlap = tf.stop_gradient(_cells.iou(middle, guesses[..., 2:4], shares[:, :, tf.newaxis]))
    best = tf.argmax(overlap, -1)  # the first of equal ones
    guess, overlap = (tf.gather(x, best, batch_dims=2) for x in (guesses, overlap))

    roots = [tf.sqrt(tf.maximum(side, _cells.SMALLEST)) for side in (guess[..., 2:4], sides)]
    errors = (
        coord * _cells.squares(guess[..., :2], centre - corner)
        + coord * _cells.squares(*roots)
        + (guess[..., 4] - overlap) ** 2
        + _cells.squares(cells[..., 5 * count :], tf.one_hot(target, kinds, dtype=kind))
        - noobj * guess[..., 4] ** 2  # taken off the sum over all boxes
    )
    everywhere = noobj * tf.reduce_sum(detection[..., 4 : 5 * count : 5] ** 2)
    total = tf.reduce_sum(tf.where(counted, errors, 0)) + everywhere
    return tf.cast(total, tf.float32), tf.cast(images, tf.float32)
