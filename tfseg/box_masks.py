"""Masks of objects inside their boxes, from the outputs of a head of masks (models/multitask.py).

The head is known by its output: `mask_head`, the weights of Mask R-CNN's head, which is applied to boxes of `mask_features`, or
`inside_outside`, FCIS's scores. Boxes come from the cells of `detection`. Everything up to the masks of the boxes is computed
inside the graph, so that exports can have it; a box's mask becomes pixels of the image afterwards, in NumPy.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from models import layers
from tfseg import detection

READS = {"mask_head": ("detection", "mask_features", "mask_head"), "inside_outside": ("detection", "inside_outside")}
# The least probability of a pixel of an object: Mask R-CNN's, and that of msracver/FCIS (BINARY_THRESH).
CUT = {"mask_head": 0.5, "inside_outside": 0.4}
POOLED = 21  # bins of a side of a box in FCIS


def head_of(outputs) -> str:
    """The head of masks that a network with these outputs, of which only the names are read, has; "" for none."""
    return next((name for name in READS if name in outputs), "")


def find(head: str, outputs: Mapping, kinds: Sequence[int], size, **options) -> dict[str, tf.Tensor]:
    """The boxes and masks of the images of a batch, inside the graph.

    The boxes of FCIS are those of the detector, with the class that the head gives them. They are suppressed once more then.

    Args:
        head: one of READS.
        outputs: the network's outputs that READS names.
        kinds: the train ids that the probabilities of a cell stand for, in their order.
        size: (height, width) of the images.
        **options: threshold, overlap and most, as for `detection.decode`.

    Returns:
        What `detection.in_pixels` returns and "box_masks", float32 [batch, most, n, n]: probabilities in n x n cells that
        divide the box evenly. Rows from `box_count` on are 0.

    Raises:
        ValueError: where the channels do not fit the number of classes.
    """
    found = detection.in_pixels(outputs["detection"], kinds, size, **options)
    height, width = tf.unstack(tf.cast(size, tf.float32))
    if head == "mask_head":
        maps, weights = outputs["mask_features"], outputs["mask_head"]
        check_kernels(layers.kernels_of(weights, maps.shape[-1]), len(kinds))

        def masks(boxes, places):
            shares = boxes / tf.stack([width, height, width, height])
            return tf.sigmoid(layers.masks_in_boxes(tf.cast(maps, tf.float32), weights, shares, places))

        cells = 2 * layers.MASK_CELLS
    else:
        scale = tf.cast(tf.shape(outputs["inside_outside"])[1:3], tf.float32) / tf.stack([height, width])

        def parts(boxes):
            return inside_scores(outputs["inside_outside"], boxes, len(kinds), tf.unstack(scale)[::-1])

        def masks(boxes, places):
            return tf.gather(parts(boxes)[1], places + 1, axis=-1, batch_dims=2)

        cells, found = POOLED, _classified(found, parts, kinds, options)
    boxes, there = found["boxes"], tf.range(options["most"]) < found["box_count"][:, tf.newaxis]
    # Only as many rows as the image with the most boxes has: a mask takes much more time than its box.
    most = tf.reduce_max(tf.concat([found["box_count"], [0]], 0))
    places = tf.argmax(
        tf.cast(found["box_classes"][..., tf.newaxis] == tf.constant(kinds, tf.int32), tf.int32), -1, tf.int32
    )
    made = masks(boxes[:, :most], places[:, :most]) * tf.cast(there, tf.float32)[:, :most, tf.newaxis, tf.newaxis]
    made = tf.pad(made, [[0, 0], [0, options["most"] - most], [0, 0], [0, 0]])
    return found | {"box_masks": tf.ensure_shape(made, [None, options["most"], cells, cells])}


def inside_scores(maps: tf.Tensor, boxes: tf.Tensor, classes: int, scale, pooled: int = POOLED):
    """The scores and masks of boxes by FCIS: Li et al., CVPR 2017, section 3.1, as msracver/FCIS computes them.

    In each bin of a box, a class has a score of being outside and one of being inside an object. The class's own score is the
    mean over the bins of the larger one; its probability of the mask is the share of `inside` in the softmax of both.

    Args:
        maps: float [batch, height, width, 2 (1 + classes) k k], see models/multitask.py; the first class is the background.
        boxes: float [batch, n, 4], x1, y1, x2, y2 in pixels; edges.
        classes: how many, without the background.
        scale: (of x, of y), cells of the map for a pixel.
        pooled: bins of a side.

    Returns:
        (scores [batch, n, 1 + classes] before the softmax over the classes, masks [batch, n, pooled, pooled, 1 + classes]).

    Raises:
        ValueError: where the channels are not those of so many classes.
    """
    outside, inside = sides(maps, boxes, classes, scale, pooled)
    return class_scores(outside, inside), tf.sigmoid(inside - outside)


def sides(maps, boxes, classes, scale, pooled=POOLED):
    """The scores of being outside and inside, [batch, n, pooled, pooled, 1 + classes] each; see `inside_scores`."""
    k = groups(maps.shape[-1], classes)
    # The operator takes boxes by the last of their pixels.
    x = layers.position_sensitive_pool(maps, boxes - tf.constant([0, 0, 1, 1], boxes.dtype), k, pooled, scale)
    return x[..., 0::2], x[..., 1::2]


def class_scores(outside, inside):
    """The scores of the classes, before the softmax, of the scores of their sides: [batch, n, 1 + classes]."""
    return tf.reduce_mean(tf.maximum(outside, inside), [2, 3])


def groups(channels: int, classes: int) -> int:
    """k of FCIS's scores with so many channels; raises ValueError where they are not those of `classes` and the background."""
    k = math.isqrt(channels // (2 * (1 + classes)))
    if 2 * (1 + classes) * k * k != channels:
        raise ValueError(
            f"Expected inside_outside with 2 * {1 + classes} * k * k channels, for {classes} classes and the background. "
            f"Received: {channels} channels. Name the classes of the cells with classes=(..)."
        )
    return k


def check_kernels(kernels: int, classes: int) -> None:
    """Raises ValueError unless there is one kernel for all, or one for each of so many classes."""
    if kernels not in (1, classes):
        raise ValueError(
            f"Expected a mask_head with 1 kernel or with {classes}, one for each class of the cells. Received: {kernels}. Name "
            "the classes of the cells with classes=(..)."
        )


def _classified(found, parts, kinds, options):
    """The boxes with the best foreground class of FCIS's head, and its probability as their score; again suppressed."""
    boxes = tf.floor(found["boxes"] + 0.5)  # of whole pixels, as the operator takes them
    scores = tf.nn.softmax(parts(boxes)[0])[..., 1:]
    best = tf.one_hot(tf.argmax(scores, -1), len(kinds))
    there = tf.range(options["most"]) < found["box_count"][:, tf.newaxis]
    scores = scores * best * tf.cast(there, tf.float32)[..., tf.newaxis]
    return detection.named(detection.suppressed(boxes, scores, **options), kinds)


def paste(mask: np.ndarray, box: Sequence[float], shape: tuple[int, int], cut: float) -> np.ndarray:
    """The pixels of an object, bool [height, width] of `shape`: those in the box whose probability is `cut` or more.

    Args:
        mask: float [n, n], probabilities in cells that divide the box evenly; bilinear between their centres.
        box: x1, y1, x2, y2 in pixels.
        shape: of the image.
        cut: 0..1.
    """
    x1, y1, x2, y2 = box
    across, columns = _interpolation(x1, x2, shape[1], len(mask))
    down, rows = _interpolation(y1, y2, shape[0], len(mask))
    result = np.zeros(shape, bool)
    result[rows, columns] = down @ np.asarray(mask, np.float64) @ across.T >= cut
    return result


def _interpolation(low, high, length, cells):
    """The share of each cell in each pixel with its centre between two edges [pixels, cells], and the slice of these pixels."""
    part = slice(max(0, math.ceil(low - 0.5)), max(0, min(length, math.ceil(high - 0.5))))
    centres = np.arange(length)[part] + 0.5
    place = np.clip((centres - low) / max(high - low, 1e-9) * cells - 0.5, 0, cells - 1)
    return np.maximum(0, 1 - np.abs(place[:, np.newaxis] - np.arange(cells))), part
