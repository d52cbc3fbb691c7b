"""Boxes around objects as tensors. They are moved together with their image and padded so that examples can be batched.

A box is x1, y1, x2, y2 in pixels of the image: its left, upper, right and lower edge, where 0, 0 is the upper left corner of
the image and width, height its lower right one. Its class is a train id. An example has `boxes` float32 [n, 4] and
`box_classes` int32 [n]. In a batch all images have the same number of boxes; missing ones are 0, 0, 0, 0 of class NONE.
"""

import tensorflow as tf

NONE = -1
SMALLEST = 0.5  # pixels: a box is kept if at least so much of each side is left inside the crop


def move(example: dict, transform: tf.Tensor, size: tuple[int, int], places=None, visible: float = 0.0) -> dict:
    """Moves the boxes of an example by `transform`, as ImageProjectiveTransformV3 moves the pixels of its image.

    A turned box becomes the box around its corners. If the map is not affine (perspective, elastic deformation), `places`
    gives for all pixels of the result their places (x, y) in the image, and a box becomes the box around the pixels that
    show it. Boxes are cut off at the edges of the result, `size` (height, width). A box of which less than half a pixel
    is left on a side is dropped, and one of which less than the share `visible` of its area is left, which needs an affine map.
    """
    low, high = (
        _around_corners(example["boxes"], transform) if places is None else _around_pixels(example["boxes"], *places)
    )
    low, high, share = _cut(low, high, size)
    kept = tf.reduce_all(high - low >= SMALLEST, axis=1) & (share >= visible)
    boxes, classes = (tf.boolean_mask(v, kept) for v in (tf.concat([low, high], 1), example["box_classes"]))
    return {**example, "boxes": boxes, "box_classes": classes}


def without_hidden(example: dict, transform: tf.Tensor, size: tuple[int, int], visible: float) -> dict:
    """The example, with class NONE for boxes of which an affine map leaves less than the share `visible` of the area."""
    share = _cut(*_around_corners(example["boxes"], transform), size)[2]
    return {**example, "box_classes": tf.where(share >= visible, example["box_classes"], NONE)}


def pad(example: dict, count: int) -> dict:
    """Pads the boxes of an example to `count`, so that examples can be batched. An example without boxes is unchanged."""
    if "boxes" not in example:
        return example
    missing = count - tf.shape(example["boxes"])[0]
    boxes = tf.ensure_shape(tf.pad(example["boxes"], [[0, missing], [0, 0]]), [count, 4])
    classes = tf.ensure_shape(tf.pad(example["box_classes"], [[0, missing]], constant_values=NONE), [count])
    return {**example, "boxes": boxes, "box_classes": classes}


def _cut(low, high, size):
    """Edges cut off at those of the result, and the share of the area of each box that is left."""
    limits = tf.constant(size[::-1], tf.float32)
    area = tf.reduce_prod(high - low, 1)
    low, high = tf.clip_by_value(low, 0.0, limits), tf.clip_by_value(high, 0.0, limits)
    return low, high, tf.math.divide_no_nan(tf.reduce_prod(high - low, 1), area)


def _around_corners(boxes, transform):
    """(left, upper), (right, lower) edges of the moved boxes, float32 [n, 2]."""
    matrix = tf.reshape(transform[:6], [2, 3])  # from the index of a pixel of the result to that of one of the image
    corners = tf.gather(boxes, [[0, 1], [2, 1], [0, 3], [2, 3]], axis=1) - 0.5
    a, b, c, d = matrix[0, 0], matrix[0, 1], matrix[1, 0], matrix[1, 1]
    inverse = tf.reshape(tf.stack([d, -b, -c, a]), [2, 2]) / (a * d - b * c)
    moved = tf.tensordot(corners - matrix[:, 2], inverse, [[2], [1]]) + 0.5
    return tf.reduce_min(moved, axis=1), tf.reduce_max(moved, axis=1)


def _around_pixels(boxes, x, y):
    """The same as `_around_corners`, from the pixels that show a box; an empty box if no pixel shows it."""
    left, upper, right, lower = (edge[:, tf.newaxis, tf.newaxis] for edge in tf.unstack(boxes - 0.5, axis=1))
    shown = (x >= left) & (x < right) & (y >= upper) & (y < lower)
    edges = []
    for axis in (1, 2):  # columns first, then rows
        any_shown = tf.cast(tf.reduce_any(shown, axis), tf.int32)
        length = tf.shape(any_shown)[1]
        first, last = tf.argmax(any_shown, 1, tf.int32), length - tf.argmax(any_shown[:, ::-1], 1, tf.int32)
        edges.append((first, tf.where(tf.reduce_any(shown, [1, 2]), last, first)))
    return tuple(tf.cast(tf.stack(pair, 1), tf.float32) for pair in zip(*edges, strict=True))


def visible(example: dict, shown: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The boxes of an example, and their classes, if only the pixels `shown` (bool [height, width]) remain visible.

    The pixels of an object are those inside its box that have its class in the label, or the whole box if there are none.
    Each edge of the box moves as far as the outermost of these pixels does. The box of a hidden object becomes 0, 0, 0, 0
    of class NONE, so that the number of boxes does not change. Boxes are first cut off at the edges of the image.
    """
    label, limits = example["label"], tf.cast(tf.shape(shown)[::-1], tf.float32)

    def one(pair):
        box, kind = pair
        box = tf.reshape(tf.clip_by_value(tf.reshape(box, [2, 2]), 0.0, limits), [4])
        # The pixels whose centres are inside the box.
        left, top, right, bottom = tf.unstack(tf.cast(tf.math.ceil(box - 0.5), tf.int32))
        ids, seen = (values[top:bottom, left:right] for values in (label, shown))
        thing = tf.cast(ids, tf.int32) == kind
        thing |= ~tf.reduce_any(thing)
        moved = box + _extent(thing & seen) - _extent(thing)
        kept = tf.reduce_any(thing & seen) & tf.reduce_all(moved[2:] - moved[:2] >= SMALLEST)
        return tf.where(kept, moved, 0.0), tf.where(kept, kind, NONE)

    return tf.map_fn(one, (example["boxes"], example["box_classes"]))


def _extent(mask):
    """(left, upper, right, lower) edges of the true pixels of a mask: float32 [4]."""
    edges = []
    for axis in (0, 1):  # columns first, then rows
        places = tf.where(tf.reduce_any(mask, axis))[:, 0]
        edges.append((tf.reduce_min(places), tf.reduce_max(places) + 1))
    return tf.cast(tf.stack([edge for pair in zip(*edges, strict=True) for edge in pair]), tf.float32)
