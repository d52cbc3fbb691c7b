"""Instances: which object each pixel belongs to. They move with their image, and are numbered again when some leave it.

`instances` is int32 [height, width]: 0 where there is no object, and k on the pixels of the object of row k - 1 of `boxes` and
`box_classes` (`boxes.py`), whose box is the one around these pixels. So a data set with instances always has boxes. Ids are
1..n in every example; each op that removes pixels calls `settle`, which keeps it so. In the records they are 16-bit PNGs.
"""

import cv2
import numpy as np
import tensorflow as tf

from input_pipeline import boxes
from input_pipeline.source.lookup import IGNORE

LARGEST = 65535  # the largest id of a 16-bit PNG


def settle(instances: tf.Tensor, classes: tf.Tensor) -> dict:
    """Numbers the objects that are left 1..n, in the order that they had, and draws a box around each.

    Args:
        instances: int32 [batch, height, width]. Ids above the number of rows become 0.
        classes: int32 [batch, rows]; row k - 1 is the class of id k, NONE for a row without an object.

    Returns:
        {"instances": int32 [batch, height, width], "boxes": float32 [batch, rows, 4], "box_classes": int32 [batch, rows]}. Rows
        that no pixel shows are last, and 0, 0, 0, 0 of class NONE.
    """
    count, height, width = tf.unstack(tf.shape(instances))
    rows = tf.shape(classes)[1]
    known = tf.pad(tf.not_equal(classes, boxes.NONE), [[0, 0], [1, 0]])
    ids = tf.where(instances > rows, 0, instances)
    cell = ids + (rows + 1) * tf.range(count)[:, tf.newaxis, tf.newaxis]

    def of_objects(reduce, values):
        """Reduces the values of the pixels of each id; int32 [batch, rows + 1]."""
        found = reduce(tf.reshape(values + 0 * ids, [-1]), tf.reshape(cell, [-1]), count * (rows + 1))
        return tf.reshape(found, [count, rows + 1])

    x, y = tf.range(width), tf.range(height)[:, tf.newaxis]
    low = [of_objects(tf.math.unsorted_segment_min, place) for place in (x, y)]
    high = [of_objects(tf.math.unsorted_segment_max, place) for place in (x, y)]
    shown = (high[0] >= low[0]) & known  # of an id without pixels the largest is below the smallest
    number = tf.cast(shown, tf.int32) * tf.cumsum(tf.cast(shown, tf.int32), 1)
    edges = tf.cast(tf.stack([*low, *(edge + 1 for edge in high)], -1), tf.float32)
    # The new row of each id; those that are gone share a further one, which is dropped.
    row = tf.where(shown, number - 1, rows) + (rows + 1) * tf.range(count)[:, tf.newaxis]
    sums = tf.concat([edges, tf.cast(tf.pad(classes, [[0, 0], [1, 0]]) - boxes.NONE, tf.float32)[..., tf.newaxis]], -1)
    sums = tf.where(shown[..., tf.newaxis], sums, 0.0)
    moved = tf.math.unsorted_segment_sum(tf.reshape(sums, [-1, 5]), tf.reshape(row, [-1]), count * (rows + 1))
    moved = tf.reshape(moved, [count, rows + 1, 5])[:, :rows]
    flat = tf.gather(tf.reshape(number, [-1]), cell)
    return {
        "instances": tf.ensure_shape(flat, instances.shape),
        "boxes": tf.ensure_shape(moved[..., :4], [*classes.shape, 4]),
        "box_classes": tf.ensure_shape(tf.cast(moved[..., 4], tf.int32) + boxes.NONE, classes.shape),
    }


def settle_example(example: dict) -> dict:
    """The same for one example, without padding: `boxes` [n, 4] and `box_classes` [n] have a row for each object left."""
    found = settle(example["instances"][tf.newaxis], example["box_classes"][tf.newaxis])
    left = found["box_classes"][0] != boxes.NONE
    return {
        **example,
        "instances": found["instances"][0],
        "boxes": tf.boolean_mask(found["boxes"][0], left),
        "box_classes": tf.boolean_mask(found["box_classes"][0], left),
    }


def dense(ids: np.ndarray) -> np.ndarray:
    """Ids of any values as uint16 0, 1, 2, .. in their order, 0 where there is no object.

    Raises:
        ValueError: for ids that are no integers [height, width] from 0, or more of them than a PNG holds.
    """
    if ids.ndim != 2 or not np.issubdtype(ids.dtype, np.integer) or ids.min() < 0:
        raise ValueError(f"Expected instance ids [height, width], 0 or more. Received: {ids.dtype} {list(ids.shape)}")
    values, numbers = np.unique(ids, return_inverse=True)
    if len(values) > LARGEST:
        raise ValueError(f"Expected at most {LARGEST} instances in an image. Received: {len(values)}")
    return (numbers.reshape(ids.shape) + (values[0] != 0)).astype(np.uint16)


def record(ids: np.ndarray, label: np.ndarray) -> dict:
    """What the record of an example holds of its instances.

    Args:
        ids: from `dense`; of another size than the label only if the label was shrunk, and then they shrink as it did.
        label: train ids, uint8 [height, width]. An object's class is that of most of its pixels; one that has no labelled pixel
            is left out.

    Returns:
        {"instances": a 16-bit PNG, "boxes": float32 [n, 4], "box_classes": int32 [n]}.
    """
    numbers, boxes, classes = objects(ids, label)
    return {"instances": cv2.imencode(".png", numbers)[1].tobytes(), "boxes": boxes, "box_classes": classes}


def objects(ids: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What `record` encodes: (ids 1..n of those that are left, uint16 [height, width], their boxes, their classes)."""
    if ids.shape != label.shape:
        ids = cv2.resize(ids, label.shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    rows = int(ids.max()) + 1
    cells = np.bincount((ids.astype(np.int64) * (IGNORE + 1) + label).ravel(), minlength=rows * (IGNORE + 1))
    counts = cells.reshape(rows, IGNORE + 1)[:, :IGNORE]
    kept = np.flatnonzero(counts[1:].any(1)) + 1
    table = np.zeros(rows, np.uint16)
    table[kept] = np.arange(1, len(kept) + 1)
    numbers = table[ids]
    found = [around(numbers == number + 1) for number in range(len(kept))]
    return numbers, np.array(found, np.float32).reshape(-1, 4), counts[kept].argmax(1).astype(np.int32)


def around(mask: np.ndarray) -> tuple[int, int, int, int]:
    """The box x1, y1, x2, y2 around the pixels of a mask, bool [height, width], of which one or more are set."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def decode(encoded: tf.Tensor) -> tf.Tensor:
    """The ids of a record, int32 [height, width]."""
    return tf.cast(tf.io.decode_png(encoded, channels=1, dtype=tf.uint16)[..., 0], tf.int32)
