"""Boxes around objects as tensors: moved by what moves their image, padded so that examples can be batched.

A box is x1, y1, x2, y2 in pixels of the image: its left, upper, right and lower edge, where 0, 0 is the upper left corner of
the image and width, height its lower right one. Its class is a train id. An example has `boxes` float32 [n, 4] and
`box_classes` int32 [n]; in a batch every image has as many: the missing ones are 0, 0, 0, 0 of class NONE.
"""

import tensorflow as tf

NONE = -1
SMALLEST = 0.5  # pixels: what a crop must leave of each side of a box for the box to be kept


def move(example: dict, transform: tf.Tensor, size: tuple[int, int]) -> dict:
    """Moves the boxes of an example as ImageProjectiveTransformV3 moves the pixels of its image, by `transform`.

    A turned box becomes the box around its corners. Boxes are cut off at the edges of the result, `size` (height, width);
    of which less than half a pixel is left on a side, those are dropped.
    """
    matrix = tf.reshape(transform[:6], [2, 3])  # from the index of a pixel of the result to that of one of the image
    corners = tf.gather(example["boxes"], [[0, 1], [2, 1], [0, 3], [2, 3]], axis=1) - 0.5
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    inverse = tf.reshape(tf.stack([d, -b, -c, a]), [2, 2]) / (a * d - b * c)
    moved = tf.tensordot(corners - matrix[:, 2], inverse, [[2], [1]]) + 0.5
    limits = tf.constant(size[::-1], tf.float32)
    low, high = (tf.clip_by_value(edge(moved, axis=1), 0.0, limits) for edge in (tf.reduce_min, tf.reduce_max))
    kept = tf.reduce_all(high - low >= SMALLEST, axis=1)
    boxes, classes = (tf.boolean_mask(v, kept) for v in (tf.concat([low, high], 1), example["box_classes"]))
    return {**example, "boxes": boxes, "box_classes": classes}


def pad(example: dict, count: int) -> dict:
    """Fills up the boxes of an example to `count`, so that examples can be batched; without boxes it stays as it is."""
    if "boxes" not in example:
        return example
    missing = count - tf.shape(example["boxes"])[0]
    boxes = tf.ensure_shape(tf.pad(example["boxes"], [[0, missing], [0, 0]]), [count, 4])
    classes = tf.ensure_shape(tf.pad(example["box_classes"], [[0, missing]], constant_values=NONE), [count])
    return {**example, "boxes": boxes, "box_classes": classes}
