"""What the losses of masks in boxes share."""

import tensorflow as tf


def share_of_object(instances, number, boxes, cells, samples=2):
    """The share of an object in each of cells x cells cells of a box.

    samples x samples points divide each cell evenly, and a point has the id of the pixel that it lies in. Points outside the
    image have none.

    Args:
        instances: int32 [batch, height, width], ids.
        number: int32 [batch, n], the id of the object that is meant in each box.
        boxes: float [batch, n, 4], x1, y1, x2, y2 in pixels.
        cells: of a side.

    Returns:
        float [batch, n, cells, cells], 0..1, of the type of the boxes.
    """
    height, width = tf.unstack(tf.shape(instances)[1:])
    count = cells * samples
    steps = (tf.cast(tf.range(count), boxes.dtype) + 0.5) / count
    x, y = (
        tf.cast(
            tf.floor(boxes[..., i, tf.newaxis] + (boxes[..., i + 2] - boxes[..., i])[..., tf.newaxis] * steps), tf.int32
        )
        for i in (0, 1)
    )
    inside = ((y >= 0) & (y < height))[..., tf.newaxis] & ((x >= 0) & (x < width))[:, :, tf.newaxis]
    place = (
        tf.clip_by_value(y, 0, height - 1)[..., tf.newaxis] * width
        + tf.clip_by_value(x, 0, width - 1)[:, :, tf.newaxis]
    )
    flat = tf.reshape(tf.cast(instances, tf.int32), [tf.shape(instances)[0], height * width])
    same = tf.gather(flat, place, batch_dims=1) == number[:, :, tf.newaxis, tf.newaxis]
    same = tf.cast(same & inside, boxes.dtype)
    parts = tf.add_n([same[:, :, i::samples, j::samples] for i in range(samples) for j in range(samples)])
    return parts / samples**2


def bits(logits, target):
    """The cross entropy of binary logits, of which the target is 0 or 1; exact for large ones."""
    return tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=logits)
